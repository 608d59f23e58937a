//! What the faulty stores stand on: the reference in memory, with limits that are small enough to be reached quickly.

use store_core::call::check_size;
use store_core::integrity::{
    Checkpoint, Collection, Event, Finding, ListedCheckpoint, MaintenanceOptions, NewCheckpoint, RecordRepair, Repair,
    Rollback, Visit,
};
use store_core::{
    AppendOptions, Backend, BackendInfo, BlobGuard, BlobRef, ChangeCursor, Changes, CreateOptions, Created, Fact,
    FactScope, Integrity, Lease, LeaseHolder, MemoryStore, NewBody, NewEntry, NewSession, Position, Record, Result,
    SegmentId, Seq, SessionId, Store, Tail, TailFrom, TimestampMs, TraceEntry, Watch as _,
};

use crate::Limits;

/// A correct store whose limits are [`Limits::SMALL`].
#[derive(Clone, Debug, Default)]
pub(super) struct Reference(MemoryStore);

/// How many bytes of text are handed in.
pub(super) fn text_bytes(entry: &NewEntry) -> u64 {
    match &entry.body {
        NewBody::Text(text) => text.len() as u64,
        NewBody::Serialized(serialized) => serialized.text().len() as u64,
        NewBody::Typed(_) => 0,
    }
}

fn check_limits(entries: &[NewEntry]) -> Result<()> {
    for entry in entries {
        check_size(text_bytes(entry), Limits::SMALL.entry_bytes_max)?;
    }
    check_size(entries.iter().map(text_bytes).sum(), Limits::SMALL.call_bytes_max)
}

impl Store for Reference {
    fn create_segment(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &CreateOptions,
    ) -> Result<Vec<Position>> {
        check_limits(entries)?;
        self.0.create_segment(session, segment, entries, options)
    }

    fn create_sessions(&self, sessions: &[NewSession]) -> Result<Vec<Created>> {
        self.0.create_sessions(sessions)
    }

    fn append_with(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &AppendOptions,
    ) -> Result<Vec<Position>> {
        check_limits(entries)?;
        self.0.append_with(session, segment, entries, options)
    }

    fn read_range(&self, session: SessionId, segment: SegmentId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        self.0.read_range(session, segment, after, limit)
    }

    fn read_tail(&self, session: SessionId, segment: SegmentId, count: usize) -> Result<Vec<Record>> {
        self.0.read_tail(session, segment, count)
    }

    fn read_entry_count(&self, session: SessionId, segment: SegmentId) -> Result<u64> {
        self.0.read_entry_count(session, segment)
    }

    fn exists(&self, session: SessionId) -> Result<bool> {
        self.0.exists(session)
    }

    fn list_sessions(&self) -> Result<Vec<SessionId>> {
        self.0.list_sessions()
    }

    fn list_segments(&self, session: SessionId) -> Result<Vec<SegmentId>> {
        self.0.list_segments(session)
    }

    fn lookup_session_of(&self, segment: SegmentId) -> Result<Option<SessionId>> {
        self.0.lookup_session_of(segment)
    }

    fn append_trace(&self, session: SessionId, segment: SegmentId, trace: &TraceEntry) -> Result<()> {
        self.0.append_trace(session, segment, trace)
    }

    fn read_traces(&self, session: SessionId, segment: SegmentId) -> Result<Vec<TraceEntry>> {
        self.0.read_traces(session, segment)
    }

    fn put_fact(&self, scope: FactScope, fact: &Fact) -> Result<()> {
        self.0.put_fact(scope, fact)
    }

    fn facts(&self, scope: FactScope) -> Result<Vec<Fact>> {
        self.0.facts(scope)
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<BlobGuard> {
        self.0.put_blob(bytes)
    }

    fn get_blob(&self, reference: &BlobRef) -> Result<Vec<u8>> {
        self.0.get_blob(reference)
    }

    fn changes(&self, cursor: Option<&ChangeCursor>) -> Result<Changes> {
        self.0.changes(cursor)
    }

    fn delete_session(&self, session: SessionId) -> Result<()> {
        self.0.delete_session(session)
    }
}

impl Reference {
    pub(super) fn follow(&self, session: SessionId, segment: SegmentId, from: TailFrom) -> Result<Box<dyn Tail>> {
        self.0.tail(session, segment, from)
    }

    pub(super) fn lease(
        &self,
        session: SessionId,
        segment: SegmentId,
        holder: &str,
        now: TimestampMs,
    ) -> Result<Lease> {
        self.0.lease(session, segment, holder, now)
    }

    pub(super) fn damage(&self, session: SessionId, segment: SegmentId, seq: Seq) -> Result<()> {
        self.0.damage(session, segment, seq)
    }

    pub(super) fn damage_fact(&self, scope: FactScope, number: u64) -> Result<()> {
        self.0.damage_fact(scope, number)
    }

    pub(super) fn leased(&self, session: SessionId, segment: SegmentId) -> Result<Option<LeaseHolder>> {
        self.0.leased(session, segment)
    }
}

impl Integrity for Reference {
    fn scan(&self, session: SessionId, segment: SegmentId, visit: &mut Visit<'_>) -> Result<()> {
        self.0.scan(session, segment, visit)
    }

    fn examine(&self, session: Option<SessionId>) -> Result<Vec<Finding>> {
        self.0.examine(session)
    }

    fn checkpoint(&self, session: SessionId, segment: SegmentId, new: &NewCheckpoint) -> Result<Checkpoint> {
        self.0.checkpoint(session, segment, new)
    }

    fn checkpoints(&self, session: SessionId, segment: SegmentId) -> Result<Vec<ListedCheckpoint>> {
        self.0.checkpoints(session, segment)
    }

    fn rollback(
        &self,
        session: SessionId,
        segment: SegmentId,
        checkpoint: u64,
        options: &MaintenanceOptions,
    ) -> Result<Rollback> {
        self.0.rollback(session, segment, checkpoint, options)
    }

    fn repair(&self, session: SessionId, segment: SegmentId, options: &MaintenanceOptions) -> Result<Repair> {
        self.0.repair(session, segment, options)
    }

    fn repair_beside(&self, session: Option<SessionId>, options: &MaintenanceOptions) -> Result<Vec<RecordRepair>> {
        self.0.repair_beside(session, options)
    }

    fn collect(&self, dry_run: bool) -> Result<Collection> {
        self.0.collect(dry_run)
    }

    fn events(&self) -> Result<Vec<Event>> {
        self.0.events()
    }

    fn record(&self, event: &Event) -> Result<()> {
        self.0.record(event)
    }
}

impl Backend for Reference {
    fn info(&self) -> BackendInfo {
        self.0.info()
    }
}
