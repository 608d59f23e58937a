//! The ledger under the same disk: scripts of commits, what is done to it, and the judge of what a crash leaves of a book.
//!
//! A ledger has one owner, so there is one process at a time that writes; what is tried instead is everything that it keeps beside its logs: a script deletes and
//! spoils snapshots and keys, and the ledgers are so small that each does after a few events what large ones do: parts, snapshots, runs of keys that are put aside and merged.

mod machine;
mod oracle;
mod run;
mod script;

pub use script::{LedgerScript, LedgerStep};
