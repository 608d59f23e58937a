//! The arguments of `pod usage`.

use clap::{Args, ValueEnum};

/// Arguments of `pod usage`.
#[derive(Args, Debug)]
pub(crate) struct UsageArgs {
    /// What to sum up by.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub(crate) by: UsageBy,

    /// Only requests of this time or later: a date, a time, or how long ago.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,

    /// Only requests before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,

    /// The time zone of days, weeks and months, such as Europe/Berlin or UTC; without it, this machine's.
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,

    /// Print comma-separated values, a line a group.
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
}

/// What usage is summed up by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum UsageBy {
    /// Days.
    #[default]
    Day,
    /// Weeks of ISO 8601.
    Week,
    /// Months.
    Month,
    /// Five hours from the first use on.
    Block,
    /// Conversations.
    Session,
    /// Models.
    Model,
    /// Agents.
    Agent,
    /// Folders.
    Project,
}
