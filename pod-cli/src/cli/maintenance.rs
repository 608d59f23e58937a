//! The arguments of the commands that look after what is stored.

use clap::Args;
use store_core::SessionId;
use store_core::chain::ChainHead;

/// Arguments of `pod verify`.
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// Which conversations; without any, the whole store.
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,

    /// A head that was seen earlier: some log has to be, or begin with, the one that had it. May be given several times.
    #[arg(long, value_name = "HASH")]
    pub(crate) head: Vec<ChainHead>,

    /// Read every entry as JSON too, and hold the index against the logs.
    #[arg(long)]
    pub(crate) deep: bool,

    /// Take note of the holes that power losses left: they are not reported again.
    #[arg(long)]
    pub(crate) acknowledge: bool,
}

/// Arguments of `pod checkpoint`.
#[derive(Args, Debug)]
pub(crate) struct CheckpointArgs {
    /// Which conversation.
    #[arg(value_name = "ID")]
    pub(crate) id: String,

    /// Why.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,

    /// What it is called; not a number.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// List the checkpoints instead.
    #[arg(long, conflicts_with_all = ["reason", "name"])]
    pub(crate) list: bool,
}

/// What commands take that change what cannot be changed back as easily.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Consented {
    /// Say what would be done, change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Do not ask.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) yes: bool,
}

/// Arguments of `pod rollback`.
#[derive(Args, Debug)]
pub(crate) struct RollbackArgs {
    /// Which conversation.
    #[arg(value_name = "ID")]
    pub(crate) id: String,

    /// The checkpoint: its number, or its name.
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) to: String,

    /// Whether to do it.
    #[command(flatten)]
    pub(crate) consented: Consented,
}

/// Arguments of `pod repair`.
#[derive(Args, Debug)]
pub(crate) struct RepairArgs {
    /// Which conversation, or which segment of it; without it, all that is damaged in the store.
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,

    /// Only the ledger, or one book of it: its name, or its project's folder.
    #[arg(long, value_name = "BOOK", num_args = 0..=1, conflicts_with = "id")]
    pub(crate) ledger: Option<Option<String>>,

    /// For a database that cannot be read any more: make a new one of all that it still holds.
    #[arg(long, value_name = "URL", conflicts_with_all = ["id", "ledger"])]
    pub(crate) into: Option<String>,

    /// Whether to do it.
    #[command(flatten)]
    pub(crate) consented: Consented,
}

impl RepairArgs {
    /// Those of repairing a conversation, after asking.
    pub(crate) fn of(session: SessionId) -> Self {
        Self { id: Some(session.to_string()), ledger: None, into: None, consented: Consented::default() }
    }
}

/// Arguments of `pod gc`.
#[derive(Args, Debug)]
pub(crate) struct GcArgs {
    /// Whether to do it.
    #[command(flatten)]
    pub(crate) consented: Consented,
}

/// Arguments of `pod migrate`.
#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    /// The store to copy into: fs:PATH or sqlite:PATH; it is made if it is not there.
    #[arg(long, value_name = "URL")]
    pub(crate) to: String,

    /// Only this conversation and what it continues. May be given several times.
    #[arg(long = "session", value_name = "ID")]
    pub(crate) sessions: Vec<String>,

    /// Say what would be copied, write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}
