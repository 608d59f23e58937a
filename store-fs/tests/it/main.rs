//! The filesystem backend: the common checks, and what is its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod conformance;
mod crash;
mod faults;
mod format;
mod handles;
mod model;
mod opening;
mod processes;
mod recovery;
mod simulate;
mod support;
