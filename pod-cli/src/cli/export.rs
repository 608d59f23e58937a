//! Arguments of `pod export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Arguments of `pod export`.
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// Which conversation.
    #[arg(value_name = "ID")]
    pub(crate) id: String,

    /// In which form.
    #[arg(long, value_enum, value_name = "FORM")]
    pub(crate) to: ExportTo,

    /// Write it to this file; - is standard output, where it goes anyway if nothing else is said.
    #[arg(short, long, value_name = "PATH", conflicts_with = "install")]
    pub(crate) output: Option<PathBuf>,

    /// Put it where the agent looks for its conversations.
    #[arg(long)]
    pub(crate) install: bool,

    /// The folder that the agent is to work in, if not the conversation's own.
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,
}

/// The forms of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportTo {
    /// A transcript of Claude Code.
    Claude,
    /// A rollout of Codex.
    Codex,
    /// A session of pi, version 3.
    Pi,
}
