//! The picker: finding a conversation to go on with, as a pure model.
//!
//! [`Picker`] takes keys and news and answers with [`Action`]s; it reads no store, no clock and no terminal ([`preview`](preview()) does, and is not part of it), so that all it
//! does can be tested by handing it keys. Whoever runs it draws what its accessors say after each event, and does what it asks for in a
//! thread of its own: typing never waits for a store.
//!
//! The one decision: what is on the screen follows from all rows at once, which are in memory (some hundred bytes each). So a
//! count of what is hidden is exact, and a key is answered in the time of a filter over all titles. The price is that
//! the rows have to be loaded; the first page is enough to begin with ([`Picker::load`] may come again with more).
//!
//! * `filter` decides which rows are shown, in which order, and why.
//! * `list` is the list with its query; `tree` a conversation's segments and turns; `line` a line that is typed.
//! * `preview` reads the end of a conversation, for whoever draws one.
//! * `state` ties them together.

mod filter;
mod line;
mod list;
mod preview;
mod state;
mod tree;

use store_core::{SegmentId, SessionId};

use crate::index::{SearchHit, SegmentSummary, SessionSummary};

pub use filter::Highlight;
pub use line::Line;
pub use list::{Counts, Shown};
pub use preview::{PreviewLine, preview};
pub use state::{Mode, Picker, Question, Since};
pub use tree::{TreeRow, TreeTurn};

/// A conversation, and where it is seen from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PickerRow {
    /// What a list says of it.
    pub summary: SessionSummary,
    /// The narrowest scope in which it is.
    pub scope: Scope,
    /// Whether it goes on behind a compaction.
    pub compacted: bool,
}

/// From where conversations are looked at. Each holds those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// This folder and those below it.
    #[default]
    Here,
    /// The repository, with all its worktrees.
    Repository,
    /// Everywhere.
    All,
}

/// The order of the list. Pinned conversations always come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Latest message first.
    #[default]
    Updated,
    /// Latest beginning first.
    Created,
    /// Most tokens first.
    Tokens,
}

/// A key, as a terminal tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character that is typed.
    Char(char),
    /// Control with a letter, in lower case.
    Control(char),
    /// Return.
    Enter,
    /// Escape.
    Escape,
    /// Tabulator.
    Tab,
    /// Deletes before the cursor.
    Backspace,
    /// Deletes behind the cursor.
    Delete,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the beginning.
    Home,
    /// To the end.
    End,
    /// A function key.
    Function(u8),
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A key was pressed.
    Key(Key),
    /// Text was put in at once.
    Paste(String),
    /// The segments of a conversation, in the order in which they began, and the turns of its branches.
    Tree {
        /// The session.
        session: SessionId,
        /// Its segments.
        segments: Vec<SegmentSummary>,
        /// The turns of its branches.
        turns: Vec<TreeTurn>,
    },
    /// What a search found, for the query of this number.
    Hits {
        /// The number of the search.
        number: u64,
        /// The first of what was found.
        hits: Vec<SearchHit>,
        /// How many places there are.
        total: u64,
    },
    /// A row is another now: it was renamed, archived, put into the trash, or is gone.
    Changed {
        /// The session.
        session: SessionId,
        /// What a list says of it now; `None` if it is gone.
        row: Option<Box<SessionSummary>>,
    },
    /// Something that was asked for was done, in words.
    Done(String),
    /// Something that was asked for could not be done, in words.
    Failed(String),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Leave without a choice.
    Quit {
        /// Whether as if by Ctrl-C.
        cancelled: bool,
    },
    /// Leave with this choice.
    Pick(Choice),
    /// Load the segments and turns of a conversation.
    LoadTree(SessionId),
    /// Search texts. Answered by [`Event::Hits`] with the same number.
    Search {
        /// The number of the search.
        number: u64,
        /// The query, as it is typed.
        text: String,
    },
    /// Give a conversation a title.
    Rename {
        /// The session.
        session: SessionId,
        /// The title.
        title: String,
    },
    /// Put into the archive, or take out of it.
    Archive {
        /// The session.
        session: SessionId,
        /// Whether it belongs there.
        archived: bool,
    },
    /// Put into the trash, or take out of it.
    Trash {
        /// The session.
        session: SessionId,
        /// Whether it belongs there.
        trashed: bool,
    },
    /// Pin or unpin.
    Pin {
        /// The session.
        session: SessionId,
        /// Whether it is pinned.
        pinned: bool,
    },
    /// Continue a conversation in another one, from its end or from a turn of it.
    Fork(Choice),
    /// Put a text where the terminal keeps what is copied.
    Copy(String),
    /// Show the entries of a conversation as they come.
    Watch(Choice),
    /// Make a damaged conversation readable again.
    Repair(Choice),
}

/// A place in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The session.
    pub session: SessionId,
    /// The segment.
    pub segment: SegmentId,
    /// Only as far as the end of this turn; `None`: to the segment's end.
    pub turn: Option<u64>,
}
