//! The end of a log, cut anywhere.
#![no_main]

#[path = "../bodies/codec.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::tail(data));
