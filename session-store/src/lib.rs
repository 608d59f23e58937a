//! Sessions: what conversations are made of, on top of any store.

mod backend;
pub mod blob;
mod compact;
mod error;
mod facts;
mod fold;
mod fork;
#[cfg(feature = "index")]
pub mod import;
#[cfg(feature = "index")]
pub mod index;
mod leaf;
pub mod lineage;
mod restore;
mod segment;
mod state;
mod time;
mod transcript;

pub use error::{LineageError, Result, SessionError};
pub use facts::{CurrentLeaf, SessionFact, SessionFacts, StoreFact, Title, TitleBy, put_session_fact, put_store_fact};
pub use fold::{ConfigFold, OpenCall, TurnChange, TurnFold, UsageFold, UsageRow, UsageTotals, usage_size};
pub use leaf::{SegmentNode, SegmentTree, current_leaf, leaves};
pub use lineage::{LineageEntries, LineagePart, lineage, lineage_through};
pub use restore::{
    INTERRUPTED, RestoredState, close_open_calls, collect_state, entry_item, restore, restore_by_segment,
};
pub use segment::SegmentLocation;
pub use transcript::{
    ShowKind, ShowLineage, ShowMessage, ShowOptions, ShowRole, ShowScope, ShowTool, Shown, Transcript, TranscriptFold,
    transcript,
};
