//! The crate from outside, as one binary.

#[cfg(feature = "index")]
mod index;
