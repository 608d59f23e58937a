//! The command line as clap sees it: types and help texts, nothing else.
//!
//! Help, completions and man pages all come from here. What a value means is decided where it is used; only what can
//! be judged without a store (a range of turns, a sort order) is parsed here.

mod budget;
mod conversation;
mod export;
mod ledger;
mod maintenance;
mod settings;
mod usage;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use store_core::SegmentId;

pub(crate) use budget::{BudgetCommand, BudgetListArgs, BudgetRmArgs, BudgetSetArgs};
pub(crate) use conversation::{CompactArgs, IdsArgs, PinArgs, RenameArgs, RmArgs, TagArgs};
pub(crate) use export::{ExportArgs, ExportTo};
pub(crate) use ledger::{LedgerBalanceArgs, LedgerBooksArgs, LedgerCommand, LedgerEventsArgs, LedgerHistoryArgs};
pub(crate) use maintenance::{CheckpointArgs, Consented, GcArgs, MigrateArgs, RepairArgs, RollbackArgs, VerifyArgs};
pub(crate) use settings::{AgentsAddArgs, AgentsCommand, AgentsTestArgs, ConfigCommand};
pub(crate) use usage::{UsageArgs, UsageBy, UsageCommand, UsageExplainArgs, UsageRebuildArgs, UsageReportArgs};

const AFTER_HELP: &str = "\
IDs: a session, a segment, or an agent's own id of a conversation; in full, as a unique beginning, or as a unique \
ending of at least 4 characters; or an exact title that is unique in this folder; or @last.

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found or ambiguous, 4 damage found, 5 live writer or conflict, \
6 agent unavailable, 7 over budget, 130 cancelled.

Files: $XDG_CONFIG_HOME/pod/config.toml (`pod config`); conversations are kept in $XDG_DATA_HOME/pod/sessions unless \
--store, POD_STORE or the config file says otherwise.

Environment: POD_STORE, NO_COLOR, PAGER, COLUMNS; POD_NOW (RFC 3339) stands in for the clock where output has to be \
reproducible.";

const NO_TURN_ZERO: &str = "turns are counted from 1";

/// The conversations of AI agents in one place: import, list, show and restore them.
#[derive(Debug, Parser)]
#[command(name = "pod", version, after_help = AFTER_HELP, max_term_width = 100)]
#[command(subcommand_value_name = "COMMAND", disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Restore this conversation and go on with it.
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,

    /// How `--session` goes on.
    #[command(flatten)]
    pub(crate) resume: ResumeOptions,

    /// With --session: what to say first.
    #[arg(last = true, value_name = "PROMPT", requires = "session", conflicts_with = "print")]
    pub(crate) prompt: Vec<String>,

    /// What every command takes.
    #[command(flatten)]
    pub(crate) global: Global,

    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Options that stand before or behind any command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "With every command")]
pub(crate) struct Global {
    /// The store: fs:PATH, sqlite:PATH or memory:.
    #[arg(long, global = true, env = "POD_STORE", value_name = "URL", hide_env_values = true)]
    pub(crate) store: Option<String>,

    /// Print JSON for programs, on standard error too.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// When to use colours.
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    pub(crate) color: ColorWhen,

    /// Never page the output.
    #[arg(long, global = true)]
    pub(crate) no_pager: bool,

    /// Do not look for what agents wrote since.
    #[arg(long, global = true)]
    pub(crate) no_refresh: bool,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring in conversations that Claude Code, Codex and pi wrote.
    ///
    /// Importing again brings in only what is new. The agents' files are never written to. Without a PATH the agents' usual folders are read (`pod
    /// agents list` names them), and from then on commands that list, search or show first bring in what agents wrote there since, in at most 200
    /// milliseconds; --no-refresh, or `refresh = false` in the config file, keeps them from it. With --watch exit code 130.
    Import(ImportArgs),
    /// List conversations.
    List(ListArgs),
    /// Search what was said: prompts, answers, thoughts, calls and results.
    ///
    /// Every word has to be there, in any case and with or without accents. "several words" stand side by side; begin* goes on; -word must not be
    /// there. Operators: agent: cwd: branch: model: tag: since: is:live|fork|compacted|archived|damaged|pinned|subagent, each with a hyphen in front for
    /// the opposite. Archived conversations and sub-agents are searched too. Newest conversations first.
    Search(SearchArgs),
    /// Choose a conversation on the terminal, and print its id.
    ///
    /// The picker is drawn on the terminal, and only the id of what was chosen is printed: id=$(pod pick). Exit code 130 if nothing was.
    Pick(PickArgs),
    /// Show a conversation.
    ///
    /// The branch from its root, across forks and compactions; a compaction is shown as its summary. With --json, thinking
    /// and tools are always complete.
    Show(ShowArgs),
    /// List the segments of a conversation.
    Segments(IdArgs),
    /// Print the entries of a log, a line each.
    ///
    /// A segment's id prints exactly that segment. A session, or an agent's own id, prints every segment of the session,
    /// the oldest first, each with its own entries only: what it continues in another session is not printed again.
    /// With --json each line is an object, and `entry` in it the entry as it is stored.
    ///
    /// With -f it goes on to print what is written, by whichever process, until Ctrl-C (exit code 130). A segment's id follows exactly
    /// that segment. A session's follows its current leaf, and every segment of the session that is made from then on and continues what
    /// is followed: forks, automatic ones too, and compactions. Other branches are followed by their own ids. A log that is rolled
    /// back or made anew while it is followed ends it with exit code 5.
    Log(LogArgs),
    /// Write a conversation as a file: for an agent that goes on with it, for people, for another store.
    ///
    /// The branch from its root. For an agent, every call is answered: one that nothing answered has a result that says it was interrupted; and the agent's own
    /// conversation is its own file, byte for byte, if nothing was added elsewhere. --install puts the file where the agent looks for it. A bundle, and what
    /// --to jsonl writes, is brought into another store with pod import. Another file is never written over. What the agent adds to it goes on in this conversation when
    /// it is imported.
    Export(ExportArgs),
    /// Continue a conversation from an earlier point, without copying it.
    ///
    /// Prints the id of the new segment, from which the conversation goes on.
    Fork(ForkArgs),
    /// Go on from a summary and the last turns.
    ///
    /// The model is given a summary in place of what came before, and the last turns as they are. Nothing is taken out of the conversation: a new
    /// segment refers to what stays, and `pod show` still shows everything. Refused while an agent writes.
    Compact(CompactArgs),
    /// Restore a conversation and go on with it; the same as `pod --session ID`.
    Resume(ResumeArgs),
    /// Give a conversation a title.
    ///
    /// A person's title outlasts any that an agent makes up.
    Rename(RenameArgs),
    /// Give conversations tags, or take them away.
    Tag(TagArgs),
    /// Pin conversations.
    Pin(PinArgs),
    /// Put conversations into the archive.
    Archive(IdsArgs),
    /// Take conversations out of the archive.
    Unarchive(IdsArgs),
    /// Put conversations into the trash, or get rid of them for good.
    ///
    /// The sub-agents that a conversation started go along. Nothing ever leaves the trash by itself: `pod undo` takes it out, --purge gets rid of it. What
    /// was purged is not imported again. Refused while an agent writes.
    Rm(RmArgs),
    /// Take conversations out of the trash, with all that went there along.
    Undo(IdsArgs),
    /// Set how much a folder may cost, and say how much of it is left.
    ///
    /// A budget is for a folder with all below it, in a day, a week, a month or altogether. `pod --session` reserves what a turn has cost so far before an agent is started, counts what it cost when it
    /// ended, warns when 80 % is spent, and starts none when nothing is left (exit code 7). What was spent is never refused, imported conversations count too, and each request counts
    /// once.
    #[command(subcommand)]
    Budget(BudgetCommand),
    /// Say what was used, and what it cost.
    ///
    /// Each provider request counts once in the whole store, however often it was recorded, forked or imported. What it cost is told by a list of prices that
    /// comes with the program, with cache rates and long contexts, as of the request's day; where the list does not know a model, by what the agent said. What nobody knows the
    /// price of is told as unpriced, and leaves a cost unknown rather than too low.
    Usage(UsageArgs),
    /// Look into the ledger: books, accounts, postings.
    ///
    /// What was used stands in a book for each project, in accounts for each agent, conversation, model and unit; the books are told what is new before they are shown. Amounts are told in whole
    /// units with the asset's decimals. --as-of shows what the ledger said at a time: what had been committed by then.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Prove that everything stored is what was written.
    ///
    /// Every checksum and number, the chain of hashes against every checkpoint, what continues what, blobs, permissions, and the index. With
    /// IDs only these conversations and what they continue. Exit code 4 if anything but a torn tail is damaged.
    Verify(VerifyArgs),
    /// Remember what a conversation is now, so that it can be rolled back to it.
    Checkpoint(CheckpointArgs),
    /// List the checkpoints of a conversation.
    Checkpoints(IdArgs),
    /// Set a conversation back to a checkpoint.
    ///
    /// What came after it goes to quarantine. Refused where another conversation continues what would be taken out, and while an agent writes.
    Rollback(RollbackArgs),
    /// Print what a conversation is, in one document that can be kept and compared.
    Manifest(IdArgs),
    /// Make what is damaged usable again: a conversation, the ledger, or all of the store.
    ///
    /// Every entry that is as it was written keeps its place; what is lost is said to be lost there; damaged bytes go to quarantine. A
    /// segment's id repairs that segment, any other id every damaged segment of the conversation. Of a book of the ledger what stands before the first
    /// damaged event is kept, and the rest is set aside. A database that cannot be read at all is salvaged into a new one by --into.
    Repair(RepairArgs),
    /// Remove what nothing refers to any more.
    Gc(GcArgs),
    /// Copy conversations into another store.
    ///
    /// Byte for byte, with what is said about them; read back and compared. The source is only read; it may be a folder of logs of an older
    /// layout. Again, it goes on where it was cut off, and brings what is new.
    Migrate(MigrateArgs),
    /// Say how the store and its surroundings are.
    Doctor,
    /// Say which agents are known, try them, or add one.
    #[command(subcommand)]
    Agents(AgentsCommand),
    /// Say what the config file says, or change it.
    ///
    /// Keys are those of docs/CONFIG.md, tables with a dot between: store, refresh, summarizer, agents.codex.program. What stands in the file
    /// beside a changed key stays as it is, comments too.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the completions of a shell.
    Completions(CompletionsArgs),
    /// Print the manual page, or write a page for each command.
    #[command(hide = true)]
    Man(ManArgs),
}

/// Arguments of `pod import`.
#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// Files and folders, searched deep; without any, the agents' usual folders.
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// Whose files they are.
    #[arg(long, value_enum, value_name = "AGENT", default_value_t)]
    pub(crate) from: ImportFrom,

    /// Say what would be imported, write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Keep the files' bytes, also of those that were imported without them.
    #[arg(long, conflicts_with = "no_raw")]
    pub(crate) keep_raw: bool,

    /// Keep what the files say, not their bytes.
    #[arg(long)]
    pub(crate) no_raw: bool,

    /// Go on to bring in what is written there, a line for each conversation, until Ctrl-C.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) watch: bool,
}

/// Whose files are imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportFrom {
    /// Told from their content.
    #[default]
    Auto,
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
    /// pi.
    Pi,
}

/// Arguments of `pod list`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListArgs {
    /// Only this agent's.
    #[arg(long)]
    pub(crate) agent: Option<String>,

    /// Only those that were ever in this folder or below it.
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,

    /// Only those with something new since then: a date, an RFC 3339 time, or how long ago (2h, 3d).
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,

    /// Main conversations, those that a tool call started, or all.
    #[arg(long, value_enum, value_name = "KIND", default_value_t)]
    pub(crate) kind: KindArg,

    /// Leave archived conversations out, list only them, or all.
    #[arg(long, value_enum, value_name = "WHICH", default_value_t)]
    pub(crate) archived: ArchivedArg,

    /// Leave conversations in the trash out, list only them, or all.
    #[arg(long, value_enum, value_name = "WHICH", default_value_t)]
    pub(crate) trashed: ArchivedArg,

    /// Only those with this tag.
    #[arg(long)]
    pub(crate) tag: Option<String>,

    /// The order.
    #[arg(long, value_enum, value_name = "BY", default_value_t)]
    pub(crate) sort: SortArg,

    /// At most this many; without it, all.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,

    /// Go on where a page ended: its next_cursor.
    #[arg(long)]
    pub(crate) cursor: Option<String>,
}

/// Arguments of `pod search`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SearchArgs {
    /// What to look for. What begins with a hyphen stands behind another word in quotes, or behind --.
    #[arg(value_name = "TEXT", required = true)]
    pub(crate) text: Vec<String>,

    /// Only this agent's.
    #[arg(long)]
    pub(crate) agent: Option<String>,

    /// Only those that were ever in this folder or below it.
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,

    /// At most this many places.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: u64,

    /// At most this many places of one conversation; without it, as many as there are.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) per_session: Option<u64>,
}

/// Which kinds of conversations are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindArg {
    /// Those that a person has.
    #[default]
    Main,
    /// Those that a tool call started.
    Subagent,
    /// All.
    All,
}

/// Whether archived conversations, or those in the trash, are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ArchivedArg {
    /// Left out.
    #[default]
    No,
    /// Only they.
    Only,
    /// With the others.
    All,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SortArg {
    /// Latest entry first.
    #[default]
    Updated,
    /// Latest beginning first.
    Created,
    /// By title.
    Title,
}

/// Arguments of `pod show`.
#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// Which conversation.
    #[arg(value_name = "ID")]
    pub(crate) id: String,

    /// Only the last N messages.
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<u64>,

    /// Only these turns, both ends included: 3, 3..5, 3.. or ..5.
    #[arg(long, value_name = "A..B")]
    pub(crate) turns: Option<TurnRange>,

    /// What a model would be given now: after compaction, with injected text, open calls closed.
    #[arg(long, conflicts_with = "all")]
    pub(crate) context: bool,

    /// Every segment of the session, dead branches too.
    #[arg(long)]
    pub(crate) all: bool,

    /// Show what the model thought.
    #[arg(long)]
    pub(crate) thinking: bool,

    /// How much of tool calls and their results to show.
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub(crate) tools: ToolsArg,

    /// The entries as they are stored.
    #[arg(long, conflicts_with_all = ["context", "thinking"])]
    pub(crate) raw: bool,
}

/// How much of tool calls is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ToolsArg {
    /// Nothing.
    Off,
    /// A line each.
    #[default]
    Short,
    /// Everything.
    Full,
}

/// A turn, 1-based.
fn turn(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(0) => Err(NO_TURN_ZERO.to_owned()),
        Ok(turn) => Ok(turn),
        Err(_) => Err(format!("{text:?} is not a turn")),
    }
}

/// A range of turns, both ends included, 1-based.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TurnRange {
    /// The first turn.
    pub(crate) first: u64,
    /// The last turn; `u64::MAX` for no end.
    pub(crate) last: u64,
}

impl FromStr for TurnRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str, open: u64| match text {
            "" => Ok(open),
            digits => digits.parse::<u64>().map_err(|_| format!("{digits:?} is not a turn")),
        };
        let (first, last) = match text.split_once("..") {
            Some(("", "")) => return Err("a range needs at least one end".to_owned()),
            Some((first, last)) => (number(first, 1)?, number(last, u64::MAX)?),
            None => {
                let turn = text.parse::<u64>().map_err(|_| format!("{text:?} is not a turn or a range of turns"))?;
                (turn, turn)
            }
        };
        if first == 0 || last == 0 {
            return Err(NO_TURN_ZERO.to_owned());
        }
        if first > last {
            return Err(format!("the range ends before it begins: {first} > {last}"));
        }
        Ok(Self { first, last })
    }
}

/// One conversation.
#[derive(Args, Debug)]
pub(crate) struct IdArgs {
    /// Which conversation.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

/// Arguments of `pod log`.
#[derive(Args, Debug)]
pub(crate) struct LogArgs {
    /// Which log: a segment, or a session for all of its segments.
    #[arg(value_name = "ID")]
    pub(crate) id: String,

    /// Only entries behind this seq; with a session, in each of its segments.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    pub(crate) after: u64,

    /// Go on to print what is written, until Ctrl-C.
    #[arg(short, long)]
    pub(crate) follow: bool,
}

impl LogArgs {
    /// Those of following a segment.
    pub(crate) fn following(segment: SegmentId) -> Self {
        Self { id: segment.to_string(), after: 0, follow: true }
    }
}

/// Arguments of `pod pick`.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PickArgs {
    /// Type this first.
    #[arg(long, value_name = "QUERY")]
    pub(crate) query: Option<String>,

    /// Take the only one that matches, without asking.
    #[arg(long)]
    pub(crate) select_1: bool,

    /// Leave at once if none matches.
    #[arg(long)]
    pub(crate) exit_0: bool,

    /// What to print: the id of the segment, or its conversation's row of `pod list --json`.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub(crate) print: PickPrint,

    /// Use so many lines below what stands on the terminal, not all of it.
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(u16).range(3..))]
    pub(crate) height: Option<u16>,
}

/// What `pod pick` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum PickPrint {
    /// The id alone.
    #[default]
    Id,
    /// The row of a list.
    Json,
}

/// Arguments of `pod fork`.
#[derive(Args, Debug)]
pub(crate) struct ForkArgs {
    /// Which conversation.
    #[arg(value_name = "ID")]
    pub(crate) id: String,

    /// The last turn to keep; without it, everything is kept.
    #[arg(long, value_name = "TURN", value_parser = turn)]
    pub(crate) at: Option<u64>,

    /// Make a conversation of its own, rather than a branch of this one.
    #[arg(long)]
    pub(crate) new_session: bool,
}

/// How a conversation is gone on with.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResumeOptions {
    /// With --session: restore, show, and end; with --json, the restored state.
    #[arg(long, conflicts_with_all = ["agent", "print_cmd", "cwd"])]
    pub(crate) print: bool,

    /// With --session: go on in this agent, of those that `pod agents list` names; usually the conversation's own.
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,

    /// With --session: print the command that goes on with the conversation, and start nothing. The agent's file is made ready.
    #[arg(long)]
    pub(crate) print_cmd: bool,

    /// With --session: go on in this folder; usually the conversation's own.
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,
}

/// Arguments of `pod resume`.
#[derive(Args, Debug)]
pub(crate) struct ResumeArgs {
    /// Which conversation.
    #[arg(value_name = "ID")]
    pub(crate) id: String,

    /// How to go on.
    #[command(flatten)]
    pub(crate) options: ResumeOptions,

    /// What to say first.
    #[arg(last = true, value_name = "PROMPT", conflicts_with = "print")]
    pub(crate) prompt: Vec<String>,
}

/// Arguments of `pod completions`.
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Arguments of `pod man`.
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// Write pod.1 and a page for each command into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_range_of_turns_may_be_open_at_one_end() {
        let range = |text: &str| text.parse::<TurnRange>().map(|range| (range.first, range.last));
        assert_eq!(range("3"), Ok((3, 3)));
        assert_eq!(range("3..5"), Ok((3, 5)));
        assert_eq!(range("3.."), Ok((3, u64::MAX)));
        assert_eq!(range("..5"), Ok((1, 5)));
    }

    #[test]
    fn a_range_that_holds_no_turn_is_refused() {
        for bad in ["", "..", "0", "0..2", "5..3", "a", "1..b", "-1", "1...3"] {
            assert!(bad.parse::<TurnRange>().is_err(), "{bad:?} must be refused");
        }
    }

    #[test]
    fn global_options_may_stand_behind_the_command() {
        let cli = Cli::try_parse_from(["pod", "list", "--json", "--store", "memory:"]).unwrap();
        assert!(cli.global.json);
        assert_eq!(cli.global.store.as_deref(), Some("memory:"));
    }
}
