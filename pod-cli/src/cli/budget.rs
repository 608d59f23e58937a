//! The arguments of `pod budget`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use session_store::budget::Per;

use super::maintenance::Consented;

/// What `pod budget` does.
#[derive(Debug, Subcommand)]
pub(crate) enum BudgetCommand {
    /// Set a budget, or change it.
    ///
    /// A folder has one budget for each of day, week, month and total. It counts all that the present period has cost already, also before it was set.
    Set(BudgetSetArgs),
    /// Say how much is spent, reserved and left.
    List(BudgetListArgs),
    /// Take budgets away. What they were stays in the ledger.
    Rm(BudgetRmArgs),
}

/// Arguments of `pod budget set`.
#[derive(Args, Debug)]
pub(crate) struct BudgetSetArgs {
    /// The folder that it is for, with all below it; without it, this one.
    #[arg(long, value_name = "DIR")]
    pub(crate) project: Option<PathBuf>,

    /// How much may be spent in US dollars, such as 20 or 20.50.
    #[arg(long, value_name = "USD", allow_hyphen_values = true)]
    pub(crate) amount: String,

    /// In which time.
    #[arg(long, value_enum, value_name = "PERIOD")]
    pub(crate) per: BudgetPer,

    /// The time zone of days, weeks and months, such as Europe/Berlin or UTC; without it, this machine's.
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
}

/// Arguments of `pod budget list`.
#[derive(Args, Debug)]
pub(crate) struct BudgetListArgs {
    /// Only the budgets that a turn in this folder is under.
    #[arg(long, value_name = "DIR")]
    pub(crate) project: Option<PathBuf>,
}

/// Arguments of `pod budget rm`.
#[derive(Args, Debug)]
pub(crate) struct BudgetRmArgs {
    /// The folder; without it, this one.
    #[arg(long, value_name = "DIR")]
    pub(crate) project: Option<PathBuf>,

    /// Only the budget for this time; without it, all of the folder's.
    #[arg(long, value_enum, value_name = "PERIOD")]
    pub(crate) per: Option<BudgetPer>,

    /// Whether to do it.
    #[command(flatten)]
    pub(crate) consented: Consented,
}

/// The time that a budget is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BudgetPer {
    /// A day.
    Day,
    /// A week, from Monday on.
    Week,
    /// A month.
    Month,
    /// All time.
    Total,
}

impl From<BudgetPer> for Per {
    fn from(per: BudgetPer) -> Self {
        match per {
            BudgetPer::Day => Self::Day,
            BudgetPer::Week => Self::Week,
            BudgetPer::Month => Self::Month,
            BudgetPer::Total => Self::Total,
        }
    }
}
