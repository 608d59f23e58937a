//! The arguments of `pod usage`.

use clap::{Args, Subcommand, ValueEnum};

use super::maintenance::Consented;

/// Arguments of `pod usage`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct UsageArgs {
    /// What to do beside a report.
    #[command(subcommand)]
    pub(crate) command: Option<UsageCommand>,

    /// What the report is of.
    #[command(flatten)]
    pub(crate) report: UsageReportArgs,
}

/// What a report of usage is of.
#[derive(Args, Debug)]
pub(crate) struct UsageReportArgs {
    /// What to sum up by; days, if it is left out.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) by: Option<UsageBy>,

    /// Only requests of this time or later: a date, a time, or how long ago.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,

    /// Only requests before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,

    /// What the books of the ledger said at this time: what had been posted by then, at the prices of then.
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<String>,

    /// By conversation, with what each continues or repeats of others beside its own.
    #[arg(long, conflicts_with = "as_of")]
    pub(crate) inherited: bool,

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

/// What `pod usage` does beside reports.
#[derive(Debug, Subcommand)]
pub(crate) enum UsageCommand {
    /// Say what each usage record of a conversation counts for, and why.
    ///
    /// A record is counted, inherited (another conversation holds the request first) or a duplicate (another record of the conversation counts for the request);
    /// what is counted may be unpriced, where the list has no price for its model at its time. What is counted sums up to what the report says of the conversation. A segment's id explains that segment alone.
    Explain(UsageExplainArgs),
    /// Derive the usage books from the logs again, and set them right where they differ.
    ///
    /// Every log is read, and every account of the usage books is held against what the logs say; the index takes no part. What was purged or rolled back was spent all the same, and stays in the books. What
    /// differs is set right by further transactions: nothing is ever taken out of a book. Exit code 4 if something differs that no request explains.
    Rebuild(UsageRebuildArgs),
}

/// Arguments of `pod usage explain`.
#[derive(Args, Debug)]
pub(crate) struct UsageExplainArgs {
    /// Which conversation, or which segment.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

/// Arguments of `pod usage rebuild`.
#[derive(Args, Debug)]
pub(crate) struct UsageRebuildArgs {
    /// What is asked for before anything is posted.
    #[command(flatten)]
    pub(crate) consented: Consented,
}
