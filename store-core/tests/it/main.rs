//! Tests of the crate from outside, and of the rules that hold the workspace together.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod calls;
mod fuzz;
mod house;
mod integrity;
