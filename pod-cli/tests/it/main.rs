//! `pod` as its users run it: the built binary, its two streams and its exit code.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agents;
mod bad_input;
mod beside;
mod budget;
mod compact;
mod doctor;
mod export;
mod fixture;
mod follow;
mod fork;
mod fresh;
mod hand_off;
mod harness;
mod help;
mod home;
mod import;
mod ledger;
mod ledger_repair;
mod ledger_upkeep;
mod list;
mod log;
mod lost;
mod maintain;
mod migrate;
mod organise;
mod pick;
mod programs;
mod readme;
mod resume;
mod search;
mod segments;
mod show;
mod terminal;
mod usage;
mod verify;
mod watch;
