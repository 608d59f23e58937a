//! The terminal while the picker has it.

use std::fs::File;
use std::io::{self, IsTerminal, Write};

use crossterm::clipboard::CopyToClipboard;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::{Terminal, TerminalOptions, Viewport};

use super::draw::{Screenful, draw};

/// The terminal, taken over. It is given back when this goes, also when the program fails.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Box<dyn Write>>>,
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
        let opened =
            begun.and_then(|()| Terminal::with_options(CrosstermBackend::new(out), TerminalOptions { viewport }));
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
        execute!(self.terminal.backend_mut(), CopyToClipboard::to_clipboard_from(text))
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
        let out = self.terminal.backend_mut();
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
