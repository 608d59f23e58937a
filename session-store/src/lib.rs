//! Sessions: conversations on top of any store.
//!
//! A store keeps logs and knows nothing of what they mean. This crate gives them meaning: a *session* is a
//! conversation as a person knows it, a tree of *segments*; a segment continues another one by reference, as a fork or
//! as a compaction; the state of a conversation is the fold of the entries from the root of its branch.
//! `docs/SESSIONS.md` tells the same with an example.
//!
//! * [`open`] turns a URL into a store; [`register`] adds schemes.
//! * [`create_segment`], [`create_compacted_segment`], [`fork`](fork()), [`fork_at`] and [`ensure_head_or_fork`] make segments.
//! * [`plan_compaction`] says what a compaction keeps and what its summary has to tell; [`compact`](compact()) does it.
//! * [`SegmentState`] is a writer's place; [`save_user_input`], [`save_delta`] and their siblings write through it.
//! * [`SessionWriter`] writes for a runtime that must not wait: it queues, leases, and forks where somebody else went on.
//! * [`BranchTail`] follows a conversation while it is written, [`live`](live()) says by whom.
//! * [`restore`](restore()) reads what a model and a runtime go on with, [`transcript`](transcript()) what a person reads.
//! * [`valid_history`] is how a model is given a history, [`history_faults`] what a provider would refuse in one.
//! * [`lineage`](lineage()) is the branch that both read; [`TurnFold`], [`ConfigFold`], [`UsageFold`] and [`TranscriptFold`] are the folds
//!   over it, for projections too.
//! * [`migrate`](migrate()) copies conversations from any store into any other.
//! * [`usage`] says what requests cost, sums that up, and posts it to the books of a ledger; [`budget`] says before a turn whether there is money for it.
//! * [`SessionFacts`] and [`SegmentTree`] say what is told about a session, and which of its leaves is the current one.
#![cfg_attr(
    feature = "index",
    doc = "* [`index`] is a projection of a whole store; [`import`] reads the files of agents, [`export`](mod@export) writes them; [`organise`] is what people do with whole conversations;\n  [`query`] is the language in which they are looked for, [`picker`] the model of a screen to choose one on."
)]
//!
//! Nothing here prints, reads the environment or a clock.
//!
//! ```
//! use session_store::{ForkPoint, NewSegment, OpenOptions, SegmentState, create_segment, fork, open, restore};
//! use session_store::{save_delta, save_turn_end, save_user_input};
//! use store_core::{Item, Part, Role};
//!
//! # fn main() -> session_store::Result<()> {
//! let now = 1_764_000_000_000;
//! let store = open("memory:", &OpenOptions::at(now))?;
//! let segment = create_segment(&*store, now, NewSegment::default())?;
//!
//! let state = SegmentState::open(&*store, segment)?;
//! save_user_input(&*store, &state, now, vec![Part::text("Why is the build red?")])?;
//! save_delta(&*store, &state, now, vec![Item::message(Role::Assistant, "An unused import.")])?;
//! save_turn_end(&*store, &state, now)?;
//!
//! let other = fork(&*store, now, state.location(), ForkPoint::Turn(1))?;
//! let restored = restore(&*store, other.session_id, other.segment_id)?;
//! assert_eq!((restored.history.len(), restored.turn_count), (2, 1));
//! # Ok(())
//! # }
//! ```

mod backend;
pub mod blob;
pub mod budget;
mod compact;
mod error;
#[cfg(feature = "index")]
pub mod export;
mod facts;
mod fold;
mod fork;
#[cfg(feature = "index")]
pub mod import;
#[cfg(feature = "index")]
pub mod index;
mod leaf;
pub mod lineage;
mod live;
mod migrate;
mod order;
#[cfg(feature = "index")]
pub mod organise;
mod pairing;
#[cfg(feature = "index")]
pub mod picker;
mod provider;
#[cfg(feature = "index")]
pub mod query;
mod restore;
mod segment;
mod state;
mod tail;
mod time;
#[cfg(feature = "index")]
mod tombstone;
mod transcript;
pub mod usage;
mod valid;
mod writer;

pub use backend::{
    HeaderRepaired, LockHolder, OpenFn, OpenMode, OpenOptions, SalvageLedgerLoss, SalvageLoss, Salvaged, is_remote,
    ledger_to_plan_repair, lock_holders, open, open_ledger, read_ledger, register, repair_header, salvage_into,
    schemes,
};
pub use compact::{CompactOptions, CompactionPlan, compact, create_compacted_segment, plan_compaction};
pub use error::{LineageError, Result, SessionError};
pub use facts::{
    CurrentLeaf, SessionFact, SessionFacts, StoreFact, TagChange, Title, TitleBy, put_session_fact, put_store_fact,
};
pub use fold::{ConfigFold, OpenCall, TurnChange, TurnFold, UsageFold, UsageRow, UsageTotals, usage_size};
pub use fork::{ForkPoint, ensure_head_or_fork, fork, fork_at, fork_origin};
pub use leaf::{SegmentNode, SegmentTree, Undecided, current_leaf, leaves};
pub use lineage::{LineageEntries, LineagePart, lineage, lineage_through};
pub use live::{Live, live, refuse_live};
pub use migrate::{
    BookFailure, LedgerMigrated, MigrateFailure, MigrateFailureKind, MigrateOptions, MigrateProgress, MigrateReport,
    MigrateVerification, migrate, migrate_ledger,
};
pub use provider::{HistoryFault, MessageFormat, history_faults};
pub use restore::{RestoredState, collect_state, entry_item, restore, restore_by_segment};
pub use segment::{
    NewSegment, SegmentLocation, append_entry, create_segment, create_segment_with_ids, save_config_changed,
    save_delta, save_extension, save_run_completed, save_run_errored, save_turn_end, save_usage, save_user_input,
};
pub use state::{SegmentHead, SegmentState};
pub use tail::{BranchTail, Following};
#[cfg(feature = "index")]
pub use tombstone::{MovedPoint, Tombstone};
pub use transcript::{
    ShowKind, ShowLineage, ShowMessage, ShowOptions, ShowRole, ShowScope, ShowTool, Shown, Transcript, TranscriptFold,
    transcript,
};
pub use valid::{BEGINS, INTERRUPTED, valid_history};
pub use writer::{
    Clock, Landed, NotQueued, OnLive, Outcome, Room, SessionWriter, Submission, Ticket, Unfinished, WriteError,
    WriterOptions,
};
