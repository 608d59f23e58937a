//! A backend in front of another one: it can be shut, fail, and hide what the other one offers beside keeping logs.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use store_core::{
    AppendOptions, Backend, BackendInfo, BlobGuard, BlobRef, ChangeCursor, Changes, CreateOptions, Fact, FactScope,
    NewEntry, Position, Record, Result, SegmentId, Seq, SessionId, Store, StoreError, TraceEntry, Watch,
};

/// What becomes of a call that appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Pass,
    /// A sync fails; nothing was written.
    FailBefore,
    /// A sync fails; everything was written.
    FailAfter,
    Busy,
    Panic,
}

pub(super) struct Gate {
    inner: Arc<dyn Backend>,
    offers_watch: bool,
    fates: Mutex<VecDeque<Fate>>,
    /// How many calls may pass; `None`: all.
    open: Mutex<Option<usize>>,
    opened: Condvar,
    /// Calls that append, each with how many entries.
    calls: Mutex<Vec<usize>>,
}

impl Gate {
    pub(super) fn of(inner: &Arc<dyn Backend>) -> Self {
        Self {
            inner: Arc::clone(inner),
            offers_watch: true,
            fates: Mutex::default(),
            open: Mutex::new(None),
            opened: Condvar::new(),
            calls: Mutex::default(),
        }
    }

    pub(super) fn without_watch(inner: &Arc<dyn Backend>) -> Self {
        Self { offers_watch: false, ..Self::of(inner) }
    }

    /// The next calls that append meet these fates, later ones pass.
    pub(super) fn meets(self, fates: impl IntoIterator<Item = Fate>) -> Self {
        self.fates.lock().unwrap().extend(fates);
        self
    }

    /// Lets no call pass that appends.
    pub(super) fn shut(self) -> Self {
        *self.open.lock().unwrap() = Some(0);
        self
    }

    /// Lets one more call pass that appends.
    pub(super) fn let_one_pass(&self) {
        *self.open.lock().unwrap() = Some(1);
        self.opened.notify_all();
    }

    /// Lets every call pass.
    pub(super) fn open(&self) {
        *self.open.lock().unwrap() = None;
        self.opened.notify_all();
    }

    /// How many entries each call had that appended.
    pub(super) fn calls(&self) -> Vec<usize> {
        self.calls.lock().unwrap().clone()
    }

    fn pass(&self) {
        let mut open = self.open.lock().unwrap();
        while *open == Some(0) {
            open = self.opened.wait(open).unwrap();
        }
        *open = open.map(|left| left - 1);
    }
}

fn failed_sync() -> StoreError {
    StoreError::io("sync", Path::new("/log"), std::io::Error::other("the medium is gone"))
}

impl Store for Gate {
    fn append_with(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &AppendOptions,
    ) -> Result<Vec<Position>> {
        self.pass();
        self.calls.lock().unwrap().push(entries.len());
        let fate = self.fates.lock().unwrap().pop_front().unwrap_or(Fate::Pass);
        let write = || self.inner.append_with(session, segment, entries, options);
        match fate {
            Fate::Pass => write(),
            Fate::FailBefore => Err(failed_sync()),
            Fate::FailAfter => write().and_then(|_| Err(failed_sync())),
            Fate::Busy => Err(StoreError::Busy { holder: "somebody".into(), host: None, since: None }),
            Fate::Panic => panic!("a store that is broken"),
        }
    }

    fn create_segment(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &CreateOptions,
    ) -> Result<Vec<Position>> {
        self.inner.create_segment(session, segment, entries, options)
    }

    fn read_range(&self, session: SessionId, segment: SegmentId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        self.inner.read_range(session, segment, after, limit)
    }

    fn read_tail(&self, session: SessionId, segment: SegmentId, count: usize) -> Result<Vec<Record>> {
        self.inner.read_tail(session, segment, count)
    }

    fn read_entry_count(&self, session: SessionId, segment: SegmentId) -> Result<u64> {
        self.inner.read_entry_count(session, segment)
    }

    fn exists(&self, session: SessionId) -> Result<bool> {
        self.inner.exists(session)
    }

    fn list_sessions(&self) -> Result<Vec<SessionId>> {
        self.inner.list_sessions()
    }

    fn list_segments(&self, session: SessionId) -> Result<Vec<SegmentId>> {
        self.inner.list_segments(session)
    }

    fn lookup_session_of(&self, segment: SegmentId) -> Result<Option<SessionId>> {
        self.inner.lookup_session_of(segment)
    }

    fn append_trace(&self, session: SessionId, segment: SegmentId, trace: &TraceEntry) -> Result<()> {
        self.inner.append_trace(session, segment, trace)
    }

    fn read_traces(&self, session: SessionId, segment: SegmentId) -> Result<Vec<TraceEntry>> {
        self.inner.read_traces(session, segment)
    }

    fn put_fact(&self, scope: FactScope, fact: &Fact) -> Result<()> {
        self.inner.put_fact(scope, fact)
    }

    fn facts(&self, scope: FactScope) -> Result<Vec<Fact>> {
        self.inner.facts(scope)
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<BlobGuard> {
        self.inner.put_blob(bytes)
    }

    fn get_blob(&self, reference: &BlobRef) -> Result<Vec<u8>> {
        self.inner.get_blob(reference)
    }

    fn changes(&self, cursor: Option<&ChangeCursor>) -> Result<Changes> {
        self.inner.changes(cursor)
    }

    fn delete_session(&self, session: SessionId) -> Result<()> {
        self.inner.delete_session(session)
    }
}

impl Backend for Gate {
    fn info(&self) -> BackendInfo {
        self.inner.info()
    }

    fn watch(&self) -> Option<&dyn Watch> {
        self.inner.watch().filter(|_| self.offers_watch)
    }
}
