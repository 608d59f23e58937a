//! The index: one projection for any backend, from which lists, names and look-ups are answered without opening a log.
//!
//! Here lives what is *derived*: rows of conversations and segments, who owns which provider request, where the records of
//! agents' files stand, what a name means. Nothing of it is the truth. It is fed by `Store::changes`, `Store::read_range` and
//! `Store::facts` alone, so that it serves a backend that nobody here has seen, and deleting or damaging its file costs time.
//!
//! The one decision: the index keeps the *folds* of each log, not only what they amount to, at the position up to which it
//! was read. A log that grew is read behind that position, a fork starts from its parent's fold, and a log that was rolled
//! back is noticed by the position's checksum. The price is a row of some hundred bytes for each segment.
//!
//! * [`Index`] is what its users hold; `schema` makes its tables, `rows` reads and writes them.
//! * `refresh` finds out what has changed, `plan` orders it, `scan` reads it (`reading` is what it reads at the time), `rollup` makes rows of it.
//! * `check` holds a kept index against the logs.
//! * `usage` tells whose a request is, `explain` what each record of one counts for, `books` what the ledger says of them and is to be told; `list`, `resolve`, `ending` and `lookup` answer.
//! * `search` keeps the words of all texts and finds the entries that say them.
//! * `bookmark` keeps for importers where they left their files, `source` which files they have seen.

mod bookmark;
mod books;
mod branch;
mod check;
mod decimal;
mod ending;
mod explain;
mod list;
mod lookup;
mod plan;
mod projection;
mod reading;
mod refresh;
mod resolve;
mod rollup;
mod rows;
mod scan;
mod schema;
pub(crate) mod search;
mod source;
mod summary;
mod time;
mod usage;

pub(crate) use books::BookCursor;
pub use check::{IndexCheck, check};
pub use explain::{RecordPlace, UsageRecord, Verdict};
pub use list::{ArchivedFilter, KindFilter, ListQuery, SortBy};
pub use lookup::{NativeHome, RecordHome};
pub use projection::Index;
pub(crate) use reading::MadeEntries;
pub use refresh::Refreshed;
pub use resolve::{Candidate, Resolution, Target, usual_forms};
pub(crate) use search::entry_texts;
pub use search::{SearchHit, SearchHits, SearchProgress, SearchQuery};
pub(crate) use source::{FileStamp, SeenFile};
pub use summary::{ForkedFrom, Hidden, Page, SegmentSummary, SessionSummary};
