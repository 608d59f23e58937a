//! The SQLite backend: the common checks, and what is its own.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test that called it")]

mod conformance;
mod damage;
mod foreign;
mod handles;
mod modes;
mod processes;
mod read_only;
mod schema;
mod support;
mod syncs;
