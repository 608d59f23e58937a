//! Where everything of a store lies: the only place that joins paths and parses names.
//!
//! `docs/FORMAT.md` describes the same tree for people. Names are made of typed ids, of content addresses that
//! were checked, and of fixed words; no text of a caller becomes part of a path.

mod ledger;
mod older;
mod snapshot_set;

use std::path::{Path, PathBuf};

use store_core::chain::is_sha256_hex;
use store_core::codec::LogContext;
use store_core::{SegmentId, SessionId};
use uuid::Uuid;

pub(crate) use self::ledger::{BookKey, RunName};
pub(crate) use self::snapshot_set::{SetName, SnapshotLayout};
use crate::disk::{FileKind, Listed};
use crate::record_log::Replacing;

/// The version of the format that this crate writes.
// Persisted: never renumber or reuse.
pub const FORMAT_VERSION: u32 = 1;

// Persisted: never rename.
const STORE_JSON: &str = "store.json";
const LOCK: &str = "LOCK";
const CREATE: &str = "CREATE";
const FACTS: &str = "facts.jsonl";
const CHANGES: &str = "changes.jsonl";
const MIGRATIONS: &str = "migrations.jsonl";
const LIVE: &str = "live";
const BY_SEGMENT: &str = "by-segment";
const BY_ORIGIN: &str = "by-origin";
const BLOBS: &str = "blobs";
const QUARANTINE: &str = "quarantine";
const INDEX: &str = "index.db";
const NEW: &str = ".new-";
const FAILED: &str = ".failed";
const REPLACEMENT: &str = ".new";
const REPLACING: &str = ".replacing";
const CHECKPOINTS: &str = ".checkpoints.jsonl";
const TRACE: &str = ".trace.jsonl";
/// The mark that a sync of a log's first part failed.
const LOG_FAILED: &str = ".jsonl.failed";

/// The place of a log, or of one part of a segment's log, and what its checksums are taken over.
#[derive(Clone, Debug)]
pub(crate) struct LogName {
    pub(crate) path: PathBuf,
    pub(crate) context: LogContext,
    /// Whose log it is; `None` for the logs beside the segments, which have one part.
    pub(crate) segment: Option<SegmentId>,
    /// Which part of the log, from 1.
    pub(crate) part: u32,
    /// Where the bytes go that recovery takes out.
    pub(crate) quarantine: PathBuf,
    /// The store's root.
    pub(crate) root: PathBuf,
    /// What is being done to the log's parts as a whole, if that is decided and not done yet.
    pub(crate) replacing: Option<Replacing>,
}

impl LogName {
    /// The same log in a folder that is being made.
    pub(crate) fn moved_to(self, folder: &Path) -> Self {
        let path = self.path.file_name().map_or_else(|| folder.to_owned(), |name| folder.join(name));
        Self { path, ..self }
    }

    /// The folder that the log stands in.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// The folders that the log is in, from its own to the root.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.path.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.root))
    }

    /// Another part of the same segment's log.
    pub(crate) fn of_part(&self, part: u32) -> Self {
        let Some(segment) = self.segment else { return self.clone() };
        Self { path: self.folder().join(part_name(segment, part)), part, ..self.clone() }
    }

    /// What says that the segment's log is being replaced.
    pub(crate) fn replacing_file(&self) -> Option<PathBuf> {
        Some(self.folder().join(format!("{}{REPLACING}", self.segment?)))
    }

    /// The mark that a sync of the log failed.
    pub(crate) fn failed(&self) -> PathBuf {
        self.beside(FAILED)
    }

    /// The file that is going to take the log's place.
    pub(crate) fn replacement(&self) -> PathBuf {
        self.beside(REPLACEMENT)
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(ending);
        path.into()
    }

    /// Its path relative to the root, for people.
    pub(crate) fn relative(&self) -> String {
        self.relative_path(&self.path)
    }

    /// A path in the store relative to the root, for people.
    pub(crate) fn relative_path(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }

    /// A name for a file of this process alone, which loses it at once. What a process that died left of it is a leftover.
    pub(crate) fn put_aside(&self) -> PathBuf {
        new_name(&self.root)
    }

    /// A place for the bytes that recovery takes out from `offset` on; `attempt` tells later ones apart.
    pub(crate) fn quarantined(&self, offset: u64, attempt: u32) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.quarantine.join(format!("{name}.{offset}.{attempt}"))
    }
}

/// The file name of a part of a segment's log.
fn part_name(segment: SegmentId, part: u32) -> String {
    if part == 1 { format!("{segment}.jsonl") } else { format!("{segment}.{part}.jsonl") }
}

fn new_name(folder: &Path) -> PathBuf {
    folder.join(format!("{NEW}{}", Uuid::new_v4()))
}

/// The paths of one store.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn store_json(&self) -> PathBuf {
        self.root.join(STORE_JSON)
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join(LOCK)
    }

    pub(crate) fn create_lock(&self) -> PathBuf {
        self.root.join(CREATE)
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join(INDEX)
    }

    /// A name for something that is being made, or that is going away: it belongs to whoever holds `CREATE`.
    pub(crate) fn new_name(&self) -> PathBuf {
        new_name(&self.root)
    }

    /// The log inside a session folder that is being made.
    pub(crate) fn log_in(folder: &Path, segment: SegmentId) -> PathBuf {
        folder.join(part_name(segment, 1))
    }

    /// The lock of whoever maintains a session: made when it is first needed.
    pub(crate) fn session_lock(&self, session: SessionId) -> PathBuf {
        self.session(session).join(LOCK)
    }

    /// The lease of a segment's live writer: there while it is held, and locked.
    pub(crate) fn lease(&self, session: SessionId, segment: SegmentId) -> PathBuf {
        self.session(session).join(format!("{segment}.lease"))
    }

    pub(crate) fn by_segment_root(&self) -> PathBuf {
        self.root.join(BY_SEGMENT)
    }

    pub(crate) fn by_segment_folder(&self, segment: SegmentId) -> PathBuf {
        self.by_segment_root().join(format!("{:02x}", segment.as_bytes()[15]))
    }

    pub(crate) fn by_segment(&self, segment: SegmentId) -> PathBuf {
        self.by_segment_folder(segment).join(segment.to_string())
    }

    pub(crate) fn by_origin_root(&self) -> PathBuf {
        self.root.join(BY_ORIGIN)
    }

    pub(crate) fn by_origin_folder(&self, segment: SegmentId) -> PathBuf {
        self.by_origin_root().join(segment.to_string())
    }

    pub(crate) fn by_origin(&self, segment: SegmentId, child: SegmentId) -> PathBuf {
        self.by_origin_folder(segment).join(child.to_string())
    }

    pub(crate) fn live_root(&self) -> PathBuf {
        self.root.join(LIVE)
    }

    pub(crate) fn live(&self, handle: Uuid) -> PathBuf {
        self.live_root().join(handle.to_string())
    }

    pub(crate) fn live_context(handle: Uuid) -> LogContext {
        LogContext::path(&format!("{LIVE}/{handle}"))
    }

    pub(crate) fn session(&self, session: SessionId) -> PathBuf {
        self.root.join(session.to_string())
    }

    pub(crate) fn log(&self, session: SessionId, segment: SegmentId) -> PathBuf {
        Self::log_in(&self.session(session), segment)
    }

    /// The first part of a segment's log.
    pub(crate) fn log_name(&self, session: SessionId, segment: SegmentId) -> LogName {
        LogName {
            path: self.log(session, segment),
            context: LogContext::segment(segment),
            segment: Some(segment),
            part: 1,
            quarantine: self.session(session).join(QUARANTINE),
            root: self.root.clone(),
            replacing: None,
        }
    }

    pub(crate) fn trace_name(&self, session: SessionId, segment: SegmentId) -> LogName {
        self.session_side_log(session, &format!("{segment}{TRACE}"))
    }

    pub(crate) fn checkpoints_name(&self, session: SessionId, segment: SegmentId) -> LogName {
        self.session_side_log(session, &format!("{segment}{CHECKPOINTS}"))
    }

    pub(crate) fn session_facts_name(&self, session: SessionId) -> LogName {
        self.session_side_log(session, FACTS)
    }

    fn session_side_log(&self, session: SessionId, name: &str) -> LogName {
        let folder = self.session(session);
        LogName {
            path: folder.join(name),
            context: LogContext::path(&format!("{session}/{name}")),
            segment: None,
            part: 1,
            quarantine: folder.join(QUARANTINE),
            root: self.root.clone(),
            replacing: None,
        }
    }

    pub(crate) fn facts_name(&self) -> LogName {
        self.root_log(FACTS)
    }

    pub(crate) fn changes_name(&self) -> LogName {
        self.root_log(CHANGES)
    }

    pub(crate) fn migrations_name(&self) -> LogName {
        self.root_log(MIGRATIONS)
    }

    /// Where bytes lie that were taken out of the root's own files.
    pub(crate) fn root_quarantine(&self) -> PathBuf {
        self.root.join(QUARANTINE)
    }

    /// Where the bytes of a `store.json` are kept that was damaged.
    pub(crate) fn quarantined_header(&self, attempt: u32) -> PathBuf {
        self.root_quarantine().join(format!("store.json.0.{attempt}"))
    }

    fn root_log(&self, name: &str) -> LogName {
        LogName {
            path: self.root.join(name),
            context: LogContext::path(name),
            segment: None,
            part: 1,
            quarantine: self.root.join(QUARANTINE),
            root: self.root.clone(),
            replacing: None,
        }
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join(BLOBS)
    }

    pub(crate) fn blobs_lock(&self) -> PathBuf {
        self.blobs().join(LOCK)
    }

    pub(crate) fn new_blob(&self) -> PathBuf {
        new_name(&self.blobs())
    }

    /// The folder of a blob whose address was checked to be one.
    pub(crate) fn blob_folder(&self, sha256: &str) -> PathBuf {
        self.blobs().join(sha256.get(..2).unwrap_or(sha256))
    }

    pub(crate) fn blob(&self, sha256: &str) -> PathBuf {
        self.blob_folder(sha256).join(sha256)
    }

    /// What was listed in a folder of blobs, if it has a blob's name and lies in that blob's folder: the address.
    pub(crate) fn parse_blob<'l>(folder: &Path, listed: &'l Listed) -> Option<&'l str> {
        let name = listed.name.to_str().filter(|name| is_sha256_hex(name))?;
        (folder.file_name()?.to_str() == name.get(..2)).then_some(name)
    }

    /// Where the bytes lie that recovery took out of the logs of a session, or of the store's own.
    pub(crate) fn quarantine(&self, session: Option<SessionId>) -> PathBuf {
        session.map_or_else(|| self.root.clone(), |session| self.session(session)).join(QUARANTINE)
    }

    /// Everything that the store has in its root beside its sessions.
    pub(crate) fn own(&self) -> impl Iterator<Item = PathBuf> {
        [
            STORE_JSON,
            LOCK,
            CREATE,
            FACTS,
            CHANGES,
            MIGRATIONS,
            LIVE,
            BY_SEGMENT,
            BY_ORIGIN,
            BLOBS,
            QUARANTINE,
            ledger::LEDGER,
        ]
        .into_iter()
        .map(|name| self.root.join(name))
    }

    /// Whether something that was listed is being made or goes away.
    pub(crate) fn is_new(listed: &Listed) -> bool {
        listed.name.to_str().is_some_and(|name| name.starts_with(NEW))
    }

    /// Whether a folder of only such things may become a store: what a first open leaves when it is cut short.
    pub(crate) fn is_of_unfinished_store(listed: &Listed) -> bool {
        let own = Self::is_new(listed) || listed.name == LOCK || listed.name == CREATE;
        own && listed.kind == FileKind::File
    }

    /// What was listed in the root, if it is a session's folder.
    pub(crate) fn parse_session(listed: &Listed) -> Option<SessionId> {
        listed.name.to_str().filter(|_| listed.kind == FileKind::Folder)?.parse().ok()
    }

    /// What was listed in a session's folder, if it has a log's name: the segment and the part, from 1. What stands there
    /// instead of a regular file is damage of that segment, and not nothing.
    pub(crate) fn parse_log(listed: &Listed) -> Option<(SegmentId, u32)> {
        Self::parse_log_name(listed.name.to_str()?)
    }

    /// What was listed in a session's folder, if it is the mark that a sync of a part failed.
    pub(crate) fn parse_failed(listed: &Listed) -> Option<(SegmentId, u32)> {
        Self::parse_log_name(listed.name.to_str()?.strip_suffix(FAILED)?)
    }

    /// What was listed in a session's folder, if nobody makes it but where the segment has a log: a part of it, a mark that a sync of it
    /// failed, what is decided of its parts, its traces, its checkpoints.
    pub(crate) fn parse_of_segment(listed: &Listed) -> Option<SegmentId> {
        if let Some((segment, _)) = Self::parse_log(listed) {
            return Some(segment);
        }
        let (segment, rest) = listed.name.to_str()?.split_once('.')?;
        let segment = segment.parse().ok()?;
        let beside = [REPLACING, CHECKPOINTS, TRACE, LOG_FAILED]
            .into_iter()
            .any(|ending| ending.strip_prefix('.') == Some(rest));
        beside.then_some(segment)
    }

    /// The files beside a segment's log that nobody makes but where there is a log.
    pub(crate) fn beside_log(&self, session: SessionId, segment: SegmentId) -> [PathBuf; 4] {
        let folder = self.session(session);
        [CHECKPOINTS, TRACE, REPLACING, LOG_FAILED].map(|ending| folder.join(format!("{segment}{ending}")))
    }

    /// What was listed in a folder of `by-segment/`, if it leads to a segment.
    pub(crate) fn parse_look_up(listed: &Listed) -> Option<SegmentId> {
        listed.name.to_str()?.parse().ok()
    }

    fn parse_log_name(name: &str) -> Option<(SegmentId, u32)> {
        let stem = name.strip_suffix(".jsonl")?;
        let Some((segment, part)) = stem.split_once('.') else { return Some((stem.parse().ok()?, 1)) };
        let number: u32 = part.parse().ok().filter(|number| *number >= 2)?;
        if number.to_string() != part {
            return None;
        }
        Some((segment.parse().ok()?, number))
    }

    /// What was listed in `live/`, if it is a handle's entry.
    pub(crate) fn parse_live(listed: &Listed) -> Option<Uuid> {
        let name = listed.name.to_str()?;
        Uuid::try_parse(name).ok().filter(|id| id.to_string() == name)
    }

    /// What was listed in `by-origin/<segment>/`.
    pub(crate) fn parse_child(listed: &Listed) -> Option<SegmentId> {
        listed.name.to_str()?.parse().ok()
    }

    /// The path of something that was listed in a folder.
    pub(crate) fn listed(folder: &Path, listed: &Listed) -> PathBuf {
        folder.join(&listed.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_the_store_writes_are_logs() {
        let id = SegmentId::derive(7, b"log");
        assert_eq!(Layout::parse_log_name(&format!("{id}.jsonl")), Some((id, 1)));
        assert_eq!(Layout::parse_log_name(&format!("{id}.2.jsonl")), Some((id, 2)));
        for bad in ["1.jsonl", "02.jsonl", "+2.jsonl", "trace.jsonl", "checkpoints.jsonl", "lease", "jsonl.bak"] {
            assert_eq!(Layout::parse_log_name(&format!("{id}.{bad}")), None, "{bad}");
        }
        assert_eq!(Layout::parse_log_name("facts.jsonl"), None);
        for (ending, is_of_segment) in [
            ("jsonl", true),
            ("3.jsonl", true),
            ("trace.jsonl", true),
            ("checkpoints.jsonl", true),
            ("replacing", true),
            ("jsonl.failed", true),
            ("jsonl.new", false),
            ("lease", false),
            ("jsonl.bak", false),
        ] {
            let listed = Listed { name: format!("{id}.{ending}").into(), kind: FileKind::File };
            assert_eq!(Layout::parse_of_segment(&listed), is_of_segment.then_some(id), "{ending}");
        }
        assert_eq!(Layout::parse_log_name(".jsonl"), None);
    }
}
