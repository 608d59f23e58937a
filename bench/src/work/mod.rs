//! The kinds of work that are measured, a file each.

#[cfg(feature = "engines")]
pub mod append;
pub mod find;
pub mod frame;
pub mod import;
pub mod ledgers;
pub mod list;
pub mod live;
pub mod open;
pub mod read;
#[cfg(feature = "engines")]
pub mod sync;
pub mod verify;
