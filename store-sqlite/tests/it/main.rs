//! The SQLite backend: the common checks, and what is its own.

#![expect(clippy::unwrap_used, reason = "a helper that cannot go on fails the test that called it")]

mod beside;
mod conformance;
mod damage;
mod flips;
mod foreign;
mod handles;
mod integrity;
mod ledger;
mod ledger_examine;
mod ledger_processes;
mod ledger_repair;
mod modes;
mod processes;
mod read_only;
mod salvage;
mod salvage_ledger;
mod sample;
mod schema;
mod support;
mod syncs;
mod watch;
