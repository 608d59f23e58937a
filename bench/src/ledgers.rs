//! Ledgers, each measured in a process of its own.
//!
//! A process is told its [`task`] and answers with what it took. Ours are started as this program once more ([`ours`]); those that they are measured
//! beside are a package with a lock file of its own, because two versions of SQLite cannot be in one program. So all are measured from the
//! same state: a process that has done nothing else. What it costs to start one is not counted.

pub mod ours;
pub mod task;
