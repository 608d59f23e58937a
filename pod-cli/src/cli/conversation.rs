//! The arguments of the commands that change what is said about conversations, or what they go on from.

use std::path::PathBuf;

use clap::Args;

use super::maintenance::Consented;

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

    /// A line of shell that reads what is to be summarised and prints the summary; without it and --summary the config file's `summarizer`.
    #[arg(long, value_name = "CMD")]
    pub(crate) summarizer: Option<String>,

    /// How many seconds the summarizer may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, conflicts_with = "summary",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,

    /// Say what would be kept, write nothing and run nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Several conversations.
#[derive(Args, Debug)]
pub(crate) struct IdsArgs {
    /// Which conversations.
    #[arg(value_name = "ID", required = true)]
    pub(crate) ids: Vec<String>,
}

/// Arguments of `pod rename`.
#[derive(Args, Debug)]
pub(crate) struct RenameArgs {
    /// Which conversation.
    #[arg(value_name = "ID")]
    pub(crate) id: String,

    /// Its title; an empty one takes back what was given before.
    #[arg(value_name = "TITLE")]
    pub(crate) title: String,
}

/// Arguments of `pod tag`.
#[derive(Args, Debug)]
pub(crate) struct TagArgs {
    /// Which conversations.
    #[command(flatten)]
    pub(crate) which: IdsArgs,

    /// A tag to give. May be given several times.
    #[arg(long, short, value_name = "TAG", value_parser = tag)]
    pub(crate) add: Vec<String>,

    /// A tag to take away. May be given several times.
    #[arg(long, short, value_name = "TAG", value_parser = tag)]
    pub(crate) remove: Vec<String>,

    /// Take all tags away first.
    #[arg(long)]
    pub(crate) clear: bool,
}

/// A tag: some text without white space around it.
fn tag(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a tag says something".to_owned()),
        tag => Ok(tag.to_owned()),
    }
}

/// Arguments of `pod pin`.
#[derive(Args, Debug)]
pub(crate) struct PinArgs {
    /// Which conversations.
    #[command(flatten)]
    pub(crate) which: IdsArgs,

    /// Pin them no more.
    #[arg(long)]
    pub(crate) off: bool,
}

/// Arguments of `pod rm`.
#[derive(Args, Debug)]
pub(crate) struct RmArgs {
    /// Which conversations.
    #[command(flatten)]
    pub(crate) which: IdsArgs,

    /// For good, rather than into the trash.
    #[arg(long)]
    pub(crate) purge: bool,

    /// With --purge: first write each conversation that continues one of them anew, with what it continues copied.
    #[arg(long, requires = "purge")]
    pub(crate) detach: bool,

    /// Whether to do it.
    #[command(flatten)]
    pub(crate) consented: Consented,
}
