//! Conversations written anew, because what they continue is to be purged.
//!
//! A log is never changed, and its first entry names what it continues. So a conversation that is to outlive its origin becomes another
//! session: its segments are copied, texts and keys as they are but for that first entry, and so is what it continued, as segments of its own. What had continued it
//! goes the same way and refers to the copy. Ids of what is written are derived from those of what it was, so that a copy that was cut off is found
//! again and finished. Until it is whole it lies in the trash.
//!
//! Its old session then gets a tombstone that names the new one and says what each segment is now, which importers follow, and is deleted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use store_core::{
    AppendOptions, CreateOptions, Durability, Expected, FactScope, LogEntry, NewEntry, SegmentId, SegmentOrigin,
    SegmentStart, Seq, SessionId, StoreError,
};

use super::Organiser;
use super::purge::unreadable;
use crate::error::{Result, SessionError};
use crate::facts::{SessionFact, SessionFacts, put_session_fact};
use crate::lineage::lineage;
use crate::order::origins_first;
use crate::segment::entries_there;
use crate::tombstone::{MovedPoint, Tombstone, Tombstones};

/// How many entries are copied at once.
const BATCH_ENTRIES: usize = 512;

/// What is copied of one session.
#[derive(Default)]
struct Copies {
    /// Its own segments, and how far they reached when they were copied.
    own: BTreeMap<SegmentId, Seq>,
    /// The segments that it continues and that are to be purged: of which session, and how far they are continued.
    continued: BTreeMap<SegmentId, (SessionId, Seq)>,
    /// What each of them continues.
    origins: BTreeMap<SegmentId, SegmentOrigin>,
}

/// The sessions that are written anew.
pub(super) struct Detached<'a> {
    by: Organiser<'a>,
    purged: BTreeSet<SessionId>,
    moved: BTreeSet<SessionId>,
    copies: BTreeMap<SessionId, Copies>,
}

impl<'a> Detached<'a> {
    pub(super) fn new(by: Organiser<'a>, purged: &[SessionId], moved: &[SessionId]) -> Self {
        let (purged, moved) = (purged.iter().copied().collect(), moved.iter().copied().collect());
        Self { by, purged, moved, copies: BTreeMap::new() }
    }

    /// What a session is when it was written anew.
    pub(super) fn session(old: SessionId) -> SessionId {
        SessionId::derive(old.timestamp_ms(), format!("detached {old}").as_bytes())
    }

    /// What a segment is in such a session.
    fn segment(session: SessionId, old: SegmentId) -> SegmentId {
        SegmentId::derive(old.timestamp_ms(), format!("{session} {old}").as_bytes())
    }

    /// Writes a session anew, but for what is said about it. What it continues was written before.
    pub(super) fn write(&mut self, old: SessionId) -> Result<()> {
        let copies = self.look(old)?;
        let all: BTreeSet<(SessionId, SegmentId)> = copies
            .own
            .keys()
            .map(|segment| (old, *segment))
            .chain(copies.continued.iter().map(|(segment, (session, _))| (*session, *segment)))
            .collect();
        let order = origins_first(&all, &copies.origins);
        self.copies.insert(old, copies);
        for (session, segment) in order {
            self.copy(old, session, segment)?;
        }
        Ok(())
    }

    /// Finds out what has to be copied.
    fn look(&self, old: SessionId) -> Result<Copies> {
        let store = self.by.store;
        let mut copies = Copies::default();
        for segment in store.list_segments(old)? {
            copies.own.insert(segment, Seq(store.read_entry_count(old, segment)?));
            let mut at = (old, segment);
            while let Some(origin) = self.start(at.0, at.1)?.origin().copied() {
                copies.origins.insert(at.1, origin);
                if !self.purged.contains(&origin.session_id) {
                    break;
                }
                let known = copies.continued.entry(origin.segment_id).or_insert((origin.session_id, origin.seq));
                known.1 = known.1.max(origin.seq);
                at = (origin.session_id, origin.segment_id);
            }
        }
        Ok(copies)
    }

    fn start(&self, session: SessionId, segment: SegmentId) -> Result<SegmentStart> {
        let first = self.by.store.read_range(session, segment, Seq::START, 1)?.into_iter().next();
        match first.map(|record| record.entry) {
            Some(LogEntry::SegmentStart(start)) => Ok(*start),
            _ => Err(unreadable(segment)),
        }
    }

    /// Copies what is missing of a segment.
    fn copy(&self, old: SessionId, session: SessionId, segment: SegmentId) -> Result<()> {
        let store = self.by.store;
        let copies = &self.copies[&old];
        let through = copies.own.get(&segment).copied().or(copies.continued.get(&segment).map(|(_, through)| *through));
        let through = through.unwrap_or(Seq::START);
        let to = Self::session(old);
        let new = Self::segment(to, segment);
        let mut there = entries_there(store, to, new)?.unwrap_or_default();
        while there < through.0 {
            let left = usize::try_from(through.0 - there).unwrap_or(usize::MAX);
            let records = store.read_range(session, segment, Seq(there), left.min(BATCH_ENTRIES))?;
            let count = records.len() as u64;
            let mut entries = Vec::with_capacity(records.len());
            for record in records {
                let is_start = record.position.seq == Seq(1);
                let text = if is_start { self.start_text(old, session, segment, &record.text)? } else { record.text };
                let entry = NewEntry::text(text);
                entries.push(match record.key {
                    Some(key) => entry.with_key(key),
                    None => entry,
                });
            }
            let durability = Some(if there + count == through.0 { Durability::Synced } else { Durability::Buffered });
            if there == 0 {
                store.create_segment(to, new, &entries, &CreateOptions { durability })?;
                self.hide(old)?;
            } else {
                let options = AppendOptions { expected: Some(Expected::Count(there)), durability };
                store.append_with(to, new, &entries, &options)?;
            }
            there += count;
        }
        if session == old && store.read_traces(to, new)?.is_empty() {
            for trace in store.read_traces(session, segment)? {
                store.append_trace(to, new, &trace)?;
            }
        }
        Ok(())
    }

    /// As long as it is not whole, nobody is to take it for what it was.
    fn hide(&self, old: SessionId) -> Result<()> {
        let to = Self::session(old);
        if SessionFacts::read(self.by.store, to)?.trashed {
            return Ok(());
        }
        put_session_fact(self.by.store, self.by.now, to, &SessionFact::Trashed(true))
    }

    /// The first entry of a copy: the same in another session, continuing copies.
    fn start_text(&self, old: SessionId, session: SessionId, segment: SegmentId, text: &str) -> Result<String> {
        let mut start: Value = serde_json::from_str(text).map_err(StoreError::backend)?;
        start["session_id"] = json!(Self::session(old));
        for name in ["forked_from", "compacted_from"] {
            let Some(origin) = start.get(name).filter(|origin| !origin.is_null()) else { continue };
            let origin: SegmentOrigin = serde_json::from_value(origin.clone()).map_err(StoreError::backend)?;
            if let Some(home) = self.home(old, segment, origin.session_id, origin.segment_id)? {
                start[name]["session_id"] = json!(Self::session(home));
                start[name]["segment_id"] = json!(Self::segment(Self::session(home), origin.segment_id));
            }
        }
        for item in start.get_mut("history").and_then(Value::as_array_mut).into_iter().flatten() {
            let referred = item.get("segment_id").and_then(Value::as_str).and_then(|id| id.parse::<SegmentId>().ok());
            let Some(referred) = referred else { continue };
            let Some(of) = self.by.store.lookup_session_of(referred)? else { continue };
            if let Some(home) = self.home(old, segment, of, referred)? {
                item["segment_id"] = json!(Self::segment(Self::session(home), referred));
            }
        }
        self.put_meta(old, session, &mut start)?;
        Ok(start.to_string())
    }

    /// In the copy of which session the segment is that an entry of a segment refers to; `None` where it stays what it is.
    fn home(
        &self,
        old: SessionId,
        from: SegmentId,
        session: SessionId,
        segment: SegmentId,
    ) -> Result<Option<SessionId>> {
        if session == old || self.moved.contains(&session) {
            return Ok(Some(session));
        }
        if !self.purged.contains(&session) {
            return Ok(None);
        }
        if self.copies[&old].continued.contains_key(&segment) {
            return Ok(Some(old));
        }
        // It was copied together with a session that this one continues, the nearest of which counts.
        let branch = lineage(self.by.store, old, from)?;
        let holds = |session: &SessionId| {
            self.copies.get(session).is_some_and(|copies| copies.continued.contains_key(&segment))
        };
        Ok(branch.iter().rev().map(|part| part.session_id).find(holds))
    }

    /// Whose a segment is. A copy of what was continued is no more the conversation that it was read from.
    fn put_meta(&self, old: SessionId, session: SessionId, start: &mut Value) -> Result<()> {
        if !start.get("meta").is_some_and(Value::is_object) {
            start["meta"] = json!({});
        }
        if session != old {
            let own = self.copies[&old].own.keys().next().map(|first| self.start(old, *first)).transpose()?;
            let own = serde_json::to_value(own.map(|own| own.meta).unwrap_or_default()).map_err(StoreError::backend)?;
            if let Some(meta) = start["meta"].as_object_mut() {
                for name in ["native_id", "source", "kind", "parent_session_id", "parent_call_id"] {
                    meta.shift_remove(name);
                }
                for name in ["kind", "parent_session_id", "parent_call_id"] {
                    meta.extend(own.get(name).map(|value| (name.to_owned(), value.clone())));
                }
            }
        }
        let parent = start["meta"].get("parent_session_id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        if let Some(parent) = parent.filter(|parent| self.moved.contains(parent)) {
            start["meta"]["parent_session_id"] = json!(Self::session(parent));
        }
        Ok(())
    }

    /// Says about the copy what is said about the session, puts the tombstone up, and deletes the session.
    pub(super) fn finish(&mut self, old: SessionId) -> Result<()> {
        let store = self.by.store;
        self.write_rest(old)?;
        self.compare(old)?;
        let ids = self.ids(old);
        let to = Self::session(old);
        let facts = store.facts(FactScope::Session(old))?;
        for mut fact in facts {
            if !matches!(SessionFact::from_fact(&fact), Some(SessionFact::Trashed(_))) {
                rename_ids(&mut fact.value, &ids);
                store.put_fact(FactScope::Session(to), &fact)?;
            }
        }
        let was_trashed = SessionFacts::read(store, old)?.trashed;
        self.put_tombstones(old)?;
        // Whole from here on. Cut off before the other one is gone there are two of it, which is better than none.
        put_session_fact(store, self.by.now, to, &SessionFact::Trashed(was_trashed))?;
        // A plain append asks nobody. What came in the meantime is brought along before its only original goes.
        while self.write_rest(old)? {
            self.compare(old)?;
        }
        Ok(store.delete_session(old)?)
    }

    /// Copies what came since; answers whether anything did.
    fn write_rest(&mut self, old: SessionId) -> Result<bool> {
        let copied = self.copies.get(&old).map(|copies| copies.own.clone()).unwrap_or_default();
        let has_grown = self.look(old)?.own != copied;
        if has_grown {
            self.write(old)?;
        }
        Ok(has_grown)
    }

    /// Reads the copies back and holds them against what they are copies of, which is about to be deleted. A copy may have gone on.
    fn compare(&self, old: SessionId) -> Result<()> {
        let copies = &self.copies[&old];
        for (segment, through) in &copies.own {
            self.compare_segment(old, old, *segment, *through)?;
        }
        for (segment, (session, through)) in &copies.continued {
            if !copies.own.contains_key(segment) {
                self.compare_segment(old, *session, *segment, *through)?;
            }
        }
        Ok(())
    }

    fn compare_segment(&self, old: SessionId, session: SessionId, segment: SegmentId, through: Seq) -> Result<()> {
        let store = self.by.store;
        let to = Self::session(old);
        let copy = Self::segment(to, segment);
        let mut after = Seq::START;
        while after < through {
            let limit = usize::try_from(through.0 - after.0).unwrap_or(usize::MAX).min(BATCH_ENTRIES);
            let originals = store.read_range(session, segment, after, limit)?;
            let copied = store.read_range(to, copy, after, limit)?;
            for (at, original) in originals.iter().enumerate() {
                let seq = original.position.seq;
                let text = match seq {
                    Seq(1) => self.start_text(old, session, segment, &original.text)?,
                    _ => original.text.clone(),
                };
                let is_same = copied.get(at).is_some_and(|copied| copied.text == text && copied.key == original.key);
                if !is_same {
                    return Err(SessionError::CopyDiffers { segment, copy, seq });
                }
                after = seq;
            }
            if originals.is_empty() {
                return Err(unreadable(segment));
            }
        }
        Ok(())
    }

    /// What each id of a session and its segments is in the copy.
    fn ids(&self, old: SessionId) -> BTreeMap<String, String> {
        let to = Self::session(old);
        let segments = self.segments(old).into_iter().map(|(old, new)| (old.to_string(), new.to_string()));
        let moved = self.moved.iter().map(|moved| (moved.to_string(), Self::session(*moved).to_string()));
        segments.chain(moved).chain([(old.to_string(), to.to_string())]).collect()
    }

    /// What each segment is now that the session consists of or continues.
    fn segments(&self, old: SessionId) -> BTreeMap<SegmentId, SegmentId> {
        let to = Self::session(old);
        let copies = &self.copies[&old];
        let copied = copies.own.keys().chain(copies.continued.keys()).map(|old| (*old, Self::segment(to, *old)));
        let is_moved = |origin: &&SegmentOrigin| origin.session_id != old && self.moved.contains(&origin.session_id);
        let continued = copies.origins.values().filter(is_moved);
        let continued = continued
            .map(|origin| (origin.segment_id, Self::segment(Self::session(origin.session_id), origin.segment_id)));
        copied.chain(continued).collect()
    }

    fn put_tombstones(&self, old: SessionId) -> Result<()> {
        let store = self.by.store;
        let known = Tombstones::read(store)?;
        let to = Self::session(old);
        let copies = &self.copies[&old];
        let now = self.segments(old);
        let copied: BTreeSet<SegmentId> = copies.continued.keys().map(|old| Self::segment(to, *old)).collect();
        let agent = self.by.agent_of(old)?;
        for name in self.by.tombstone_names(old)? {
            // It may have been written anew before: importers know what it was first. Or this was cut off behind this place.
            let is_of_it = |one: &&Tombstone| one.moved_to == Some(old) || one.moved_to == Some(to);
            let before = known.get(&name).filter(is_of_it).cloned().unwrap_or_default();
            let follow = |then: SegmentId| now.get(&then).copied().unwrap_or(then);
            let mut segments: BTreeMap<SegmentId, SegmentId> =
                before.segments.iter().map(|(first, then)| (*first, follow(*then))).collect();
            let standing: BTreeSet<SegmentId> = segments.values().copied().collect();
            segments.extend(now.iter().filter(|(_, new)| !standing.contains(new)));
            let continues = match self.continues(old)? {
                None => before.continues.map(|point| match now.get(&point.segment_id) {
                    Some(segment) => MovedPoint { session_id: to, segment_id: *segment, ..point },
                    None => point,
                }),
                continues => continues,
            };
            let tombstone = Tombstone {
                agent: agent.clone(),
                session_id: Some(before.session_id.unwrap_or(old)),
                purged_at: self.by.now,
                moved_to: Some(to),
                segments,
                copied: before.copied.iter().map(|then| follow(*then)).chain(copied.iter().copied()).collect(),
                continues,
            };
            tombstone.put(store, self.by.now, &name)?;
        }
        Ok(())
    }

    /// The point of the copy behind which the session's own entries begin.
    fn continues(&self, old: SessionId) -> Result<Option<MovedPoint>> {
        let superseded = SessionFacts::read(self.by.store, old)?.superseded;
        let copies = &self.copies[&old];
        let roots = copies.own.keys().filter(|segment| !superseded.contains(segment));
        let mut origins = roots.filter_map(|segment| copies.origins.get(segment).map(|origin| (*segment, *origin)));
        let Some((from, origin)) = origins.find(|(_, origin)| origin.session_id != old) else { return Ok(None) };
        let home = self.home(old, from, origin.session_id, origin.segment_id)?;
        let session_id = home.map_or(origin.session_id, Self::session);
        let segment_id = home.map_or(origin.segment_id, |_| Self::segment(session_id, origin.segment_id));
        Ok(Some(MovedPoint { session_id, segment_id, seq: origin.seq }))
    }
}

/// Replaces ids, wherever they stand as texts of their own.
fn rename_ids(value: &mut Value, ids: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(new) = ids.get(text.as_str()) {
                text.clone_from(new);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| rename_ids(value, ids)),
        Value::Object(fields) => fields.values_mut().for_each(|value| rename_ids(value, ids)),
        _ => {}
    }
}
