//! Files of pi.
#![no_main]

#[path = "../bodies/importers.rs"]
mod body;

use session_store::import::Agent;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::import(Agent::Pi, data));
