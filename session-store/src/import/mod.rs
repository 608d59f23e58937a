//! Importers: from the files that agents keep to sessions of a store.
//!
//! A *reader* per agent turns records into [`Step`]s and knows nothing of stores; one *writer* turns steps into
//! segments and knows nothing of agents; the *run* orders files and keeps cursors.

mod claude;
mod codex;
mod detect;
mod fields;
mod lines;
mod pi;
mod record;
mod run;
#[cfg(test)]
mod testing;
mod writer;

pub use record::{Agent, FileHead, ForkHint, HistoryPart, Parent, ParentCall, RawRecord, Reader, Step};
