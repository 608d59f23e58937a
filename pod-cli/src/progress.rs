//! A line on standard error that says how far a long command is. It appears after half a second and goes when the
//! command ends; without a terminal there is none.

use std::io::{self, IsTerminal, Stderr, Write};
use std::time::{Duration, Instant};

use crate::app::App;
use crate::render::{one_line, truncate};

/// How long a command may take without saying anything.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often the line is drawn at most.
const REDRAW: Duration = Duration::from_millis(100);
/// Back to the start of the line, and nothing behind it.
const CLEAR: &str = "\r\x1b[K";

/// The line.
pub(crate) struct ProgressLine<W: Write> {
    to: Option<W>,
    cells: usize,
    next: Instant,
    drawn: bool,
}

impl ProgressLine<Stderr> {
    /// The line on standard error, if that is a terminal.
    pub(crate) fn on_stderr(app: &App) -> Self {
        let stderr = io::stderr();
        let is_terminal = stderr.is_terminal();
        Self::new(is_terminal.then_some(stderr), app.terminal.error_width, Instant::now())
    }
}

impl<W: Write> ProgressLine<W> {
    /// A line of at most `cells` that is written to `to`; `None`: nowhere.
    pub(crate) fn new(to: Option<W>, cells: usize, started: Instant) -> Self {
        Self { to, cells, next: started + PATIENCE, drawn: false }
    }

    /// Says how far it is, if it is time to.
    pub(crate) fn tell(&mut self, now: Instant, text: &str) {
        if now < self.next {
            return;
        }
        self.next = now + REDRAW;
        if let Some(to) = &mut self.to {
            // A terminal that takes no progress is no reason to stop the work.
            let line = one_line(text);
            self.drawn |= write!(to, "{CLEAR}{}", truncate(&line, self.cells)).and_then(|()| to.flush()).is_ok();
        }
    }
}

impl<W: Write> Drop for ProgressLine<W> {
    fn drop(&mut self) {
        if let Some(to) = self.to.as_mut().filter(|_| self.drawn) {
            drop(write!(to, "{CLEAR}").and_then(|()| to.flush()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(at: &[(u64, &str)]) -> String {
        let mut out = Vec::new();
        let started = Instant::now();
        let mut line = ProgressLine::new(Some(&mut out), 10, started);
        for (ms, text) in at {
            line.tell(started + Duration::from_millis(*ms), text);
        }
        drop(line);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_is_said_in_the_first_half_second() {
        assert_eq!(told(&[(0, "a"), (499, "b")]), "");
    }

    #[test]
    fn the_line_is_drawn_seldom_cut_and_taken_away() {
        assert_eq!(
            told(&[(500, "1 of 9"), (550, "2 of 9"), (600, "a/long/file/name\u{1b}[2J")]),
            "\r\x1b[K1 of 9\r\x1b[Ka/long/fi…\r\x1b[K"
        );
    }
}
