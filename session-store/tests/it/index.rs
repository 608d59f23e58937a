//! The index: what it says of a store, however it came to know it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod answers;
mod damage;
mod file;
mod incremental;
mod naming;
mod ownership;
mod rewritten;
mod search;
mod world;
