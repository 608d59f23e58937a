//! Standard output: coloured or not, paged or not, for programs or for people; and what the terminal is like.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;

use anstream::{AutoStream, ColorChoice};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use crate::cli::{ColorWhen, Global};
use crate::config::Environment;
use crate::interrupt::Interrupt;
use crate::pager::{self, Pager};
use crate::render::{EscapeControls, Theme};

/// How wide standard error is where nobody said.
const ERROR_CELLS: usize = 80;

/// How standard output and standard error are to be written.
#[derive(Clone, Debug)]
pub(crate) struct Terminal {
    /// The styles of standard output.
    pub(crate) theme: Theme,
    /// The styles of standard error.
    pub(crate) error_theme: Theme,
    /// How many cells a line has; `None`: nobody looks, nothing is cut.
    pub(crate) width: Option<usize>,
    /// How many cells a line of standard error has.
    pub(crate) error_width: usize,
    is_terminal: bool,
    can_draw: bool,
    pager: Option<Vec<String>>,
}

impl Terminal {
    /// Looks at the streams.
    pub(crate) fn look(global: &Global, environment: &Environment) -> Self {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let is_terminal = stdout.is_terminal();
        let pages = is_terminal && !global.json && !global.no_pager;
        Self {
            theme: Theme::new(coloured(global.color, AutoStream::choice(&stdout))),
            error_theme: Theme::new(coloured(global.color, AutoStream::choice(&stderr))),
            width: environment.columns.or_else(|| columns_of(&stdout)),
            error_width: environment.columns.or_else(|| columns_of(&stderr)).unwrap_or(ERROR_CELLS),
            is_terminal,
            can_draw: !environment.dumb && (stderr.is_terminal() || terminal_is_there()),
            pager: if pages { pager::command(environment.pager.as_deref()) } else { None },
        }
    }
}

impl Terminal {
    /// Whether there is a terminal to draw on that can be drawn on.
    pub(crate) fn can_draw(&self) -> bool {
        self.can_draw
    }
}

/// Whether the program was started from a terminal, whatever its streams are.
fn terminal_is_there() -> bool {
    std::fs::File::options().read(true).write(true).open("/dev/tty").is_ok()
}

fn columns_of(stream: impl AsFd) -> Option<usize> {
    terminal_size::terminal_size_of(stream).map(|(columns, _)| usize::from(columns.0))
}

const fn coloured(when: ColorWhen, auto: ColorChoice) -> bool {
    match when {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto => !matches!(auto, ColorChoice::Never),
    }
}

/// Standard output, or the pager in front of it.
pub(crate) struct Output {
    sink: Option<Box<dyn Write>>,
    pager: Option<Pager>,
}

impl Output {
    /// Standard output as it is.
    pub(crate) fn plain() -> Self {
        Self { sink: Some(Box::new(BufWriter::new(io::stdout()))), pager: None }
    }

    /// Standard output for JSON. What a terminal would obey is escaped on the way to one.
    pub(crate) fn json(terminal: &Terminal) -> Self {
        let stdout = BufWriter::new(io::stdout());
        let sink: Box<dyn Write> =
            if terminal.is_terminal { Box::new(EscapeControls::new(stdout)) } else { Box::new(stdout) };
        Self { sink: Some(sink), pager: None }
    }

    /// The pager, where a person sits at a terminal and has one; else standard output as it is.
    pub(crate) fn paged(terminal: &Terminal, interrupt: &Interrupt) -> Self {
        let started = terminal.pager.as_deref().and_then(|words| {
            // The pager answers Ctrl-C by itself; ending before it would leave the terminal in its hands.
            interrupt.leave_to_child();
            Pager::start(words)
        });
        match started {
            Some((pager, input)) => Self { sink: Some(Box::new(BufWriter::new(input))), pager: Some(pager) },
            None => {
                interrupt.end_at_once();
                Self::plain()
            }
        }
    }

    /// Writes one JSON document on a line of its own.
    pub(crate) fn document<T: Serialize + ?Sized>(&mut self, value: &T) -> io::Result<()> {
        serde_json::to_writer(&mut *self, value).map_err(io::Error::from)?;
        self.write_all(b"\n")
    }

    /// Whether anybody still reads standard output; who writes nothing would not notice.
    pub(crate) fn expect_reader(&self) -> io::Result<()> {
        let stdout = io::stdout();
        let mut asked = [PollFd::new(&stdout, PollFlags::empty())];
        poll(&mut asked, Some(&Timespec::default()))?;
        let gone = asked[0].revents().intersects(PollFlags::ERR | PollFlags::HUP);
        if gone { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    /// Hands everything out, and waits for the pager.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.as_mut().map_or(Ok(bytes.len()), |sink| sink.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // The pager's input ends before it is waited for; else both would wait.
        self.sink = None;
        if let Some(pager) = self.pager.take() {
            pager.wait();
        }
    }
}
