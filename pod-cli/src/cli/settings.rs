//! The arguments of the commands about agents and about the config file.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What `pod config` does.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print where the config file is, whether it is there or not.
    Path,
    /// Print what is set, by the file or by default; of one key, or of all.
    Get {
        /// Which key.
        #[arg(value_name = "KEY")]
        key: Option<String>,
    },
    /// Set a key in the config file. The file is made if it is not there.
    Set {
        /// Which key.
        #[arg(value_name = "KEY")]
        key: String,

        /// To what; several for a list. What begins with a hyphen stands behind --.
        #[arg(value_name = "VALUE", required = true)]
        values: Vec<String>,
    },
    /// Take a key out of the config file.
    Unset {
        /// Which key.
        #[arg(value_name = "KEY")]
        key: String,
    },
}

/// What `pod agents` does.
#[derive(Debug, Subcommand)]
pub(crate) enum AgentsCommand {
    /// List the agents that are known, of the config file and of the program itself.
    List,
    /// Look whether agents can be used: their programs, versions and folders, and how many conversations are there.
    ///
    /// Exit code 6 if the program of one that was named is not found; without names, if none is.
    Test(AgentsTestArgs),
    /// Add an agent to the config file.
    Add(AgentsAddArgs),
}

/// Arguments of `pod agents test`.
#[derive(Args, Debug)]
pub(crate) struct AgentsTestArgs {
    /// Which agents; without any, all that are enabled.
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

/// Arguments of `pod agents add`.
#[derive(Args, Debug)]
pub(crate) struct AgentsAddArgs {
    /// What it is called: 1 to 32 of a-z, 0-9, - and _.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// The agent that it is like in all that is not said.
    #[arg(long, value_name = "AGENT", required_unless_present = "format")]
    pub(crate) like: Option<String>,

    /// Whose files it writes: claude, codex or pi.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,

    /// Its program: a name in PATH, or a path.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) program: Option<String>,

    /// Its own folder, which it is also started with.
    #[arg(long, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,

    /// Where it keeps conversations: below its own folder, or anywhere. May be given several times.
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Vec<String>,

    /// What people call it.
    #[arg(long, value_name = "TITLE")]
    pub(crate) title: Option<String>,
}
