//! `pod`: the conversations of AI agents, on the command line.
//!
//! `cli` says what may be typed, `commands` does it, `render` is what a person sees of it, `error` has the words and
//! exit codes for what goes wrong. Everything about conversations and stores is the library's.

mod agents;
mod app;
mod child;
mod cli;
mod commands;
mod config;
mod confirm;
mod error;
mod interrupt;
mod keeper;
mod library;
mod mistake;
mod output;
mod pager;
mod picker;
mod progress;
mod refresh;
mod render;
mod summarizer;

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(app::run(std::env::args_os()))
}
