//! The session layer, through its public API and real stores.

mod common;

mod fold;
#[cfg(feature = "index")]
mod index;
mod lineage;
mod restore;
