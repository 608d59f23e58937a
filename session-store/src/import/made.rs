//! A store of which some sessions were just made: what they hold is answered for from memory.
//!
//! The index is fed with it, which would else read and take apart again what was just written. Others may have gone on with such a session
//! meanwhile; the next refresh of the index finds that like any other change.

use std::sync::Arc;

use store_core::{
    AppendOptions, BlobGuard, BlobRef, ChangeCursor, Changes, CreateOptions, Fact, FactScope, NewEntry, Position,
    Record, Result, SegmentId, Seq, SessionId, Store, TraceEntry,
};

use super::staging::Made;
use crate::index::MadeEntries;

/// A store, and what was just made in it.
pub(super) struct WithMade<'a> {
    below: &'a dyn Store,
    made: &'a [Arc<Made>],
}

impl<'a> WithMade<'a> {
    /// What was made in a store.
    pub(super) const fn in_store(below: &'a dyn Store, made: &'a [Arc<Made>]) -> Self {
        Self { below, made }
    }

    /// What was made of a session.
    fn of(&self, session: SessionId) -> Option<&Made> {
        self.made.iter().map(AsRef::as_ref).find(|made| made.has(session))
    }
}

impl MadeEntries for WithMade<'_> {
    fn made(&self, session: SessionId, segment: SegmentId) -> Option<(&[NewEntry], &[Position])> {
        let made = self.of(session)?;
        Some((made.sessions.entries(session, segment)?, made.positions(segment)?))
    }
}

impl Store for WithMade<'_> {
    fn create_segment(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &CreateOptions,
    ) -> Result<Vec<Position>> {
        self.below.create_segment(session, segment, entries, options)
    }

    fn append_with(
        &self,
        session: SessionId,
        segment: SegmentId,
        entries: &[NewEntry],
        options: &AppendOptions,
    ) -> Result<Vec<Position>> {
        self.below.append_with(session, segment, entries, options)
    }

    fn read_range(&self, session: SessionId, segment: SegmentId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        let found = self
            .of(session)
            .and_then(|made| made.sessions.read((session, segment), after, limit, made.positions(segment)));
        found.map_or_else(|| self.below.read_range(session, segment, after, limit), Ok)
    }

    fn read_tail(&self, session: SessionId, segment: SegmentId, count: usize) -> Result<Vec<Record>> {
        let found = self.of(session).and_then(|made| {
            let after = Seq(made.sessions.entries(session, segment)?.len().saturating_sub(count) as u64);
            made.sessions.read((session, segment), after, count, made.positions(segment))
        });
        found.map_or_else(|| self.below.read_tail(session, segment, count), Ok)
    }

    fn read_entry_count(&self, session: SessionId, segment: SegmentId) -> Result<u64> {
        let found = self.of(session).and_then(|made| Some(made.sessions.entries(session, segment)?.len() as u64));
        found.map_or_else(|| self.below.read_entry_count(session, segment), Ok)
    }

    fn exists(&self, session: SessionId) -> Result<bool> {
        Ok(self.of(session).is_some() || self.below.exists(session)?)
    }

    fn list_sessions(&self) -> Result<Vec<SessionId>> {
        self.below.list_sessions()
    }

    fn list_segments(&self, session: SessionId) -> Result<Vec<SegmentId>> {
        let found = self.of(session).and_then(|made| made.sessions.segments(session));
        found.map_or_else(|| self.below.list_segments(session), Ok)
    }

    fn lookup_session_of(&self, segment: SegmentId) -> Result<Option<SessionId>> {
        let found =
            self.made.iter().find_map(|made| made.sessions.session_of(segment).filter(|session| made.has(*session)));
        found.map_or_else(|| self.below.lookup_session_of(segment), |session| Ok(Some(session)))
    }

    fn append_trace(&self, session: SessionId, segment: SegmentId, trace: &TraceEntry) -> Result<()> {
        self.below.append_trace(session, segment, trace)
    }

    fn read_traces(&self, session: SessionId, segment: SegmentId) -> Result<Vec<TraceEntry>> {
        self.below.read_traces(session, segment)
    }

    fn put_fact(&self, scope: FactScope, fact: &Fact) -> Result<()> {
        self.below.put_fact(scope, fact)
    }

    fn facts(&self, scope: FactScope) -> Result<Vec<Fact>> {
        let found = match scope {
            FactScope::Session(session) => self.of(session).and_then(|made| made.sessions.facts(session)),
            FactScope::Store => None,
        };
        found.map_or_else(|| self.below.facts(scope), |facts| Ok(facts.to_vec()))
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<BlobGuard> {
        self.below.put_blob(bytes)
    }

    fn get_blob(&self, reference: &BlobRef) -> Result<Vec<u8>> {
        self.below.get_blob(reference)
    }

    fn changes(&self, cursor: Option<&ChangeCursor>) -> Result<Changes> {
        self.below.changes(cursor)
    }

    fn delete_session(&self, session: SessionId) -> Result<()> {
        self.below.delete_session(session)
    }
}
