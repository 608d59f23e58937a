//! Records that are copies of another conversation's: a forked file begins with them.
//!
//! Where records have ids of their own, a copy has the id of its original. Where they have none, the longest beginning
//! counts that says the same as the conversation that the file names. What a session holds once stays its own, whatever is
//! imported later.

use std::collections::{HashSet, VecDeque};

use serde_json::Value;
use store_core::{LogEntry, SegmentId, Seq, SessionId, Store, StoreError, TimestampMs};

use crate::blob;
use crate::error::Result;
use crate::import::record::{Agent, FileHead, ForkHint, Step};
use crate::import::walk::Place;
use crate::index::{Index, RecordHome};
use crate::leaf;
use crate::lineage::{self, LineagePart};

/// How many records of the other conversation are read at once.
const BATCH_RECORDS: usize = 256;

/// What a step turned out to be.
#[derive(Debug)]
pub(super) enum Copied {
    /// A record that stands elsewhere.
    Copy { record: String, line: u64, at: Place },
    /// It waits, or says nothing that does not stand elsewhere.
    Held,
    /// The conversation's own, behind a place in the other conversation if one is given.
    Own { behind: Option<Place>, steps: Vec<Step> },
}

impl Copied {
    fn own(step: Step) -> Self {
        Self::Own { behind: None, steps: vec![step] }
    }
}

/// Finds copies.
pub(super) enum Copies<'a> {
    /// The file has none.
    None,
    /// By the records' ids.
    ById(ById<'a>),
    /// By what the beginning says.
    Beginning(Box<Beginning<'a>>),
}

impl<'a> Copies<'a> {
    /// What the file of this head may hold copies of.
    pub(super) fn new(
        store: &'a dyn Store,
        index: &'a Index,
        head: &FileHead,
        session: SessionId,
        exists: bool,
    ) -> Result<Self> {
        let by_id = |family| {
            let (agent, last) = (head.agent, None);
            let rank = (session.timestamp_ms(), head.native_id.clone());
            Self::ById(ById { store, index, agent, session, rank, family, last })
        };
        match (head.agent, &head.fork) {
            (Agent::Claude, _) => Ok(by_id(None)),
            (Agent::Pi, ForkHint::Copy { native_id }) => {
                let parents = sessions_of(index, head.agent, native_id)?;
                let family = family_of(store, &parents)?;
                Ok(if family.is_empty() { Self::None } else { by_id(Some(family)) })
            }
            (Agent::Codex, ForkHint::Copy { native_id }) => {
                let parent = sessions_of(index, head.agent, native_id)?.into_iter().find(|parent| *parent != session);
                let Some(parent) = parent else { return Ok(Self::None) };
                if exists && !continues_another(store, session)? {
                    return Ok(Self::None);
                }
                Ok(Self::Beginning(Box::new(Beginning::new(store, parent)?)))
            }
            _ => Ok(Self::None),
        }
    }

    /// The last record, if it was a copy; `None` as long as it is not known where the file's own records begin.
    pub(super) fn last(&self) -> Option<Option<String>> {
        match self {
            Self::None => Some(None),
            Self::ById(copies) => Some(copies.last.clone()),
            Self::Beginning(copies) => copies.is_over.then_some(None),
        }
    }

    /// Goes on behind a record, which is given if it was a copy. Of a beginning nothing follows there.
    pub(super) fn resume(&mut self, last: Option<String>) {
        match self {
            Self::None => {}
            Self::ById(copies) => copies.last = last,
            Self::Beginning(_) => *self = Self::None,
        }
    }

    /// Tells whose a step is.
    pub(super) fn take(&mut self, step: Step) -> Result<Copied> {
        match self {
            Self::None => Ok(Copied::own(step)),
            Self::ById(copies) => copies.take(step),
            Self::Beginning(copies) => copies.take(step),
        }
    }
}

/// The sessions that a native id names.
pub(super) fn sessions_of(index: &Index, agent: Agent, native_id: &str) -> Result<Vec<SessionId>> {
    let homes = index.find_native(Some(agent.name()), native_id)?;
    let mut sessions: Vec<SessionId> = homes.into_iter().map(|home| home.session_id).collect();
    sessions.dedup();
    Ok(sessions)
}

/// The sessions, and those that they continue.
fn family_of(store: &dyn Store, sessions: &[SessionId]) -> Result<HashSet<SessionId>> {
    let mut family = HashSet::new();
    for session in sessions {
        for segment in store.list_segments(*session)? {
            family.extend(lineage::lineage(store, *session, segment)?.iter().map(|part| part.session_id));
        }
    }
    Ok(family)
}

/// Whether a session begins behind another one.
fn continues_another(store: &dyn Store, session: SessionId) -> Result<bool> {
    for segment in store.list_segments(session)? {
        let parts = lineage::lineage(store, session, segment)?;
        if parts.first().is_some_and(|root| root.session_id != session) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Copies that have the ids of their originals.
pub(super) struct ById<'a> {
    store: &'a dyn Store,
    index: &'a Index,
    agent: Agent,
    session: SessionId,
    /// The conversation's birth and native id: originals stand in earlier ones. A younger one that was imported first has
    /// copies of its own.
    rank: (TimestampMs, String),
    /// Where originals are looked for; `None`: in every session of the agent.
    family: Option<HashSet<SessionId>>,
    /// The last record, if it was a copy.
    last: Option<String>,
}

impl ById<'_> {
    fn take(&mut self, step: Step) -> Result<Copied> {
        let (record, line, ts) = match &step {
            Step::Entries { record, line, ts, .. }
            | Step::EndTurn { record, line, ts }
            | Step::Fail { record, line, ts, .. }
            | Step::Compact { record, line, ts, .. }
            | Step::RollBack { record, line, ts, .. } => (record.clone(), *line, *ts),
            _ => return Ok(Copied::own(step)),
        };
        if self.last.as_ref() == Some(&record) && !matches!(step, Step::Entries { .. }) {
            return Ok(Copied::Held);
        }
        let Some(at) = self.home(&record, ts)? else {
            self.last = None;
            return Ok(Copied::own(step));
        };
        self.last = Some(record.clone());
        Ok(Copied::Copy { record, line, at })
    }

    /// Where the original stands.
    fn home(&self, record: &str, ts: TimestampMs) -> Result<Option<Place>> {
        // Claude Code's other records are numbered, which says nothing elsewhere.
        if self.agent == Agent::Claude && record.parse::<SegmentId>().is_err() {
            return Ok(None);
        }
        let homes = self.index.record_homes(self.agent.name(), record)?;
        if homes.iter().any(|home| home.session_id == self.session) {
            return Ok(None);
        }
        let is_in_family = |home: &&RecordHome| {
            let family = self.family.as_ref();
            let rank = (home.birth_ms, home.native_id.as_deref().unwrap_or_default());
            let is_earlier = rank < (self.rank.0, self.rank.1.as_str());
            is_earlier && !home.superseded && family.is_none_or(|family| family.contains(&home.session_id))
        };
        let homes: Vec<&RecordHome> = homes.iter().filter(is_in_family).collect();
        let Some(first) = homes.first() else { return Ok(None) };
        let of_first: Vec<&RecordHome> =
            homes.iter().filter(|home| home.session_id == first.session_id).copied().collect();
        let mut chosen = *first;
        if of_first.len() > 1 {
            for home in of_first {
                if self.begins(home, record)? {
                    chosen = home;
                }
            }
        }
        let at = Place { session: chosen.session_id, segment: chosen.segment_id, seq: chosen.seq };
        Ok((self.family.is_none() || self.is_of(at, ts)?).then_some(at))
    }

    /// Whether a segment begins with a record.
    fn begins(&self, home: &RecordHome, record: &str) -> Result<bool> {
        let first = self.store.read_range(home.session_id, home.segment_id, Seq::START, 1)?.into_iter().next();
        let key = first.and_then(|first| first.key);
        Ok(key.as_deref().and_then(|key| key.rsplit_once('#')).is_some_and(|(of, _)| of == record))
    }

    /// Whether an entry is of this time.
    fn is_of(&self, at: Place, ts: TimestampMs) -> Result<bool> {
        let read = self.store.read_range(at.session, at.segment, Seq(at.seq.0.saturating_sub(1)), 1)?;
        Ok(read.first().is_some_and(|record| record.entry.ts() == ts))
    }
}

/// An entry of the other conversation.
struct Original {
    at: Place,
    kind: Kind,
    said: String,
}

/// What entries are compared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Part of the conversation: one after the other, each has to be equal.
    Item,
    /// A compaction, which is one of them.
    Compaction,
    /// What goes along with it.
    Beside,
}

/// A beginning that says the same as another conversation.
pub(super) struct Beginning<'a> {
    store: &'a dyn Store,
    /// What is left of the other conversation: its segments, and how far the first one was read.
    parts: VecDeque<LineagePart>,
    after: Seq,
    read: VecDeque<Original>,
    /// What waits for the next item, which tells whose it is.
    held: Vec<Step>,
    is_over: bool,
}

impl<'a> Beginning<'a> {
    fn new(store: &'a dyn Store, parent: SessionId) -> Result<Self> {
        let leaf = leaf::current_leaf(store, parent)?;
        let parts = lineage::lineage(store, parent, leaf)?.into();
        Ok(Self { store, parts, after: Seq::START, read: VecDeque::new(), held: Vec::new(), is_over: false })
    }

    fn take(&mut self, step: Step) -> Result<Copied> {
        if self.is_over {
            return Ok(Copied::own(step));
        }
        let matched = match &step {
            Step::Entries { entries, .. } if entries.iter().any(|entry| kind_of(entry) == Kind::Item) => {
                self.matched(entries)?
            }
            Step::Compact { .. } => self.matched_compaction()?,
            Step::RollBack { .. } => None,
            Step::Entries { .. } | Step::EndTurn { .. } | Step::Fail { .. } => {
                self.held.push(step);
                return Ok(Copied::Held);
            }
            _ => return Ok(Copied::own(step)),
        };
        match (matched, step) {
            (Some(at), Step::Entries { record, line, .. } | Step::Compact { record, line, .. }) => {
                self.held.clear();
                Ok(Copied::Copy { record, line, at })
            }
            (_, step) => self.end(step),
        }
    }

    /// The first step that is the conversation's own.
    fn end(&mut self, step: Step) -> Result<Copied> {
        self.is_over = true;
        let mut beside: Vec<Original> = Vec::new();
        while let Some(next) = self.next()? {
            if next.kind != Kind::Beside {
                break;
            }
            beside.push(next);
        }
        let mut behind = None;
        let mut steps = Vec::new();
        for held in std::mem::take(&mut self.held) {
            let said: Vec<String> = match &held {
                Step::Entries { entries, .. } => {
                    entries.iter().map(|entry| self.said(entry.clone())).collect::<Result<_>>()?
                }
                Step::EndTurn { .. } => vec!["turn_end".to_owned()],
                _ => vec!["run_errored".to_owned()],
            };
            let found: Vec<Place> = said
                .iter()
                .filter_map(|said| {
                    let of_kind = |original: &&Original| original.said == *said || said_kind(&original.said) == *said;
                    beside.iter().find(of_kind).map(|original| original.at)
                })
                .collect();
            if found.len() == said.len() {
                behind = found.into_iter().chain(behind).max_by_key(|at| at.seq);
            } else {
                steps.push(held);
            }
        }
        steps.push(step);
        Ok(Copied::Own { behind, steps })
    }

    /// Where the items stand in the other conversation, if it goes on with exactly them.
    fn matched(&mut self, entries: &[LogEntry]) -> Result<Option<Place>> {
        let mut wanted = Vec::new();
        for entry in entries.iter().filter(|entry| kind_of(entry) == Kind::Item) {
            wanted.push(self.said(entry.clone())?);
        }
        let mut passed = VecDeque::new();
        let mut at = None;
        for wanted in wanted {
            let found = loop {
                match self.next()? {
                    Some(next) if next.kind == Kind::Beside => passed.push_back(next),
                    next => break next,
                }
            };
            let is_equal = found.as_ref().is_some_and(|found| found.kind == Kind::Item && found.said == wanted);
            at = found.as_ref().map(|found| found.at).filter(|_| is_equal);
            passed.extend(found);
            if !is_equal {
                // None of the record's items is a copy.
                passed.append(&mut self.read);
                self.read = passed;
                return Ok(None);
            }
        }
        Ok(at)
    }

    fn matched_compaction(&mut self) -> Result<Option<Place>> {
        let mut passed = VecDeque::new();
        while let Some(next) = self.next()? {
            match next.kind {
                Kind::Beside => passed.push_back(next),
                Kind::Compaction => return Ok(Some(next.at)),
                Kind::Item => {
                    passed.push_back(next);
                    break;
                }
            }
        }
        passed.append(&mut self.read);
        self.read = passed;
        Ok(None)
    }

    /// The next entry of the other conversation.
    fn next(&mut self) -> Result<Option<Original>> {
        while self.read.is_empty() {
            let Some(part) = self.parts.front() else { return Ok(None) };
            let (session, segment, through) = (part.session_id, part.segment_id, part.through);
            let left = usize::try_from(through.0.saturating_sub(self.after.0)).unwrap_or(usize::MAX);
            let records = self.store.read_range(session, segment, self.after, left.min(BATCH_RECORDS))?;
            let Some(last) = records.last().map(|record| record.position.seq) else {
                self.parts.pop_front();
                self.after = Seq::START;
                continue;
            };
            self.after = last;
            for record in records {
                let at = Place { session, segment, seq: record.position.seq };
                let kind = kind_of(&record.entry);
                self.read.push_back(Original { at, kind, said: said(&record.entry)? });
            }
        }
        Ok(self.read.pop_front())
    }

    /// What an entry of the file says, as it would be stored.
    fn said(&self, entry: LogEntry) -> Result<String> {
        said(&blob::externalize(self.store, entry)?.0)
    }
}

fn kind_of(entry: &LogEntry) -> Kind {
    match entry {
        LogEntry::UserInput(_) | LogEntry::AssistantItem(_) | LogEntry::ToolResult(_) | LogEntry::SystemItem(_) => {
            Kind::Item
        }
        LogEntry::SegmentStart(start) if start.compacted_from.is_some() => Kind::Compaction,
        _ => Kind::Beside,
    }
}

/// An entry without its time: copies are written at another one.
fn said(entry: &LogEntry) -> Result<String> {
    let mut value = serde_json::to_value(entry).map_err(StoreError::backend)?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("ts");
    }
    Ok(value.to_string())
}

/// The kind of an entry that says nothing else that could be compared.
fn said_kind(said: &str) -> String {
    let value: Value = serde_json::from_str(said).unwrap_or_default();
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    if matches!(kind, "turn_end" | "run_errored") { kind.to_owned() } else { String::new() }
}

/// The last entry of the branch that stands before an ordinal is looked for from here.
pub(super) fn root_origin(store: &dyn Store, session: SessionId) -> Result<Option<Place>> {
    for segment in store.list_segments(session)? {
        let first = lineage::lineage(store, session, segment)?;
        let own = first.iter().find(|part| part.session_id == session);
        if let Some(origin) = own.and_then(|own| own.start.origin().copied()) {
            return Ok(Some(Place::from(origin)));
        }
    }
    Ok(None)
}
