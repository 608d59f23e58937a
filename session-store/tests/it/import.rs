//! Importers: real files, broken files, the same files again.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod again;
mod broken;
mod codex;
mod durable;
mod earlier;
mod made;
mod packed;
mod pi;
mod purged;
mod rehearsal;
mod rest;
pub(crate) mod samples;
mod sidechain;
mod sources;
mod truths;
mod valid;
pub(crate) mod world;
