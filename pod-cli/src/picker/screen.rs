//! The terminal while the picker has it.

use std::fs::File;
use std::io::{self, IsTerminal, Write};

use crossterm::clipboard::CopyToClipboard;
use ratatui::backend::{Backend, ClearType, CrosstermBackend, WindowSize};
use ratatui::buffer::Cell;
use ratatui::crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::layout::{Position, Size};
use ratatui::{Terminal, TerminalOptions, Viewport};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use terminal_size::terminal_size_of;

use super::draw::{Screenful, draw};

/// The terminal, taken over. It is given back when this goes, also when the program fails.
pub(super) struct Screen {
    terminal: Terminal<Cells>,
    inline: bool,
    open: bool,
}

impl Screen {
    /// Takes the terminal over: all of it, or some lines below what stands there.
    pub(super) fn open(height: Option<u16>) -> io::Result<Self> {
        let mut out = place()?;
        enable_raw_mode()?;
        let begun = match height {
            Some(_) => execute!(out, EnableBracketedPaste),
            None => execute!(out, EnterAlternateScreen, EnableBracketedPaste),
        };
        let viewport = height.map_or(Viewport::Fullscreen, |lines| Viewport::Inline(lines.max(3)));
        let opened = begun
            .and_then(|()| Terminal::with_options(Cells(CrosstermBackend::new(out)), TerminalOptions { viewport }));
        match opened {
            Ok(terminal) => Ok(Self { terminal, inline: height.is_some(), open: true }),
            Err(error) => {
                // It was not taken over, and must not look as if it were.
                drop(disable_raw_mode());
                Err(error)
            }
        }
    }

    /// Draws what is to be seen.
    pub(super) fn draw(&mut self, screenful: &Screenful<'_>) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame, screenful)).map(drop)
    }

    /// Puts a text where the terminal keeps what is copied.
    pub(super) fn copy(&mut self, text: &str) -> io::Result<()> {
        execute!(self.terminal.backend_mut().0, CopyToClipboard::to_clipboard_from(text))
    }

    /// Gives the terminal back.
    pub(super) fn close(mut self) -> io::Result<()> {
        self.give_back()
    }

    fn give_back(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.open) {
            return Ok(());
        }
        if self.inline {
            self.terminal.clear()?;
        }
        self.terminal.show_cursor()?;
        let out = &mut self.terminal.backend_mut().0;
        let ended = if self.inline {
            execute!(out, DisableBracketedPaste)
        } else {
            execute!(out, DisableBracketedPaste, LeaveAlternateScreen)
        };
        disable_raw_mode()?;
        ended
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody is left to be told.
        drop(self.give_back());
    }
}

/// Standard error, if somebody sees it, else the terminal that the program was started from.
fn place() -> io::Result<Box<dyn Write>> {
    let stderr = io::stderr();
    if stderr.is_terminal() {
        return Ok(Box::new(stderr));
    }
    Ok(Box::new(File::options().read(true).write(true).open("/dev/tty")?))
}

/// The terminal's cells. The library asks standard output for the size and the cursor, which may be somebody's pipe; here
/// the terminal that the keys come from is asked.
struct Cells(CrosstermBackend<Box<dyn Write>>);

impl Cells {
    /// Asks the terminal where its cursor is. What is typed meanwhile is lost.
    fn ask_for_cursor(&mut self) -> io::Result<Option<Position>> {
        self.0.write_all(b"\x1b[6n")?;
        Write::flush(&mut self.0)?;
        let stdin = io::stdin();
        let mut answer = Vec::new();
        while answer.len() < ANSWER_BYTES_MAX {
            let mut waited = [PollFd::new(&stdin, PollFlags::IN)];
            if poll(&mut waited, Some(&ANSWER_WAIT))? == 0 {
                return Ok(None);
            }
            let mut byte = [0];
            if rustix::io::read(&stdin, &mut byte)? == 0 {
                return Ok(None);
            }
            answer.extend(byte);
            if byte == *b"R" {
                return Ok(position_of(&answer));
            }
        }
        Ok(None)
    }
}

/// How long a terminal may take to say where its cursor is, and how much it may say.
const ANSWER_WAIT: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
const ANSWER_BYTES_MAX: usize = 4096;

/// What `ESC [ row ; column R` says, both from one.
fn position_of(answer: &[u8]) -> Option<Position> {
    let text = std::str::from_utf8(answer).ok()?;
    let (row, column) = text.rsplit_once("\x1b[")?.1.strip_suffix('R')?.split_once(';')?;
    let from_zero = |number: &str| number.parse::<u16>().ok()?.checked_sub(1);
    Some(Position { x: from_zero(column)?, y: from_zero(row)? })
}

impl Backend for Cells {
    type Error = io::Error;

    fn draw<'a, I: Iterator<Item = (u16, u16, &'a Cell)>>(&mut self, content: I) -> io::Result<()> {
        self.0.draw(content)
    }

    fn append_lines(&mut self, count: u16) -> io::Result<()> {
        self.0.append_lines(count)
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        self.0.hide_cursor()
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        self.0.show_cursor()
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        let last = Position { x: 0, y: self.size()?.height.saturating_sub(1) };
        // A terminal that does not say is taken to be at its last line, from where everything scrolls.
        Ok(self.ask_for_cursor()?.unwrap_or(last))
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        self.0.set_cursor_position(position)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.0.clear()
    }

    fn clear_region(&mut self, region: ClearType) -> io::Result<()> {
        self.0.clear_region(region)
    }

    fn size(&self) -> io::Result<Size> {
        match terminal_size_of(io::stdin()) {
            Some((columns, rows)) => Ok(Size { width: columns.0, height: rows.0 }),
            None => self.0.size(),
        }
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        self.0.window_size()
    }

    fn flush(&mut self) -> io::Result<()> {
        Backend::flush(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answer_counts_whatever_was_typed_before_it() {
        assert_eq!(position_of(b"\x1b[1;1R"), Some(Position { x: 0, y: 0 }));
        assert_eq!(position_of(b"xy\x1b[A\x1b[24;80R"), Some(Position { x: 79, y: 23 }));
        assert_eq!(position_of(b"R"), None);
        assert_eq!(position_of(b"\x1b[0;0R"), None);
    }
}
