//! Importers: real files, broken files, the same files again.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod again;
mod broken;
mod codex;
mod pi;
mod samples;
mod truths;
mod world;
