//! The session layer, through its public API and real stores.
#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test that called it")]

mod common;

mod backend;
mod blob;
mod budget;
mod compact;
mod compaction;
#[cfg(feature = "index")]
mod export;
mod facts;
mod fold;
mod fork;
#[cfg(feature = "index")]
mod fuzz;
#[cfg(feature = "index")]
pub(crate) mod import;
#[cfg(feature = "index")]
mod index;
mod leaf;
mod lineage;
mod migrate;
mod migrate_ledger;
mod model;
#[cfg(feature = "index")]
mod organise;
mod page;
#[cfg(feature = "index")]
mod picker;
mod restore;
mod segment;
mod state;
mod tail;
mod transcript;
#[cfg(all(feature = "index", feature = "fs", feature = "sqlite"))]
mod usage;
mod writer;
