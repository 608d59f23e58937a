//! A log with anything behind its entries.
#![no_main]

#[path = "../bodies/fs_recovery.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::recovery(data));
