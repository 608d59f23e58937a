//! The few styles that the output uses, or none of them.

use anstyle::{AnsiColor, Style};

/// Styles by what they mean. Without colour each of them is empty and prints nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Theme {
    /// Titles and what the eye should find first.
    pub(crate) strong: Style,
    /// What may be overlooked.
    pub(crate) dim: Style,
    /// The part of an id that is enough to name it.
    pub(crate) unique: Style,
    /// Headings of tables.
    pub(crate) heading: Style,
    /// What a person said.
    pub(crate) person: Style,
    /// What the model said.
    pub(crate) model: Style,
    /// Tools.
    pub(crate) tool: Style,
    /// Something went well.
    pub(crate) good: Style,
    /// Something needs attention.
    pub(crate) warn: Style,
    /// Something failed.
    pub(crate) bad: Style,
}

impl Theme {
    /// The theme for a terminal.
    pub(crate) const COLOURED: Self = Self {
        strong: Style::new().bold(),
        dim: Style::new().dimmed(),
        unique: AnsiColor::Magenta.on_default().bold(),
        heading: Style::new().bold().underline(),
        person: AnsiColor::Green.on_default().bold(),
        model: AnsiColor::Cyan.on_default().bold(),
        tool: AnsiColor::Blue.on_default(),
        good: AnsiColor::Green.on_default(),
        warn: AnsiColor::Yellow.on_default().bold(),
        bad: AnsiColor::Red.on_default().bold(),
    };

    /// Whether it colours anything.
    pub(crate) fn is_coloured(&self) -> bool {
        self.model != Style::new()
    }

    /// The theme of a stream.
    pub(crate) fn new(coloured: bool) -> Self {
        if coloured { Self::COLOURED } else { Self::default() }
    }
}
