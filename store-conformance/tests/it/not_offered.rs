//! A backend that keeps logs and nothing else: what it does not offer is a failure, or is declared and named in every run.

use std::process::Command;

use store_conformance::{CHECKS, Capability, Harness};
use store_core::{
    AppendOptions, Backend, BackendInfo, BlobGuard, BlobRef, ChangeCursor, Changes, CreateOptions, Fact, FactScope,
    MemoryStore, NewEntry, Position, Record, Result, SegmentId, Seq, SessionId, Store, TraceEntry,
};

/// The reference without its capabilities.
#[derive(Clone, Default)]
struct Plain(MemoryStore);

impl Store for Plain {
    fn create_segment(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &CreateOptions,
    ) -> Result<Vec<Position>> {
        self.0.create_segment(session, segment, entries, options)
    }

    fn append_with(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &AppendOptions,
    ) -> Result<Vec<Position>> {
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

impl Backend for Plain {
    fn info(&self) -> BackendInfo {
        self.0.info()
    }
}

/// Says nothing of what is not offered.
struct Silent(Plain);

impl Harness for Silent {
    fn fresh() -> Self {
        Self(Plain::default())
    }

    fn store(&self) -> &dyn Backend {
        &self.0
    }

    fn second_handle(&self) -> Box<dyn Backend> {
        Box::new(self.0.clone())
    }

    fn reopen(&mut self) {
        self.0 = self.0.clone();
    }
}

/// Says what is not offered.
struct Declared(Plain);

impl Harness for Declared {
    fn fresh() -> Self {
        Self(Plain::default())
    }

    fn store(&self) -> &dyn Backend {
        &self.0
    }

    fn second_handle(&self) -> Box<dyn Backend> {
        Box::new(self.0.clone())
    }

    fn reopen(&mut self) {
        self.0 = self.0.clone();
    }

    fn not_offered(&self) -> &[Capability] {
        &[Capability::Watch, Capability::Integrity, Capability::Damage]
    }
}

/// Says that something is not offered which is.
struct Wrong(MemoryStore);

impl Harness for Wrong {
    fn fresh() -> Self {
        Self(MemoryStore::new())
    }

    fn store(&self) -> &dyn Backend {
        &self.0
    }

    fn second_handle(&self) -> Box<dyn Backend> {
        Box::new(self.0.clone())
    }

    fn reopen(&mut self) {
        self.0 = self.0.clone();
    }

    fn not_offered(&self) -> &[Capability] {
        &[Capability::Watch]
    }
}

mod declared {
    store_conformance::conformance_tests!(super::Declared);
}

#[test]
fn what_is_not_offered_and_not_declared_fails_its_checks_and_no_others() {
    for check in CHECKS.iter().filter(|check| check.group != "limits") {
        let outcome = check.run(&mut Silent::fresh());
        assert_eq!(outcome.is_err(), !check.needs().is_empty(), "{}::{}: {outcome:?}", check.group, check.name);
    }
    let watched: Vec<_> = CHECKS.iter().filter(|check| check.needs() == [Capability::Watch]).collect();
    assert!(watched.len() > 30 && watched.iter().all(|check| check.group == "watch"));
}

#[test]
fn a_run_names_every_check_that_it_skips() {
    let run = Command::new(std::env::current_exe().expect("the path of this test binary"))
        .args(["not_offered::declared::watch::", "--test-threads", "1"])
        .output()
        .expect("this test binary runs");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    for check in CHECKS.iter().filter(|check| check.needs() == [Capability::Watch]) {
        let line = format!("skipped {}::{}: the backend does not offer Watch", check.group, check.name);
        assert!(said.contains(&line), "{line} is missing in: {said}");
    }
}

#[test]
#[should_panic(expected = "does not offer Watch, which it does")]
fn a_capability_that_is_offered_cannot_be_declared_away() {
    store_conformance::assert_conforms::<Wrong>("watch", "appends_ignore_leases");
}
