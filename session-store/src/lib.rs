//! Sessions: what conversations are made of, on top of any store.
//!
//! Placeholder prose is replaced by the owner of this file.

mod backend;
mod blob;
mod compact;
mod error;
mod facts;
mod fold;
mod fork;
#[cfg(feature = "index")]
pub mod import;
#[cfg(feature = "index")]
mod index;
mod leaf;
mod lineage;
mod restore;
mod segment;
mod state;
mod transcript;
