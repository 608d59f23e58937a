//! The store: one handle on one database. Every call is passed on to the file that is named after its verb.

use std::fmt;
use std::path::Path;

use store_core::integrity::Integrity;
use store_core::{
    AppendOptions, Backend, BackendInfo, BlobGuard, BlobRef, ChangeCursor, Changes, CreateOptions, Created, Fact,
    FactScope, Lease, LeaseHolder, LogEntry, NewEntry, NewSession, Position, Record, Result, SegmentId, Seq, SessionId,
    Store, Tail, TailFrom, TimestampMs, TraceEntry, Watch,
};

use crate::connection::Connections;
use crate::open::{self, OpenAs, SqliteOptions};
use crate::{append, blobs, changes, create, delete, facts, lease, read, schema, traces, watch};

/// A store in one SQLite database.
///
/// Any number of handles, in any number of processes, may be open on the same database; calls of one handle may come
/// from any number of threads.
pub struct SqliteStore {
    connections: Connections,
}

impl SqliteStore {
    /// Opens the store in the database at `path` for reading and writing beside other handles; makes it, and the folders
    /// above it, if it is missing.
    ///
    /// # Errors
    /// `NotAStore` for a database that another program made, a file that is not a database, a symbolic link or a
    /// folder, which are left as they are; `UnsupportedVersion` for a newer format; `Locked` if somebody has it open
    /// exclusively; `Unsupported` on a network filesystem or FUSE; `ReadOnly` if the file does not take writes; `Io`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &SqliteOptions::default())
    }

    /// Makes the store in a database that must not exist yet.
    ///
    /// # Errors
    /// `Io` of kind `AlreadyExists`; else as [`SqliteStore::open`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &SqliteOptions { open_as: OpenAs::Create, ..SqliteOptions::default() })
    }

    /// Opens the store for this handle alone: while it is open, whoever else opens it to write finds it `Locked`.
    ///
    /// # Errors
    /// `Locked` if any other handle has it open to write; else as [`SqliteStore::open`].
    pub fn open_exclusive(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &SqliteOptions { open_as: OpenAs::Exclusive, ..SqliteOptions::default() })
    }

    /// Opens the store for reading. Nothing is written and no lock is taken; every write fails with `ReadOnly`.
    ///
    /// # Errors
    /// `NoStore` if nothing is there, or an empty file; `NotAStore`; `UnsupportedVersion` for a newer format that does not let this version
    /// read it; `Unsupported`; `Io`.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &SqliteOptions { open_as: OpenAs::ReadOnly, ..SqliteOptions::default() })
    }

    /// Opens the store as `options` say.
    ///
    /// # Errors
    /// As the call that [`OpenAs`] stands for.
    pub fn open_with(path: impl AsRef<Path>, options: &SqliteOptions) -> Result<Self> {
        open::open(path.as_ref(), options)
    }

    pub(crate) const fn new(connections: Connections) -> Self {
        Self { connections }
    }

    pub(crate) const fn connections(&self) -> &Connections {
        &self.connections
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.connections.place().path()).finish_non_exhaustive()
    }
}

impl Store for SqliteStore {
    fn create_segment(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &CreateOptions,
    ) -> Result<Vec<Position>> {
        Ok(create::create_segment(&self.connections, session, segment, entries, options)?)
    }

    fn create_sessions(&self, sessions: &[NewSession]) -> Result<Vec<Created>> {
        Ok(create::create_sessions(&self.connections, sessions)?)
    }

    fn append_with(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &AppendOptions,
    ) -> Result<Vec<Position>> {
        Ok(append::append_with(&self.connections, session, segment, entries, options)?)
    }

    fn read_all(&self, session: SessionId, segment: SegmentId) -> Result<Vec<LogEntry>> {
        Ok(read::read_all(&self.connections, session, segment)?)
    }

    fn read_range(&self, session: SessionId, segment: SegmentId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        Ok(read::read_range(&self.connections, session, segment, after, limit)?)
    }

    fn read_tail(&self, session: SessionId, segment: SegmentId, count: usize) -> Result<Vec<Record>> {
        Ok(read::read_tail(&self.connections, session, segment, count)?)
    }

    fn read_entry_count(&self, session: SessionId, segment: SegmentId) -> Result<u64> {
        Ok(read::read_entry_count(&self.connections, session, segment)?)
    }

    fn exists(&self, session: SessionId) -> Result<bool> {
        Ok(read::exists(&self.connections, session)?)
    }

    fn list_sessions(&self) -> Result<Vec<SessionId>> {
        Ok(read::list_sessions(&self.connections)?)
    }

    fn list_segments(&self, session: SessionId) -> Result<Vec<SegmentId>> {
        Ok(read::list_segments(&self.connections, session)?)
    }

    fn lookup_session_of(&self, segment: SegmentId) -> Result<Option<SessionId>> {
        Ok(read::lookup_session_of(&self.connections, segment)?)
    }

    fn append_trace(&self, session: SessionId, segment: SegmentId, trace: &TraceEntry) -> Result<()> {
        Ok(traces::append_trace(&self.connections, session, segment, trace)?)
    }

    fn read_traces(&self, session: SessionId, segment: SegmentId) -> Result<Vec<TraceEntry>> {
        Ok(traces::read_traces(&self.connections, session, segment)?)
    }

    fn put_fact(&self, scope: FactScope, fact: &Fact) -> Result<()> {
        Ok(facts::put_fact(&self.connections, scope, fact)?)
    }

    fn facts(&self, scope: FactScope) -> Result<Vec<Fact>> {
        Ok(facts::facts(&self.connections, scope)?)
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<BlobGuard> {
        Ok(blobs::put_blob(&self.connections, bytes)?)
    }

    fn get_blob(&self, reference: &BlobRef) -> Result<Vec<u8>> {
        Ok(blobs::get_blob(&self.connections, reference)?)
    }

    fn changes(&self, cursor: Option<&ChangeCursor>) -> Result<Changes> {
        Ok(changes::changes(&self.connections, cursor)?)
    }

    fn delete_session(&self, session: SessionId) -> Result<()> {
        Ok(delete::delete_session(&self.connections, session)?)
    }
}

impl SqliteStore {
    /// Who opened the database to write brought it up to date; who only reads meets any version that may be read.
    fn format_version(&self, read_only: bool) -> u32 {
        let stored = || self.connections.read(schema::format).ok().map(|format| format.user_version);
        read_only.then(stored).flatten().unwrap_or(schema::VERSION)
    }
}

impl Backend for SqliteStore {
    fn info(&self) -> BackendInfo {
        let place = self.connections.place();
        let read_only = self.connections.is_read_only();
        BackendInfo {
            scheme: "sqlite".to_owned(),
            location: place.path().display().to_string(),
            format_version: self.format_version(read_only),
            read_only,
            projection_path: (!read_only).then(|| place.beside(".index")),
        }
    }

    fn watch(&self) -> Option<&dyn Watch> {
        Some(self)
    }

    fn integrity(&self) -> Option<&dyn Integrity> {
        Some(self)
    }
}

impl Watch for SqliteStore {
    fn tail(&self, session: SessionId, segment: SegmentId, from: TailFrom) -> Result<Box<dyn Tail>> {
        watch::tail(&self.connections, session, segment, from)
    }

    fn lease(&self, session: SessionId, segment: SegmentId, holder: &str, now: TimestampMs) -> Result<Lease> {
        Ok(lease::lease(&self.connections, session, segment, holder, now)?)
    }

    fn leased(&self, session: SessionId, segment: SegmentId) -> Result<Option<LeaseHolder>> {
        Ok(lease::leased(&self.connections, session, segment)?)
    }
}
