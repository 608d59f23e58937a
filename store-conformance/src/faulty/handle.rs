//! The reference with some calls replaced.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store_core::integrity::{
    Checkpoint, Collection, Event, Finding, ListedCheckpoint, MaintenanceOptions, NewCheckpoint, RecordRepair, Repair,
    Rollback, Visit,
};
use store_core::{
    AppendOptions, Backend, BackendInfo, BlobGuard, BlobRef, ChangeCursor, Changes, CreateOptions, Created, Fact,
    FactScope, Integrity, Lease, LeaseHolder, LogEntry, NewBody, NewEntry, NewSession, Position, Record, Result,
    SegmentId, Seq, SessionId, Store, StoreError, Tail, TailFrom, TimestampMs, TraceEntry, Watch,
};

use super::reference::Reference;
use crate::{Harness, Limits};

type Create = fn(&Handle, SessionId, SegmentId, &[NewEntry], &CreateOptions) -> Result<Vec<Position>>;
type CreateSessions = fn(&Handle, &[NewSession]) -> Result<Vec<Created>>;
type AppendOne = fn(&Handle, SessionId, SegmentId, &LogEntry) -> Result<Position>;
type AppendWith = fn(&Handle, SessionId, SegmentId, &[NewEntry], &AppendOptions) -> Result<Vec<Position>>;
type ReadAll = fn(&Handle, SessionId, SegmentId) -> Result<Vec<LogEntry>>;
type ReadRange = fn(&Handle, SessionId, SegmentId, Seq, usize) -> Result<Vec<Record>>;
type ReadTail = fn(&Handle, SessionId, SegmentId, usize) -> Result<Vec<Record>>;
type Count = fn(&Handle, SessionId, SegmentId) -> Result<u64>;
type Exists = fn(&Handle, SessionId) -> Result<bool>;
type ListSessions = fn(&Handle) -> Result<Vec<SessionId>>;
type ListSegments = fn(&Handle, SessionId) -> Result<Vec<SegmentId>>;
type Lookup = fn(&Handle, SegmentId) -> Result<Option<SessionId>>;
type AppendTrace = fn(&Handle, SessionId, SegmentId, &TraceEntry) -> Result<()>;
type ReadTraces = fn(&Handle, SessionId, SegmentId) -> Result<Vec<TraceEntry>>;
type PutFact = fn(&Handle, FactScope, &Fact) -> Result<()>;
type Facts = fn(&Handle, FactScope) -> Result<Vec<Fact>>;
type PutBlob = fn(&Handle, &[u8]) -> Result<BlobGuard>;
type GetBlob = fn(&Handle, &BlobRef) -> Result<Vec<u8>>;
type ChangesSince = fn(&Handle, Option<&ChangeCursor>) -> Result<Changes>;
type Delete = fn(&Handle, SessionId) -> Result<()>;
type Follow = fn(&Handle, SessionId, SegmentId, TailFrom) -> Result<Box<dyn Tail>>;
type TakeLease = fn(&Handle, SessionId, SegmentId, &str, TimestampMs) -> Result<Lease>;
type Leased = fn(&Handle, SessionId, SegmentId) -> Result<Option<LeaseHolder>>;
type ScanLog = fn(&Handle, SessionId, SegmentId, &mut Visit<'_>) -> Result<()>;
type Examine = fn(&Handle, Option<SessionId>) -> Result<Vec<Finding>>;
type CheckBlob = fn(&Handle, &BlobRef) -> Result<()>;
type MakeCheckpoint = fn(&Handle, SessionId, SegmentId, &NewCheckpoint) -> Result<Checkpoint>;
type ListCheckpoints = fn(&Handle, SessionId, SegmentId) -> Result<Vec<ListedCheckpoint>>;
type RollBack = fn(&Handle, SessionId, SegmentId, u64, &MaintenanceOptions) -> Result<Rollback>;
type RepairLog = fn(&Handle, SessionId, SegmentId, &MaintenanceOptions) -> Result<Repair>;
type RepairBeside = fn(&Handle, Option<SessionId>, &MaintenanceOptions) -> Result<Vec<RecordRepair>>;
type Collect = fn(&Handle, bool) -> Result<Collection>;
type Events = fn(&Handle) -> Result<Vec<Event>>;
type RecordEvent = fn(&Handle, &Event) -> Result<()>;

/// What replaces the calls of the reference; `None` keeps the reference's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) create: Option<Create>,
    pub(super) create_sessions: Option<CreateSessions>,
    pub(super) append_one: Option<AppendOne>,
    pub(super) append: Option<AppendWith>,
    pub(super) all: Option<ReadAll>,
    pub(super) range: Option<ReadRange>,
    pub(super) tail: Option<ReadTail>,
    pub(super) count: Option<Count>,
    pub(super) exists: Option<Exists>,
    pub(super) sessions: Option<ListSessions>,
    pub(super) segments: Option<ListSegments>,
    pub(super) lookup: Option<Lookup>,
    pub(super) append_trace: Option<AppendTrace>,
    pub(super) traces: Option<ReadTraces>,
    pub(super) put_fact: Option<PutFact>,
    pub(super) facts: Option<Facts>,
    pub(super) put_blob: Option<PutBlob>,
    pub(super) get_blob: Option<GetBlob>,
    pub(super) changes: Option<ChangesSince>,
    pub(super) delete: Option<Delete>,
    pub(super) follow: Option<Follow>,
    pub(super) lease: Option<TakeLease>,
    pub(super) leased: Option<Leased>,
    pub(super) scan: Option<ScanLog>,
    pub(super) examine: Option<Examine>,
    pub(super) check_blob: Option<CheckBlob>,
    pub(super) checkpoint: Option<MakeCheckpoint>,
    pub(super) checkpoints: Option<ListCheckpoints>,
    pub(super) rollback: Option<RollBack>,
    pub(super) repair: Option<RepairLog>,
    pub(super) repair_beside: Option<RepairBeside>,
    pub(super) collect: Option<Collect>,
    pub(super) events: Option<Events>,
    pub(super) record: Option<RecordEvent>,
}

impl Rules {
    /// The reference as it is.
    pub(super) const KEPT: Self = Self {
        create: None,
        create_sessions: None,
        append_one: None,
        append: None,
        all: None,
        range: None,
        tail: None,
        count: None,
        exists: None,
        sessions: None,
        segments: None,
        lookup: None,
        append_trace: None,
        traces: None,
        put_fact: None,
        facts: None,
        put_blob: None,
        get_blob: None,
        changes: None,
        delete: None,
        follow: None,
        lease: None,
        leased: None,
        scan: None,
        examine: None,
        check_blob: None,
        checkpoint: None,
        checkpoints: None,
        rollback: None,
        repair: None,
        repair_beside: None,
        collect: None,
        events: None,
        record: None,
    };
}

/// What a faulty store remembers, by name.
#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<BTreeMap<String, String>>);

impl Notes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is noted under a name.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.lock().get(name).cloned()
    }

    /// Whether anything is noted under a name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.lock().contains_key(name)
    }

    /// Notes something and answers with what was noted before.
    pub(super) fn put(&self, name: impl Into<String>, value: impl Into<String>) -> Option<String> {
        self.lock().insert(name.into(), value.into())
    }

    /// Forgets a name.
    pub(super) fn remove(&self, name: &str) {
        self.lock().remove(name);
    }

    /// Everything noted, by name.
    pub(super) fn all(&self) -> Vec<(String, String)> {
        self.lock().iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// One handle on a faulty store.
#[derive(Debug)]
pub(super) struct Handle {
    /// The reference that it stands on.
    pub(super) inner: Reference,
    /// What this handle alone remembers.
    pub(super) own: Arc<Notes>,
    /// What all handles remember together.
    pub(super) shared: Arc<Notes>,
    /// Whether the store had been opened before.
    pub(super) reopened: bool,
    /// Whether it is a second handle beside the first.
    pub(super) second: bool,
    rules: Rules,
}

impl Handle {
    fn another(&self, reopened: bool, second: bool) -> Self {
        let shared = Arc::clone(&self.shared);
        Self { inner: self.inner.clone(), own: Arc::default(), shared, reopened, second, rules: self.rules }
    }

    /// Where a segment ends; nowhere if it does not exist.
    pub(super) fn end(&self, session: SessionId, segment: SegmentId) -> Position {
        let last = self.inner.read_tail(session, segment, 1).unwrap_or_default().pop();
        last.map_or(Position { seq: Seq::START, crc32c: 0 }, |record| record.position)
    }

    /// The records of a segment; none if it does not exist.
    pub(super) fn records(&self, session: SessionId, segment: SegmentId) -> Vec<Record> {
        self.inner.read_range(session, segment, Seq::START, usize::MAX).unwrap_or_default()
    }

    /// The answer of a call that pretends to have written its entries.
    #[expect(clippy::unnecessary_wraps, reason = "it stands in for the answer of a call")]
    pub(super) fn pretend(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
    ) -> Result<Vec<Position>> {
        Ok(vec![self.end(session, segment); entries.len()])
    }
}

/// The text of an entry that is to be written.
pub(super) fn text_of(entry: &NewEntry) -> String {
    match &entry.body {
        NewBody::Text(text) => text.clone(),
        NewBody::Typed(typed) => typed.to_text().unwrap_or_default(),
        NewBody::Serialized(serialized) => serialized.text().to_owned(),
    }
}

/// The entries with their texts rewritten; those for which `rewrite` has nothing stay as they are.
pub(super) fn rewritten(entries: &[NewEntry], rewrite: impl Fn(&str) -> Option<String>) -> Vec<NewEntry> {
    let one = |entry: &NewEntry| match &entry.body {
        NewBody::Text(text) => {
            let body = rewrite(text).map(NewBody::Text);
            body.map_or_else(|| entry.clone(), |body| NewEntry { body, key: entry.key.clone() })
        }
        NewBody::Typed(_) | NewBody::Serialized(_) => entry.clone(),
    };
    entries.iter().map(one).collect()
}

/// The entries without their keys.
pub(super) fn without_keys(entries: &[NewEntry]) -> Vec<NewEntry> {
    entries.iter().map(|entry| NewEntry { key: None, ..entry.clone() }).collect()
}

macro_rules! call {
    ($handle:expr, $rule:ident, $method:ident ( $($argument:expr),* )) => {
        match $handle.rules.$rule {
            Some(replacement) => replacement($handle, $($argument),*),
            None => $handle.inner.$method($($argument),*),
        }
    };
}

impl Store for Handle {
    fn create_segment(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &CreateOptions,
    ) -> Result<Vec<Position>> {
        call!(self, create, create_segment(session, segment, entries, options))
    }

    fn create_sessions(&self, sessions: &[NewSession]) -> Result<Vec<Created>> {
        call!(self, create_sessions, create_sessions(sessions))
    }

    fn append(&self, session: SessionId, segment: SegmentId, entry: &LogEntry) -> Result<Position> {
        let Some(replacement) = self.rules.append_one else {
            let answer = self.append_with(session, segment, &[entry.clone().into()], &AppendOptions::default())?;
            return answer.first().copied().ok_or_else(|| StoreError::backend("no position"));
        };
        replacement(self, session, segment, entry)
    }

    fn append_with(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &AppendOptions,
    ) -> Result<Vec<Position>> {
        call!(self, append, append_with(session, segment, entries, options))
    }

    fn read_all(&self, session: SessionId, segment: SegmentId) -> Result<Vec<LogEntry>> {
        let Some(replacement) = self.rules.all else {
            let records = self.read_range(session, segment, Seq::START, usize::MAX)?;
            return Ok(records.into_iter().map(|record| record.entry).collect());
        };
        replacement(self, session, segment)
    }

    fn read_range(&self, session: SessionId, segment: SegmentId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        call!(self, range, read_range(session, segment, after, limit))
    }

    fn read_tail(&self, session: SessionId, segment: SegmentId, count: usize) -> Result<Vec<Record>> {
        call!(self, tail, read_tail(session, segment, count))
    }

    fn read_entry_count(&self, session: SessionId, segment: SegmentId) -> Result<u64> {
        call!(self, count, read_entry_count(session, segment))
    }

    fn exists(&self, session: SessionId) -> Result<bool> {
        call!(self, exists, exists(session))
    }

    fn list_sessions(&self) -> Result<Vec<SessionId>> {
        call!(self, sessions, list_sessions())
    }

    fn list_segments(&self, session: SessionId) -> Result<Vec<SegmentId>> {
        call!(self, segments, list_segments(session))
    }

    fn lookup_session_of(&self, segment: SegmentId) -> Result<Option<SessionId>> {
        call!(self, lookup, lookup_session_of(segment))
    }

    fn append_trace(&self, session: SessionId, segment: SegmentId, trace: &TraceEntry) -> Result<()> {
        call!(self, append_trace, append_trace(session, segment, trace))
    }

    fn read_traces(&self, session: SessionId, segment: SegmentId) -> Result<Vec<TraceEntry>> {
        call!(self, traces, read_traces(session, segment))
    }

    fn put_fact(&self, scope: FactScope, fact: &Fact) -> Result<()> {
        call!(self, put_fact, put_fact(scope, fact))
    }

    fn facts(&self, scope: FactScope) -> Result<Vec<Fact>> {
        call!(self, facts, facts(scope))
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<BlobGuard> {
        call!(self, put_blob, put_blob(bytes))
    }

    fn get_blob(&self, reference: &BlobRef) -> Result<Vec<u8>> {
        call!(self, get_blob, get_blob(reference))
    }

    fn changes(&self, cursor: Option<&ChangeCursor>) -> Result<Changes> {
        call!(self, changes, changes(cursor))
    }

    fn delete_session(&self, session: SessionId) -> Result<()> {
        call!(self, delete, delete_session(session))
    }
}

impl Backend for Handle {
    fn info(&self) -> BackendInfo {
        self.inner.info()
    }

    fn watch(&self) -> Option<&dyn Watch> {
        Some(self)
    }

    fn integrity(&self) -> Option<&dyn Integrity> {
        Some(self)
    }
}

impl Integrity for Handle {
    fn scan(&self, session: SessionId, segment: SegmentId, visit: &mut Visit<'_>) -> Result<()> {
        call!(self, scan, scan(session, segment, visit))
    }

    fn examine(&self, session: Option<SessionId>) -> Result<Vec<Finding>> {
        call!(self, examine, examine(session))
    }

    fn check_blob(&self, reference: &BlobRef) -> Result<()> {
        match self.rules.check_blob {
            Some(replacement) => replacement(self, reference),
            None => self.get_blob(reference).map(drop),
        }
    }

    fn checkpoint(&self, session: SessionId, segment: SegmentId, new: &NewCheckpoint) -> Result<Checkpoint> {
        call!(self, checkpoint, checkpoint(session, segment, new))
    }

    fn checkpoints(&self, session: SessionId, segment: SegmentId) -> Result<Vec<ListedCheckpoint>> {
        call!(self, checkpoints, checkpoints(session, segment))
    }

    fn rollback(
        &self,
        session: SessionId,
        segment: SegmentId,
        checkpoint: u64,
        options: &MaintenanceOptions,
    ) -> Result<Rollback> {
        call!(self, rollback, rollback(session, segment, checkpoint, options))
    }

    fn repair(&self, session: SessionId, segment: SegmentId, options: &MaintenanceOptions) -> Result<Repair> {
        call!(self, repair, repair(session, segment, options))
    }

    fn repair_beside(&self, session: Option<SessionId>, options: &MaintenanceOptions) -> Result<Vec<RecordRepair>> {
        call!(self, repair_beside, repair_beside(session, options))
    }

    fn collect(&self, dry_run: bool) -> Result<Collection> {
        call!(self, collect, collect(dry_run))
    }

    fn events(&self) -> Result<Vec<Event>> {
        call!(self, events, events())
    }

    fn record(&self, event: &Event) -> Result<()> {
        call!(self, record, record(event))
    }
}

impl Watch for Handle {
    fn tail(&self, session: SessionId, segment: SegmentId, from: TailFrom) -> Result<Box<dyn Tail>> {
        call!(self, follow, follow(session, segment, from))
    }

    fn lease(&self, session: SessionId, segment: SegmentId, holder: &str, now: TimestampMs) -> Result<Lease> {
        call!(self, lease, lease(session, segment, holder, now))
    }

    fn leased(&self, session: SessionId, segment: SegmentId) -> Result<Option<LeaseHolder>> {
        call!(self, leased, leased(session, segment))
    }
}

/// The harness of a faulty store.
#[derive(Debug)]
pub(super) struct FaultyHarness(Handle);

impl FaultyHarness {
    pub(super) fn new(rules: Rules) -> Self {
        let (inner, own, shared) = (Reference::default(), Arc::default(), Arc::default());
        Self(Handle { inner, own, shared, reopened: false, second: false, rules })
    }
}

impl Harness for FaultyHarness {
    /// The reference without a fault: a faulty store is made by its name.
    fn fresh() -> Self {
        Self::new(Rules::KEPT)
    }

    fn store(&self) -> &dyn Backend {
        &self.0
    }

    fn second_handle(&self) -> Box<dyn Backend> {
        Box::new(self.0.another(false, true))
    }

    fn reopen(&mut self) {
        self.0 = self.0.another(true, false);
    }

    fn damage(&mut self, session: SessionId, segment: SegmentId, seq: Seq) -> bool {
        self.0.inner.damage(session, segment, seq).is_ok()
    }

    fn damage_fact(&mut self, scope: FactScope, number: u64) -> bool {
        self.0.inner.damage_fact(scope, number).is_ok()
    }

    fn limits(&self) -> Limits {
        Limits::SMALL
    }
}
