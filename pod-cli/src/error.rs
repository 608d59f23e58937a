//! What went wrong, in words: kind, message, hint and exit code. The only place that has them.

mod ledger;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;
use serde::Serialize;
use session_store::SessionError;
use session_store::export::InstallError;
use session_store::import::IgnoredFile;
use session_store::index::Candidate;
use store_core::{Damage, Missing, SegmentId, StoreError};

use crate::render::{EscapeControls, Theme, clean, one_line};

/// How the program ends. The numbers are part of its interface.
pub(crate) mod exit {
    /// All is well.
    pub(crate) const OK: u8 = 0;
    /// It failed.
    pub(crate) const FAILED: u8 = 1;
    /// The command line makes no sense.
    pub(crate) const USAGE: u8 = 2;
    /// Nothing is called that, or several things are.
    pub(crate) const NOT_FOUND: u8 = 3;
    /// Stored bytes are not what was written.
    pub(crate) const DAMAGE: u8 = 4;
    /// Somebody else is writing, or was faster.
    pub(crate) const CONFLICT: u8 = 5;
    /// No agent to go on with.
    pub(crate) const NO_AGENT: u8 = 6;
    /// A budget is spent.
    pub(crate) const OVER_BUDGET: u8 = 7;
    /// A person cancelled it.
    pub(crate) const CANCELLED: u8 = 130;
}

/// The result of a command.
pub(crate) type Result<T, E = CliError> = std::result::Result<T, E>;

/// Why the program did not do what it was asked.
#[derive(Debug)]
pub(crate) enum CliError {
    /// The library refused or failed.
    Session(SessionError),
    /// The command line makes no sense.
    Usage { message: String, hint: Option<String> },
    /// The config file makes no sense.
    Config { path: PathBuf, detail: String },
    /// No store at the place that was named.
    NoStore { url: String },
    /// Nothing is called that.
    NotFound { id: String },
    /// Several things are called that.
    Ambiguous { id: String, candidates: Vec<Candidate> },
    /// No checkpoint of this name.
    NoCheckpoint { name: String, hint: String },
    /// Other conversations continue what is to be purged.
    Referenced { by: Vec<Candidate> },
    /// The program that was to make a summary did not.
    Summarizer { detail: String },
    /// A file or folder that was named is not there, or holds no conversation.
    NothingToImport { message: String, hint: Option<String>, ignored: Vec<IgnoredFile> },
    /// No agent that could go on with the conversation.
    AgentUnavailable { message: String, hint: String },
    /// An agent of that name is there already.
    AgentExists { name: String },
    /// No agent of that name.
    NoAgent { name: String, known: Vec<String> },
    /// No budget on a folder.
    NoBudget { project: String },
    /// A key that the config file does not set, and that has no usual value.
    NotSet { key: String },
    /// Another file stands where one was to be written.
    Occupied { path: PathBuf, went_on: bool },
    /// The operating system refused.
    Io { op: &'static str, path: PathBuf, source: io::Error },
    /// Standard output could not be written.
    Output(io::Error),
}

impl From<InstallError> for CliError {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::WentOn(path) => Self::Occupied { path, went_on: true },
            InstallError::Occupied(path) => Self::Occupied { path, went_on: false },
            InstallError::Io { path, source } => Self::Io { op: "write", path, source },
            error => Self::Output(io::Error::other(error)),
        }
    }
}

impl From<SessionError> for CliError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::NotFound { id } => Self::NotFound { id },
            error => Self::Session(error),
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::Session(error.into())
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// An error as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    /// The exit code.
    pub(crate) code: u8,
    /// What a program distinguishes errors by.
    pub(crate) kind: &'static str,
    /// What happened.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// What an ambiguous id may mean.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) candidates: Vec<Candidate>,
    /// Files that were looked at and are no conversations. A person is told of them beforehand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ignored: Vec<IgnoredFile>,
}

/// So many of those that an id may mean are told; the others are counted.
const CANDIDATES_TOLD_MAX: usize = 10;

/// What to do about damage.
pub(crate) const DAMAGE_HINT: &str = "what stands there was left as it is; make a copy of the store, then `pod verify` says what is damaged, `pod repair ID` saves the rest";

/// The same where it is in no log of a conversation: in what is said about one, or about the store.
const STORE_DAMAGE_HINT: &str = "what stands there was left as it is; make a copy of the store, then `pod verify` says what is damaged, `pod repair --dry-run` what can be saved in the whole store";

impl Report {
    fn new(code: u8, kind: &'static str, message: impl Into<String>, hint: Option<&str>) -> Self {
        Self {
            code,
            kind,
            message: message.into(),
            hint: hint.map(str::to_owned),
            candidates: Vec::new(),
            ignored: Vec::new(),
        }
    }

    /// The report of a command line that clap refuses.
    pub(crate) fn usage(message: String, hint: Option<&str>) -> Self {
        Self::new(exit::USAGE, "usage", message, hint)
    }

    /// The report of damage that a command got by with.
    pub(crate) fn damage(message: String, hint: &str) -> Self {
        Self::new(exit::DAMAGE, "corrupt", message, Some(hint))
    }

    /// Tells the error: for programs as one line of JSON, for people in words.
    pub(crate) fn tell(&self, to: &mut dyn Write, json: bool, theme: &Theme) -> io::Result<()> {
        if json {
            let mut to = EscapeControls::new(to);
            serde_json::to_writer(&mut to, &serde_json::json!({ "error": self })).map_err(io::Error::from)?;
            return writeln!(to);
        }
        let (bad, dim) = (theme.bad, theme.dim);
        writeln!(to, "{bad}error:{bad:#} {}", clean(&self.message))?;
        for candidate in self.candidates.iter().take(CANDIDATES_TOLD_MAX) {
            let title = candidate.title.as_deref().map_or_else(|| "(no title)".to_owned(), one_line);
            let of_session = |other: &&Candidate| other.session_id == candidate.session_id;
            // Several segments of one conversation are told apart by their own ids.
            let id = match self.candidates.iter().filter(of_session).count() {
                1 => candidate.session_id.to_string(),
                _ => candidate.segment_id.to_string(),
            };
            let agent = candidate.agent.as_deref().map(one_line).unwrap_or_default();
            writeln!(to, "  {id}  {title} {dim}{agent}{dim:#}")?;
        }
        match self.candidates.len().saturating_sub(CANDIDATES_TOLD_MAX) {
            0 => {}
            more => writeln!(to, "  {dim}… and {more} more (--json tells all){dim:#}")?,
        }
        if let Some(hint) = &self.hint {
            let warn = theme.warn;
            writeln!(to, "{warn}hint:{warn:#} {}", clean(hint))?;
        }
        Ok(())
    }
}

impl CliError {
    /// Whether nothing is to be said: the reader of our output has left.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What is told of it.
    pub(crate) fn report(&self) -> Report {
        match self {
            Self::Session(error) => session_report(error),
            Self::Usage { message, hint } => Report::usage(message.clone(), hint.as_deref()),
            Self::Config { path, detail } => Report::new(
                exit::USAGE,
                "config",
                format!("{}: {detail}", path.display()),
                Some("nothing was changed; correct it there, or move the file away: pod works without it"),
            ),
            Self::NoStore { url } => {
                Report::new(exit::NOT_FOUND, "no_store", format!("there is no store at {url}"), Some(MAKE_A_STORE))
            }
            Self::NotFound { id } => Report::new(
                exit::NOT_FOUND,
                "not_found",
                format!("nothing here is called {id:?}"),
                Some("`pod list --kind all --archived all --trashed all` lists what there is"),
            ),
            Self::Ambiguous { id, candidates } => ambiguous(id, candidates),
            Self::NoCheckpoint { name, hint } => Report::new(
                exit::NOT_FOUND,
                "checkpoint_not_found",
                format!("no checkpoint that holds is called {name:?}"),
                Some(hint),
            ),
            Self::Occupied { path, went_on } => occupied(path, *went_on),
            Self::Referenced { by } => referenced(by),
            Self::Summarizer { detail } => Report::new(
                exit::FAILED,
                "summarizer_failed",
                format!("the summarizer made no summary: {detail}"),
                Some(
                    "nothing was changed; --timeout SECONDS gives it longer, --summary FILE takes a summary that is there",
                ),
            ),
            Self::NothingToImport { message, hint, ignored } => Report {
                ignored: ignored.clone(),
                ..Report::new(exit::NOT_FOUND, "nothing_to_import", message, hint.as_deref())
            },
            Self::AgentUnavailable { message, hint } => {
                Report::new(exit::NO_AGENT, "agent_unavailable", message, Some(hint.as_str()))
            }
            Self::AgentExists { name } => Report::new(
                exit::CONFLICT,
                "agent_exists",
                format!("there is an agent called {name:?} already"),
                Some("nothing was changed; `pod config set agents.NAME.KEY VALUE` changes one"),
            ),
            Self::NoAgent { name, known } => no_agent(name, known),
            Self::NoBudget { project } => Report::new(
                exit::NOT_FOUND,
                "no_budget",
                format!("{project} has no such budget"),
                Some("`pod budget list` lists those that are set"),
            ),
            Self::NotSet { key } => Report::new(
                exit::NOT_FOUND,
                "not_set",
                format!("{key} is not set"),
                Some("`pod config get` prints all that is, `pod config set KEY VALUE` sets it"),
            ),
            Self::Io { op, path, source } => {
                Report::new(exit::FAILED, "io", format!("cannot {op} {}: {source}", path.display()), None)
            }
            Self::Output(source) => Report::new(exit::FAILED, "io", format!("cannot write the output: {source}"), None),
        }
    }
}

fn ambiguous(id: &str, candidates: &[Candidate]) -> Report {
    let hint = if candidates.iter().all(|one| one.title.as_deref() == Some(id)) {
        "that is the title of each of them: give one of these ids"
    } else {
        "give more characters of the one that is meant"
    };
    let message = format!("{id:?} fits {} of them", candidates.len());
    Report { candidates: candidates.to_vec(), ..Report::new(exit::NOT_FOUND, "ambiguous", message, Some(hint)) }
}

fn no_agent(name: &str, known: &[String]) -> Report {
    let hint = format!("there are {}; `pod agents add` adds one", known.join(", "));
    Report::new(exit::NOT_FOUND, "no_agent", format!("there is no agent called {name:?}"), Some(&hint))
}

/// Another file stands where one was to be written.
fn occupied(path: &Path, went_on: bool) -> Report {
    let path = path.display();
    let (kind, message, hint) = if went_on {
        let message = format!("{path} has more than the export: its agent went on in it");
        ("went_on", message, "nothing was written; `pod import` brings in what it added")
    } else {
        ("occupied", format!("another file is at {path}"), "nothing was written; -o PATH writes it elsewhere")
    };
    Report::new(exit::CONFLICT, kind, message, Some(hint))
}

fn referenced(by: &[Candidate]) -> Report {
    let message = match by.len() {
        1 => "another conversation continues what would be purged".to_owned(),
        several => format!("{several} other conversations continue what would be purged"),
    };
    let hint = "nothing was changed; purge these too, or give --detach: each is first written anew, with what it continues copied";
    Report { candidates: by.to_vec(), ..Report::new(exit::CONFLICT, "referenced", message, Some(hint)) }
}

fn session_report(error: &SessionError) -> Report {
    let message = error.to_string();
    match error {
        SessionError::Store(error) => store_report(error, message),
        SessionError::Ledger(error) => ledger::report(error, message),
        SessionError::OverBudget(over) => ledger::over_budget(over, message),
        SessionError::UnknownZone { .. } => ledger::unknown_zone(message),
        SessionError::Lineage(_) => {
            Report::new(exit::DAMAGE, "lineage", message, Some("the conversation's other segments can still be shown"))
        }
        SessionError::UnknownScheme { known, .. } => {
            let hint = format!(
                "a store's URL begins with one of: {}",
                known.iter().map(|name| format!("{name}:")).collect::<Vec<_>>().join(" ")
            );
            Report::new(exit::USAGE, "unknown_scheme", message, Some(&hint))
        }
        SessionError::BadUrl { .. } => {
            Report::new(exit::USAGE, "bad_url", message, Some("write fs:PATH, sqlite:PATH or memory:"))
        }
        SessionError::BadCursor { .. } => {
            Report::new(exit::USAGE, "bad_cursor", message, Some("begin again without --cursor"))
        }
        SessionError::NothingToSearch => {
            let hint = "give a word of letters or digits; `pod list` lists conversations without one";
            Report::new(exit::USAGE, "nothing_to_search", message, Some(hint))
        }
        SessionError::SameStore { .. } => {
            Report::new(exit::USAGE, "same_store", message, Some("--to names another place than --store"))
        }
        SessionError::CopyDiffers { .. } => Report::new(
            exit::CONFLICT,
            "copy_differs",
            message,
            Some(
                "nothing was deleted; somebody wrote to both: `pod show` and `pod fork` save what you want, then purge the copy and try again",
            ),
        ),
        SessionError::NotFound { .. } => Report::new(exit::NOT_FOUND, "not_found", message, None),
        SessionError::InvalidTurn { .. } => {
            Report::new(exit::USAGE, "invalid_turn", message, Some("`pod show ID` says the turns"))
        }
        SessionError::NothingToCompact { .. } => Report::new(
            exit::FAILED,
            "nothing_to_compact",
            message,
            Some("nothing was changed; a smaller --keep leaves more to summarise"),
        ),
        SessionError::Live { .. } => Report::new(
            exit::CONFLICT,
            "live",
            message,
            Some("nothing was changed; `pod log ID -f` watches it, `pod fork ID` goes another way now"),
        ),
        SessionError::NotTrashed { .. } => Report::new(
            exit::FAILED,
            "not_trashed",
            message,
            Some("nothing was changed; `pod list --trashed only --kind all` lists what is in the trash"),
        ),
        SessionError::EmptySummary => Report::new(exit::FAILED, "empty_summary", message, Some("nothing was changed")),
        SessionError::Index { .. } => Report::new(
            exit::FAILED,
            "index",
            with_sources(error),
            Some("the index holds nothing of its own: it may be deleted and is made again"),
        ),
        SessionError::Import { .. } => Report::new(exit::FAILED, "import", with_sources(error), None),
        _ => Report::new(exit::FAILED, "failed", with_sources(error), None),
    }
}

/// What to do where there is no store.
const MAKE_A_STORE: &str = "check the path, or make a store there with: pod import PATH";

fn not_in_the_store(missing: &Missing, message: String) -> Report {
    let (kind, hint) = match missing {
        Missing::Blob(_) => ("blob_not_found", None),
        Missing::Checkpoint(..) => ("checkpoint_not_found", Some("`pod checkpoints ID` lists those that hold")),
        Missing::Session(_) | Missing::Segment(_) => {
            ("not_found", Some("`pod list --kind all --archived all --trashed all` lists what there is"))
        }
    };
    Report::new(exit::NOT_FOUND, kind, message, hint)
}

fn continued_by(by: &[SegmentId], message: String) -> Report {
    let ids: Vec<String> = by.iter().map(ToString::to_string).collect();
    let hint = format!(
        "nothing was changed; it is continued by {}: `pod checkpoints ID` lists later checkpoints, `pod fork ID --at TURN` goes another way from before",
        ids.join(", ")
    );
    Report::new(exit::CONFLICT, "referenced", message, Some(&hint))
}

fn store_report(error: &StoreError, message: String) -> Report {
    let failed = |kind, hint: &str| Report::new(exit::FAILED, kind, message.clone(), Some(hint));
    match error {
        StoreError::NotFound(missing) => not_in_the_store(missing, message),
        StoreError::Corrupt(Damage { segment: None, .. }) => {
            Report::new(exit::DAMAGE, "corrupt", message, Some(STORE_DAMAGE_HINT))
        }
        StoreError::Corrupt(_) => Report::new(exit::DAMAGE, "corrupt", message, Some(DAMAGE_HINT)),
        StoreError::Conflict { .. } | StoreError::KeyReused { .. } | StoreError::AlreadyExists { .. } => Report::new(
            exit::CONFLICT,
            "conflict",
            message,
            Some("somebody else wrote meanwhile: look again, then decide"),
        ),
        StoreError::Diverged { .. } => Report::new(
            exit::CONFLICT,
            "diverged",
            message,
            Some("it was rolled back or made anew meanwhile: read it again from its start"),
        ),
        StoreError::Locked { .. } => Report::new(
            exit::CONFLICT,
            "locked",
            message,
            Some("wait for the other program to end, or use another store"),
        ),
        StoreError::Busy { .. } => Report::new(exit::CONFLICT, "busy", message, Some("try again in a moment")),
        StoreError::Referenced { by } => continued_by(by, message),
        StoreError::ReadOnly => failed("read_only", "reading works; to write, open the store where you may write"),
        StoreError::UnsupportedVersion { .. } => {
            failed("unsupported_version", "a newer pod wrote this store: use that one; nothing was changed")
        }
        StoreError::NoStore { .. } => Report::new(exit::NOT_FOUND, "no_store", message, Some(MAKE_A_STORE)),
        StoreError::NotAStore { .. } => failed("not_a_store", "name another place with --store; nothing was changed"),
        StoreError::Unsupported { .. } => failed("unsupported", "the other backend may offer it"),
        StoreError::NoSpace { .. } => failed(
            "no_space",
            "what was half written was taken back; the same command again goes on when there is space",
        ),
        StoreError::TooLarge { .. } => Report::new(exit::FAILED, "too_large", message, None),
        StoreError::InvalidEntry { .. } | StoreError::InvalidOrigin { .. } => {
            Report::new(exit::FAILED, "invalid", message, None)
        }
        StoreError::Io { path, source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            let hint = read_only_folder(path).map_or_else(
                || "check who owns the path; a store is readable by its owner only".to_owned(),
                |folder| {
                    format!(
                        "{} is read-only here: what only reads works, to write name another store",
                        folder.display()
                    )
                },
            );
            failed("permission_denied", &hint)
        }
        StoreError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
            failed("io", "nothing was overwritten; name a place where nothing is")
        }
        StoreError::Io { .. } => Report::new(exit::FAILED, "io", message, None),
        _ => Report::new(exit::FAILED, "failed", message, None),
    }
}

/// The folder of a path, if all that stands in the way is that nothing may be written there.
fn read_only_folder(path: &Path) -> Option<&Path> {
    let folder = path.parent()?;
    let may_be_read = matches!(access(path, Access::READ_OK), Ok(()) | Err(Errno::NOENT));
    let is_read_only = access(folder, Access::READ_OK).is_ok() && access(folder, Access::WRITE_OK).is_err();
    (may_be_read && is_read_only).then_some(folder)
}

/// The message of an error with those of its causes that it does not say itself.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use session_store::budget::{OverBudget, Per};
    use session_store::usage::NanoDollars;
    use store_core::{Expected, LeaseHolder, Position, Seq, SessionId};

    fn copy_differs() -> CliError {
        let (segment, copy) = (SegmentId::derive(1, b"segment"), SegmentId::derive(1, b"copy"));
        SessionError::CopyDiffers { segment, copy, seq: Seq(3) }.into()
    }

    fn every_error() -> Vec<CliError> {
        let position = Position { seq: Seq(3), crc32c: 0xAB };
        let segment = SegmentId::derive(1, b"segment");
        let store = |error: StoreError| CliError::from(error);
        let io_error = |kind| StoreError::io("open", Path::new("/store"), io::Error::from(kind));
        vec![
            CliError::Usage { message: "what?".into(), hint: None },
            CliError::Config { path: "/config.toml".into(), detail: "line 1: no".into() },
            CliError::NoStore { url: "fs:/nowhere".into() },
            CliError::NotFound { id: "abcd".into() },
            CliError::NoCheckpoint { name: "before".into(), hint: "there are: then".into() },
            CliError::NothingToImport {
                message: "no conversation below /x".into(),
                hint: None,
                ignored: vec![IgnoredFile { source: "/x/notes.jsonl".into(), reason: "not JSON".into() }],
            },
            SessionError::Live {
                session: SessionId::derive(1, b"session"),
                holder: LeaseHolder {
                    holder: "an agent".into(),
                    host: Some("box".into()),
                    since: Some(1_764_000_000_000),
                },
            }
            .into(),
            CliError::Referenced { by: Vec::new() },
            CliError::Summarizer { detail: "exit status: 1".into() },
            SessionError::NothingToCompact { turns: 2, kept: 2 }.into(),
            copy_differs(),
            SessionError::EmptySummary.into(),
            SessionError::NotTrashed { session: SessionId::derive(1, b"session") }.into(),
            CliError::AgentUnavailable { message: "codex is not there".into(), hint: "--agent NAME".into() },
            CliError::Io { op: "read", path: "/x".into(), source: io::ErrorKind::PermissionDenied.into() },
            CliError::Output(io::ErrorKind::StorageFull.into()),
            SessionError::UnknownScheme {
                scheme: "ftp".into(),
                known: vec!["fs".into(), "memory".into()],
                feature: None,
            }
            .into(),
            SessionError::BadUrl { url: "x".into(), detail: "no scheme".into() }.into(),
            SessionError::InvalidTurn { at: 9, turns: 3 }.into(),
            SessionError::SameStore { url: "fs:/store".into() }.into(),
            SessionError::NotFound { id: "abcd".into() }.into(),
            store(StoreError::no_session(SessionId::derive(1, b"session"))),
            store(StoreError::Corrupt(Damage {
                segment: Some(segment),
                part: 1,
                offset: 7,
                seq: Some(Seq(2)),
                detail: "checksum".into(),
            })),
            store(StoreError::Conflict { expected: Expected::Count(2), actual: position }),
            store(StoreError::Diverged {
                segment: SegmentId::derive(1, b"segment"),
                expected: position,
                actual: None,
                agreed: Position { seq: Seq(1), crc32c: 1 },
            }),
            store(StoreError::NotFound(Missing::Checkpoint(segment, 7))),
            store(StoreError::Referenced { by: vec![segment] }),
            store(StoreError::Locked { path: "/store/LOCK".into() }),
            store(StoreError::Busy { holder: "pod".into(), host: None, since: None }),
            store(StoreError::ReadOnly),
            store(StoreError::UnsupportedVersion { found: 9, known: 1 }),
            store(StoreError::NotAStore { path: "/etc".into(), detail: "no store.json".into() }),
            store(StoreError::NoSpace { path: None }),
            store(io_error(io::ErrorKind::PermissionDenied)),
            store(io_error(io::ErrorKind::NotADirectory)),
        ]
    }

    fn errors_of_settings() -> Vec<CliError> {
        vec![
            CliError::AgentExists { name: "codex".into() },
            CliError::NoAgent { name: "codx".into(), known: vec!["claude".into(), "codex".into()] },
            CliError::NotSet { key: "summarizer".into() },
            CliError::NoBudget { project: "~/web".into() },
            SessionError::from(OverBudget {
                project: "/home/dev/web".into(),
                per: Per::Day,
                limit: NanoDollars(20_000_000_000),
                spent: NanoDollars(19_500_000_000),
                reserved: NanoDollars(500_000_000),
                until: Some(1_764_028_800_000),
            })
            .into(),
            SessionError::UnknownZone { name: "Middle/Earth".into() }.into(),
        ]
    }

    #[test]
    fn every_error_has_a_code_a_kind_and_words() {
        let mut told = Vec::new();
        for error in every_error().into_iter().chain(errors_of_settings()) {
            error.report().tell(&mut told, true, &Theme::default()).unwrap();
            error.report().tell(&mut told, false, &Theme::default()).unwrap();
        }
        insta::assert_snapshot!(String::from_utf8(told).unwrap());
    }

    #[test]
    fn candidates_are_told_in_both_forms() {
        let candidate = |seed: &str, title: &str| Candidate {
            session_id: SessionId::derive(1, seed.as_bytes()),
            segment_id: SegmentId::derive(1, title.as_bytes()),
            native_id: Some("native".into()),
            title: Some(title.into()),
            agent: Some("pi".into()),
            cwd: None,
            updated_at: 1_764_000_000_000,
        };
        let candidates =
            vec![candidate("a", "one"), candidate("b", "\u{1b}[31mtwo\nlines"), candidate("b", "another segment")];
        let report = CliError::Ambiguous { id: "6789ab".into(), candidates }.report();
        let mut told = Vec::new();
        report.tell(&mut told, true, &Theme::default()).unwrap();
        report.tell(&mut told, false, &Theme::default()).unwrap();
        insta::assert_snapshot!(String::from_utf8(told).unwrap());
    }

    #[test]
    fn what_came_from_outside_does_not_reach_the_terminal_as_it_is() {
        let report = CliError::NothingToImport {
            message: "no \u{1b}[31mred\u{7}".into(),
            hint: Some("\u{9b}2J".into()),
            ignored: Vec::new(),
        }
        .report();
        let mut told = Vec::new();
        report.tell(&mut told, false, &Theme::default()).unwrap();
        let told = String::from_utf8(told).unwrap();
        assert!(!told.chars().any(|c| c.is_control() && c != '\n'), "{told:?}");
    }

    #[test]
    fn only_our_own_output_may_be_a_closed_pipe() {
        assert!(CliError::Output(io::ErrorKind::BrokenPipe.into()).is_closed_pipe());
        assert!(!CliError::Output(io::ErrorKind::StorageFull.into()).is_closed_pipe());
        let store = StoreError::io("write", Path::new("/x"), io::ErrorKind::BrokenPipe.into());
        assert!(!CliError::from(store).is_closed_pipe());
    }
}
