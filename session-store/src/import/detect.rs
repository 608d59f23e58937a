//! What a file is, told by what it holds, and which files a folder has.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::fields::time_ms;
use super::lines::{Found, Lines};
use super::record::{Agent, FileHead};
use super::unpack::{Unpacked, plain_path};
use super::{claude, codex, pi};

/// How many lines are looked at before a file is not a conversation.
const LINES_MAX: usize = 1000;
/// How many records of an agent its file's head is read from.
const HEAD_RECORDS: usize = 64;
/// How much text these may have together, after the first.
const HEAD_BYTES: usize = 4 << 20;

/// What a file turned out to be.
#[derive(Debug)]
pub(super) enum Detected {
    /// A conversation of an agent.
    Conversation(Box<FileHead>),
    /// Something else, and why.
    Refused(String),
}

/// Whether a record is one of an agent.
fn sniff(agent: Agent, record: &Value) -> bool {
    match agent {
        Agent::Claude => claude::sniff(record),
        Agent::Codex => codex::sniff(record),
        Agent::Pi => pi::sniff(record),
    }
}

/// Whether a record is one of any agent.
pub(super) fn is_record(record: &Value) -> bool {
    Agent::ALL.into_iter().any(|agent| sniff(agent, record))
}

/// Opens a file that is one: reading a pipe or a device may never end.
pub(super) fn open(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    File::open(path)
}

/// Reads as much of a file as tells what it is. With `only`, it is read as that agent's.
pub(super) fn detect(path: &Path, only: Option<Agent>) -> io::Result<Detected> {
    let file = open(path)?;
    let bytes = file.metadata()?.len();
    let mut text = Unpacked::new(file, bytes)?;
    let mut beginning = Vec::new();
    text.by_ref().take(64).read_to_end(&mut beginning)?;
    if let Some(reason) = text.damage().filter(|_| beginning.is_empty()) {
        return Ok(Detected::Refused(reason.to_owned()));
    }
    if let Some(reason) = refuse_beginning(&beginning) {
        return Ok(Detected::Refused(reason.to_owned()));
    }
    let mut lines = Lines::new(BufReader::new(beginning.as_slice().chain(text)), is_record);
    let mut found = Head::default();
    let mut looked_at = 0;
    while let Some(piece) = lines.next()? {
        looked_at += 1;
        let Found::Record { value, bytes } = piece.found else {
            if found.agent.is_none() && looked_at >= LINES_MAX {
                break;
            }
            continue;
        };
        found.take(value, bytes, only);
        if found.is_enough() || (found.agent.is_none() && looked_at >= LINES_MAX) {
            break;
        }
    }
    let Some(agent) = found.agent else {
        return Ok(Detected::Refused(why_not(&beginning, found.any, only)));
    };
    let path = plain_path(path);
    let head = match agent {
        Agent::Claude => claude::head(&path, &found.records),
        Agent::Codex => codex::head(&path, &found.records),
        Agent::Pi => pi::head(&path, &found.records),
    };
    let Some(mut head) = head else {
        return Ok(Detected::Refused(why_not(&beginning, found.any, only)));
    };
    if head.birth_ms == 0 {
        head.birth_ms = found.first_ms.unwrap_or(0);
    }
    Ok(Detected::Conversation(Box::new(head)))
}

/// What was found so far.
#[derive(Debug, Default)]
struct Head {
    agent: Option<Agent>,
    records: Vec<Value>,
    bytes: usize,
    /// The first readable time.
    first_ms: Option<u64>,
    /// Some line was a JSON object.
    any: bool,
}

impl Head {
    fn take(&mut self, record: Value, bytes: usize, only: Option<Agent>) {
        self.any = true;
        let is_of = |agent: &Agent| only.is_none_or(|only| only == *agent) && sniff(*agent, &record);
        self.agent = self.agent.or_else(|| Agent::ALL.into_iter().find(is_of));
        if self.first_ms.is_none() {
            self.first_ms = record.get("timestamp").and_then(time_ms);
        }
        if self.has_room() {
            self.bytes += bytes;
            self.records.push(record);
        }
    }

    fn has_room(&self) -> bool {
        self.records.len() < HEAD_RECORDS && self.bytes < HEAD_BYTES
    }

    fn is_enough(&self) -> bool {
        let is_told = match self.agent {
            // Nothing behind these changes what the head says.
            Some(Agent::Claude) => claude::tells_head(&self.records),
            _ => false,
        };
        is_told || (self.agent.is_some() && !self.has_room() && self.first_ms.is_some())
    }
}

fn refuse_beginning(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [] => Some("the file is empty"),
        [0x1F, 0x8B, ..] => Some("the file is compressed (gzip); unpack it and import what comes out"),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Some("the file is UTF-16; conversations are UTF-8"),
        _ if bytes.starts_with(b"SQLite format 3\0") => Some("the file is a database, not a conversation"),
        _ => None,
    }
}

fn why_not(beginning: &[u8], any_object: bool, only: Option<Agent>) -> String {
    let text = String::from_utf8_lossy(beginning);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let is_spread = text
        .strip_prefix(['{', '['])
        .is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with(['\n', '\r']));
    match only {
        _ if is_spread => {
            "the file is one JSON document spread over lines; a conversation has one record on each line".to_owned()
        }
        Some(only) if any_object => format!("no line is a record of {only}"),
        _ if any_object => "no line is a record of Claude Code, Codex or pi".to_owned(),
        _ => "no line is a JSON object".to_owned(),
    }
}

/// What a search for conversations came upon.
#[derive(Debug)]
pub(super) enum FoundFile {
    /// A file whose name says that it may be one.
    Candidate(PathBuf),
    /// A folder that could not be read.
    Unreadable(PathBuf, io::Error),
}

/// The files of a folder, deep, that may be conversations, sorted by path. Symbolic links are not followed: a conversation is
/// found where it is, once.
pub(super) fn search(folder: &Path) -> Vec<FoundFile> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        if let Err(error) = list(&folder, &mut folders, &mut found) {
            found.push(FoundFile::Unreadable(folder, error));
        }
    }
    found.sort_by(|a, b| a.path().cmp(b.path()));
    found
}

impl FoundFile {
    fn path(&self) -> &Path {
        match self {
            Self::Candidate(path) | Self::Unreadable(path, _) => path,
        }
    }
}

fn list(folder: &Path, folders: &mut Vec<PathBuf>, found: &mut Vec<FoundFile>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            folders.push(entry.path());
        } else if kind.is_file() && is_candidate(&entry.path()) {
            found.push(FoundFile::Candidate(entry.path()));
        }
    }
    Ok(())
}

fn is_candidate(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.ends_with(".jsonl") || name.ends_with(".jsonl.zst")
}
