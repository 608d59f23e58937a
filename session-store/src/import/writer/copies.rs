//! Records that are copies of another conversation's: a forked file begins with them.
//!
//! Where records have ids of their own, a copy has the id of its original. Where they have none, the longest beginning
//! counts that says the same as the conversation that the file names. What a session holds once stays its own, whatever is
//! imported later.

use std::collections::HashSet;

use store_core::{LogEntry, Record, SegmentId, Seq, SessionId, Store, TimestampMs};

use super::beginning::Beginning;
use super::known::Exported;
use super::target::Target;
use crate::error::Result;
use crate::import::fresh::Fresh;
use crate::import::moved::Moved;
use crate::import::record::{Agent, ForkHint, Parent, Step};
use crate::import::walk::Place;
use crate::index::{Index, RecordHome};
use crate::lineage::lineage;

/// What a step turned out to be.
#[derive(Debug)]
pub(super) enum Copied {
    /// A record that stands elsewhere.
    Copy { record: String, line: u64, at: Place },
    /// A record that the conversation's own file was made with.
    Known { record: String, line: u64, at: Place },
    /// It waits, or says nothing that does not stand elsewhere.
    Held,
    /// The conversation's own, behind a place in the other conversation if one is given.
    Own { behind: Option<Place>, steps: Vec<Step> },
}

impl Copied {
    pub(super) fn own(step: Step) -> Self {
        Self::Own { behind: None, steps: vec![step] }
    }
}

/// Finds copies.
pub(super) enum Copies<'a> {
    /// The file has none.
    None,
    /// By the records' ids.
    ById(Box<ById<'a>>),
    /// By what the beginning says.
    Beginning(Box<Beginning<'a>>),
    /// The file was made of what the store holds.
    Exported(Box<Exported<'a>>),
}

impl<'a> Copies<'a> {
    /// What the file of this head may hold copies of.
    pub(super) fn new(target: &Target<'a>, exists: bool) -> Result<Self> {
        let Target { store, index, fresh, head, session, .. } = *target;
        let by_id = |family| {
            let (agent, last, own, moved) = (head.agent, None, None, target.moved.clone());
            let rank = (session.timestamp_ms(), head.native_id.clone());
            Self::ById(Box::new(ById { store, fresh, agent, session, moved, rank, family, last, own }))
        };
        if let Some(home) = target.exported {
            let behind = if head.agent == Agent::Claude { by_id(None) } else { Self::None };
            return Ok(Self::Exported(Box::new(Exported::new(store, home, behind))));
        }
        let continues = target.moved.as_ref().and_then(|moved| moved.continues);
        match (head.agent, &head.fork) {
            (Agent::Codex, ForkHint::Copy { .. }) if continues.is_some() => {
                Ok(Self::Beginning(Box::new(Beginning::of(store, continues)?)))
            }
            (Agent::Pi, ForkHint::Copy { .. }) if continues.is_some() => Ok(by_id(Some(family_of(store, &[session])?))),
            // A copy of it has its native id.
            (Agent::Claude, _) if head.inline => Ok(Self::None),
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
            Self::Beginning(copies) => copies.is_over().then_some(None),
            Self::Exported(copies) => copies.last(),
        }
    }

    /// Goes on behind a record, which is given if it was a copy. Of a beginning nothing follows there.
    pub(super) fn resume(&mut self, last: Option<String>) {
        match self {
            Self::None => {}
            Self::ById(copies) => copies.last = last,
            Self::Beginning(_) => *self = Self::None,
            Self::Exported(copies) => copies.resume(last),
        }
    }

    /// Tells whose a step is; `behind` is where the entries of a record end that another one names as its parent.
    pub(super) fn take(&mut self, step: Step, behind: &dyn Fn(&Parent) -> Option<Place>) -> Result<Copied> {
        match self {
            Self::None => Ok(Copied::own(step)),
            Self::ById(copies) => copies.take(step, behind),
            Self::Beginning(copies) => copies.take(step),
            Self::Exported(copies) => copies.take(step, behind),
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
            family.extend(lineage(store, *session, segment)?.iter().map(|part| part.session_id));
        }
    }
    Ok(family)
}

/// Whether a session begins behind another one.
fn continues_another(store: &dyn Store, session: SessionId) -> Result<bool> {
    for segment in store.list_segments(session)? {
        let parts = lineage(store, session, segment)?;
        if parts.first().is_some_and(|root| root.session_id != session) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Copies that have the ids of their originals.
pub(super) struct ById<'a> {
    store: &'a dyn Store,
    fresh: &'a Fresh<'a>,
    agent: Agent,
    session: SessionId,
    /// Where the conversation was written anew, if it was.
    moved: Option<Moved>,
    /// The conversation's birth and native id: originals stand in earlier ones. A younger one that was imported first has
    /// copies of its own.
    rank: (TimestampMs, String),
    /// Where originals are looked for; `None`: in every session of the agent.
    family: Option<HashSet<SessionId>>,
    /// The last record, if it was a copy.
    last: Option<String>,
    /// The last record, if it was none.
    own: Option<String>,
}

impl ById<'_> {
    fn take(&mut self, step: Step, behind: &dyn Fn(&Parent) -> Option<Place>) -> Result<Copied> {
        let (record, line, ts) = match &step {
            Step::Entries { record, line, ts, .. }
            | Step::Rest { record, line, ts, .. }
            | Step::EndTurn { record, line, ts }
            | Step::Fail { record, line, ts, .. }
            | Step::Compact { record, line, ts, .. }
            | Step::RollBack { record, line, ts, .. } => (record.clone(), *line, *ts),
            _ => return Ok(Copied::own(step)),
        };
        if self.last.as_ref() == Some(&record) && !matches!(step, Step::Entries { .. }) {
            return Ok(Copied::Held);
        }
        if self.own.as_ref() == Some(&record) && !matches!(step, Step::Entries { .. }) {
            return Ok(Copied::own(step));
        }
        let home = self.home(&record, ts)?;
        let home = match (&step, home) {
            (Step::Entries { parent, .. }, Some(at)) if self.agent == Agent::Pi => {
                self.is_behind(at, &record, behind(parent))?.then_some(at)
            }
            (_, home) => home,
        };
        let Some(at) = home else {
            self.last = None;
            self.own = Some(record);
            return Ok(Copied::own(step));
        };
        self.own = None;
        self.last = Some(record.clone());
        Ok(Copied::Copy { record, line, at })
    }

    /// Where the original stands.
    fn home(&self, record: &str, ts: TimestampMs) -> Result<Option<Place>> {
        // Claude Code's other records are numbered, which says nothing elsewhere.
        if self.agent == Agent::Claude && record.parse::<SegmentId>().is_err() {
            return Ok(None);
        }
        let homes = self.fresh.record_homes(self.agent.name(), record)?;
        let is_own = |home: &RecordHome| {
            let is_copied = self.moved.as_ref().is_some_and(|moved| moved.is_copied(home.segment_id));
            home.session_id == self.session && !is_copied
        };
        if homes.iter().any(is_own) {
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
        Ok(first.as_ref().and_then(record_in) == Some(record))
    }

    /// Whether a record whose entries end with `at` has the parent whose entries end with `parent`.
    fn is_behind(&self, at: Place, record: &str, parent: Option<Place>) -> Result<bool> {
        let before = self.before(at, record)?;
        let (Some(before), Some(parent)) = (before, parent) else { return Ok(before == parent) };
        let is_same = (before.session, before.segment) == (parent.session, parent.segment);
        Ok(before == parent || (is_same && self.record_of(before)? == self.record_of(parent)?))
    }

    /// The entry before those that a record gave; `None` if the conversation begins with them.
    fn before(&self, at: Place, record: &str) -> Result<Option<Place>> {
        let mut at = at;
        while let Some(read) = self.read(at)? {
            if record_in(&read) != Some(record) {
                return Ok(Some(at));
            }
            if let LogEntry::SegmentStart(start) = &read.entry {
                return Ok(start.origin().copied().map(Place::from));
            }
            at.seq = Seq(at.seq.0.saturating_sub(1));
        }
        Ok(None)
    }

    fn record_of(&self, at: Place) -> Result<Option<String>> {
        Ok(self.read(at)?.as_ref().and_then(record_in).map(str::to_owned))
    }

    fn read(&self, at: Place) -> Result<Option<Record>> {
        let read = self.store.read_range(at.session, at.segment, Seq(at.seq.0.saturating_sub(1)), 1)?;
        Ok(read.into_iter().next())
    }

    /// Whether an entry is of this time.
    fn is_of(&self, at: Place, ts: TimestampMs) -> Result<bool> {
        Ok(self.read(at)?.is_some_and(|record| record.entry.ts() == ts))
    }
}

/// The agent's record that gave an entry.
fn record_in(entry: &Record) -> Option<&str> {
    entry.key.as_deref()?.rsplit_once('#').map(|(record, _)| record)
}

/// The last entry of the branch that stands before an ordinal is looked for from here.
pub(super) fn root_origin(store: &dyn Store, session: SessionId) -> Result<Option<Place>> {
    for segment in store.list_segments(session)? {
        let first = lineage(store, session, segment)?;
        let own = first.iter().find(|part| part.session_id == session);
        if let Some(origin) = own.and_then(|own| own.start.origin().copied()) {
            return Ok(Some(Place::from(origin)));
        }
    }
    Ok(None)
}
