//! Exporters: what agents are told, and what comes back.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod again;
mod claude;
mod round_trip;
mod said;
