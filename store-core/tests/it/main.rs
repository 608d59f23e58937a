//! Tests of the crate from outside, and of the rules that hold the workspace together.

mod calls;
mod fuzz;
mod house;
mod integrity;
