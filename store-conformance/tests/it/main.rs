//! The suite on the reference, and the proof of what its checks can catch.

mod matrix;
mod memory;
mod model;
