//! What can go wrong, as a caller would act on it.
//!
//! A variant exists where the caller does something else; the rest is [`StoreError::Io`] or
//! [`StoreError::Backend`] with the foreign detail boxed. No words for people live here: hints and exit codes
//! belong to the program.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::id::{Position, SegmentId, Seq, SessionId, TimestampMs};
use crate::store::Expected;

/// The result of every call on a store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A foreign error, boxed so that no foreign type is part of this crate's API.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a call looked for and did not find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No segment of this store belongs to the session.
    Session(SessionId),
    /// The store has no such segment, or it belongs to another session.
    Segment(SegmentId),
    /// No bytes with this content address.
    Blob(String),
    /// The segment has no such checkpoint, or the checkpoint is void.
    Checkpoint(SegmentId, u64),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(id) => write!(f, "session {id}"),
            Self::Segment(id) => write!(f, "segment {id}"),
            Self::Blob(id) => write!(f, "blob {id}"),
            Self::Checkpoint(segment, number) => write!(f, "checkpoint {number} of segment {segment}"),
        }
    }
}

/// Where a log is damaged and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment whose log is damaged; `None` for facts, blobs and the store's own files.
    pub segment: Option<SegmentId>,
    /// Which part of the log, from 1. A store without parts says 1.
    pub part: u32,
    /// Bytes from the start of the part; a row number where the medium has no bytes.
    pub offset: u64,
    /// The seq that should stand there, where it is known.
    pub seq: Option<Seq>,
    /// What is wrong, for a person.
    pub detail: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(segment) = self.segment {
            write!(f, "segment {segment}, ")?;
        }
        write!(f, "part {}, offset {}", self.part, self.offset)?;
        if let Some(seq) = self.seq {
            write!(f, ", seq {seq}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Nothing of that name is here. Look it up by another id, or create it.
    #[error("{0} is not in this store")]
    NotFound(Missing),

    /// The segment id is taken, in this or another session. Nothing was changed.
    #[error("segment {segment} already exists in session {session}")]
    AlreadyExists {
        /// The session that has the segment.
        session: SessionId,
        /// The id that is taken.
        segment: SegmentId,
    },

    /// The log does not end where the caller expected. Nothing was written: read what was added, then decide.
    #[error("the log was expected to end at {expected}, it ends at {actual}")]
    Conflict {
        /// What the caller expected.
        expected: Expected,
        /// Where the log ends.
        actual: Position,
    },

    /// The log does not say any more what was read of it: it was rolled back, and may have grown again, or the segment was
    /// made anew. What was read behind `agreed` no longer holds: forget it and read from there.
    #[error("segment {segment} has diverged: {expected} does not stand there any more{}", agreed_text(*agreed))]
    Diverged {
        /// The segment.
        segment: SegmentId,
        /// What was read last, or where the reader wanted to go on.
        expected: Position,
        /// What stands at that seq now; `None` if the log is shorter.
        actual: Option<Position>,
        /// The last position that is known to stand there still; seq 0 if none is known.
        agreed: Position,
    },

    /// The idempotency key stands in the segment with another text. Nothing was written.
    #[error("the key {key:?} was already used at {position} for another entry")]
    KeyReused {
        /// The key.
        key: String,
        /// Where it stands.
        position: Position,
    },

    /// An entry that could not be read back, or that may not stand where it was put. Nothing was written.
    #[error("entry {index} of the call is invalid: {detail}")]
    InvalidEntry {
        /// 0-based place of the entry in the call.
        index: usize,
        /// What is wrong with it.
        detail: String,
    },

    /// A `segment_start` that continues a point that does not exist, or refers outside its own lineage.
    #[error("the segment's origin is invalid: {detail}")]
    InvalidOrigin {
        /// What is wrong with it.
        detail: String,
    },

    /// A line, a call or a blob over its limit. Nothing was written: split it, or put large parts into blobs.
    #[error("{bytes} bytes are more than the {bytes_max} that are allowed")]
    TooLarge {
        /// What was asked for.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },

    /// Stored bytes are not what was written. Reads refuse instead of answering less.
    #[error("damaged: {0}")]
    Corrupt(Damage),

    /// Other segments continue what was to go: a session that is to be deleted, entries that are to be rolled back. Nothing
    /// was changed.
    #[error("{}", referenced_text(by.len()))]
    Referenced {
        /// The segments that refer to it.
        by: Vec<SegmentId>,
    },

    /// Another process has the store open in a way that excludes this one.
    #[error("{} is locked by another process", path.display())]
    Locked {
        /// The lock that is held.
        path: PathBuf,
    },

    /// Somebody else is at it, and did not finish within the bounded wait. Try again.
    #[error("busy: {holder}{}", host.as_deref().map(|h| format!(" on {h}")).unwrap_or_default())]
    Busy {
        /// Who holds it, as far as that is known.
        holder: String,
        /// On which machine.
        host: Option<String>,
        /// Since when.
        since: Option<TimestampMs>,
    },

    /// The store was opened for reading, or its medium does not take writes.
    #[error("the store is open for reading only")]
    ReadOnly,

    /// The store's format is newer than this program may use it for. Nothing was touched.
    #[error("the store's format {found} needs a newer program (this one knows {known})")]
    UnsupportedVersion {
        /// The version the store asks for.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },

    /// Nothing stands there that was opened without making it: no name, an empty folder or file, or what a creation left that was cut short. A call that
    /// makes stores makes one there.
    #[error("there is no store at {}", path.display())]
    NoStore {
        /// What was opened.
        path: PathBuf,
    },

    /// What is there was not made by this program; it is left alone.
    #[error("{} is not a store: {detail}", path.display())]
    NotAStore {
        /// What was opened.
        path: PathBuf,
        /// What stands there instead.
        detail: String,
    },

    /// The backend, or the filesystem it stands on, does not offer this.
    #[error("{what} is not supported here")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },

    /// The medium is full. What was written of the call was taken back; writing goes on when there is space.
    #[error("no space left{}", path.as_deref().map(|p| format!(" for {}", p.display())).unwrap_or_default())]
    NoSpace {
        /// What was being written.
        path: Option<PathBuf>,
    },

    /// The operating system refused.
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// The backend's own library failed in a way that none of the above names.
    #[error("the backend failed: {source}")]
    Backend {
        /// The backend's error.
        source: BoxError,
    },
}

fn referenced_text(count: usize) -> String {
    if count == 1 { "another segment refers to it".to_owned() } else { format!("{count} other segments refer to it") }
}

fn agreed_text(agreed: Position) -> String {
    if agreed.seq == Seq::START { String::new() } else { format!(", it agrees through {agreed}") }
}

impl StoreError {
    /// The kind of error in one word, as events and JSON name it.
    // Persisted in events: never rename.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::AlreadyExists { .. } => "already_exists",
            Self::Conflict { .. } => "conflict",
            Self::Diverged { .. } => "diverged",
            Self::KeyReused { .. } => "key_reused",
            Self::InvalidEntry { .. } => "invalid_entry",
            Self::InvalidOrigin { .. } => "invalid_origin",
            Self::TooLarge { .. } => "too_large",
            Self::Corrupt(_) => "corrupt",
            Self::Referenced { .. } => "referenced",
            Self::Locked { .. } => "locked",
            Self::Busy { .. } => "busy",
            Self::ReadOnly => "read_only",
            Self::UnsupportedVersion { .. } => "unsupported_version",
            Self::NoStore { .. } => "no_store",
            Self::NotAStore { .. } => "not_a_store",
            Self::Unsupported { .. } => "unsupported",
            Self::NoSpace { .. } => "no_space",
            Self::Io { .. } => "io",
            Self::Backend { .. } => "backend",
        }
    }

    /// An I/O error with its path; a full medium becomes [`StoreError::NoSpace`].
    pub fn io(op: &'static str, path: &Path, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match source.kind() {
            StorageFull | QuotaExceeded => Self::NoSpace { path: Some(path.to_owned()) },
            ReadOnlyFilesystem => Self::ReadOnly,
            _ => Self::Io { op, path: path.to_owned(), source },
        }
    }

    /// A backend library's error.
    pub fn backend(source: impl Into<BoxError>) -> Self {
        Self::Backend { source: source.into() }
    }

    /// The missing session.
    pub const fn no_session(id: SessionId) -> Self {
        Self::NotFound(Missing::Session(id))
    }

    /// The missing segment.
    pub const fn no_segment(id: SegmentId) -> Self {
        Self::NotFound(Missing::Segment(id))
    }
}

/// A text that is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an id: it wants the hyphenated lower-case form")]
pub struct ParseIdError {
    text: String,
}

impl ParseIdError {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.chars().take(64).collect() }
    }
}
