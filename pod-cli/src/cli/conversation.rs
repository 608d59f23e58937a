//! The arguments of the commands that change what is said about conversations, or what they go on from.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `pod compact`.
#[derive(Args, Debug)]
pub(crate) struct CompactArgs {
    /// Which conversation.
    #[arg(value_name = "ID")]
    pub(crate) id: String,

    /// How many of the last turns stay as they are.
    #[arg(long, value_name = "TURNS", default_value_t = 2)]
    pub(crate) keep: u64,

    /// The summary: a file, or - for standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "summarizer")]
    pub(crate) summary: Option<PathBuf>,

    /// A line of shell that reads what is to be summarised and prints the summary.
    #[arg(long, value_name = "CMD")]
    pub(crate) summarizer: Option<String>,

    /// How many seconds the summarizer may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, requires = "summarizer",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,

    /// Say what would be kept, write nothing and run nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}
