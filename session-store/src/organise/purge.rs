//! Getting rid of conversations for good.
//!
//! A purge is made of steps that can each be done again: everything goes into the trash, what continues a purged conversation is written
//! anew if that was asked for, tombstones go up, and only then sessions are deleted, each at once, whoever continues or was started by another before that one. Whatever cuts it off,
//! nothing is half there: what was not deleted yet lies in the trash, whole, and the same call finishes the work.

use std::collections::BTreeSet;

use store_core::{LogEntry, SegmentId, Seq, SessionId, StoreError};

use super::Organiser;
use super::detach::Detached;
use crate::error::{Result, SessionError};
use crate::leaf::is_damage;
use crate::live::refuse_live;
use crate::tombstone::Tombstone;

/// A segment of another conversation that continues one that is to be purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Referrer {
    /// Its session.
    pub session_id: SessionId,
    /// The segment.
    pub segment_id: SegmentId,
    /// The session that it continues.
    pub continues: SessionId,
}

/// What a purge comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PurgePlan {
    /// All that goes, in the order in which it does: those that were asked for and their sub-agents.
    pub purged: Vec<SessionId>,
    /// What continues them. Without detaching, nothing goes as long as there is any.
    pub referrers: Vec<Referrer>,
    /// What is written anew before, if it is to be detached: the referrers' sessions, what continues those, and their sub-agents; what is continued first.
    pub detached: Vec<SessionId>,
}

/// What a purge did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// What is gone.
    pub purged: Vec<SessionId>,
    /// What was written anew: the session that it was, and the one that it is now.
    pub detached: Vec<(SessionId, SessionId)>,
}

impl Organiser<'_> {
    /// What purging sessions comes to.
    ///
    /// # Errors
    /// `Index`.
    pub fn plan_purge(&self, sessions: &[SessionId]) -> Result<PurgePlan> {
        let all = self.with_subagents(sessions)?;
        let mut referrers = Vec::new();
        for session in &all {
            for (session_id, segment_id) in self.index.continued_by(*session)? {
                if !all.contains(&session_id) {
                    referrers.push(Referrer { session_id, segment_id, continues: *session });
                }
            }
        }
        let detached = self.closure(&all, &referrers)?;
        Ok(PurgePlan {
            purged: self.in_order(all)?,
            referrers,
            detached: self.in_order(detached)?.into_iter().rev().collect(),
        })
    }

    /// Purges sessions, as [`plan_purge`](Self::plan_purge) says. `detach` first writes each that continues one of them anew as a session of its own, with what it
    /// continues copied, keys included, and leaves a tombstone that names the new one.
    ///
    /// # Errors
    /// `Live` if somebody writes one of them, or one that would be written anew, and `Referenced` if others continue one and `detach` is not
    /// given: then nothing is changed. `NotFound`; what the store fails with: then the same call finishes the work.
    pub fn purge(&self, sessions: &[SessionId], detach: bool) -> Result<Purged> {
        let plan = self.plan_purge(sessions)?;
        for session in plan.purged.iter().chain(&plan.detached) {
            refuse_live(self.store, *session)?;
        }
        if !detach && !plan.referrers.is_empty() {
            return Err(StoreError::Referenced { by: plan.referrers.iter().map(|one| one.segment_id).collect() }.into());
        }
        self.trash(sessions)?;
        let mut detached = Detached::new(*self, &plan.purged, &plan.detached);
        for session in &plan.detached {
            detached.write(*session)?;
        }
        // What was started by another one, or continues it, goes before that one.
        for session in plan.detached.iter().rev() {
            detached.finish(*session)?;
        }
        for session in &plan.purged {
            self.delete(*session)?;
        }
        self.index.refresh(self.store)?;
        let moved = plan.detached.iter().map(|session| (*session, Detached::session(*session))).collect();
        Ok(Purged { purged: plan.purged, detached: moved })
    }

    fn delete(&self, session: SessionId) -> Result<()> {
        let agent = self.agent_of(session)?;
        for name in self.tombstone_names(session)? {
            let tombstone = Tombstone {
                agent: agent.clone(),
                session_id: Some(session),
                purged_at: self.now,
                ..Tombstone::default()
            };
            tombstone.put(self.store, self.now, &name)?;
        }
        Ok(self.store.delete_session(session)?)
    }

    pub(super) fn agent_of(&self, session: SessionId) -> Result<Option<String>> {
        Ok(self.index.summary(session)?.and_then(|row| row.agent))
    }

    /// The names under which a session has tombstones: the agent's own ids of it, else its own.
    pub(super) fn tombstone_names(&self, session: SessionId) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for segment in self.store.list_segments(session)? {
            match self.store.read_range(session, segment, Seq::START, 1) {
                Ok(first) => {
                    if let Some(LogEntry::SegmentStart(start)) = first.into_iter().next().map(|record| record.entry) {
                        names.extend(start.meta.native_id);
                    }
                }
                // What cannot be read can be purged all the same; the index knows what it was.
                Err(error) if is_damage(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        names.extend(self.index.segments(session)?.into_iter().filter_map(|segment| segment.native_id));
        if names.is_empty() {
            names.insert(session.to_string());
        }
        Ok(names)
    }

    /// All that has to be written anew because it continues what is purged, or something that is written anew, or was started by that.
    fn closure(&self, purged: &[SessionId], referrers: &[Referrer]) -> Result<Vec<SessionId>> {
        let mut found: Vec<SessionId> = Vec::new();
        let mut next: Vec<SessionId> = referrers.iter().map(|one| one.session_id).collect();
        while let Some(session) = next.pop() {
            if purged.contains(&session) || found.contains(&session) {
                continue;
            }
            found.push(session);
            next.extend(self.index.continued_by(session)?.into_iter().map(|(session, _)| session));
            next.extend(self.index.subagents_of(session)?);
        }
        Ok(found)
    }

    /// Whoever continues another of the sessions, or was started by it, before that one.
    fn in_order(&self, mut left: Vec<SessionId>) -> Result<Vec<SessionId>> {
        let mut order = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let mut free = None;
            for (at, session) in left.iter().enumerate() {
                let continued = self.index.continued_by(*session)?.into_iter().map(|(session, _)| session);
                let mut behind = continued.chain(self.index.subagents_of(*session)?);
                if !behind.any(|one| left.contains(&one)) {
                    free = Some(at);
                    break;
                }
            }
            // Only what is damaged continues itself; the store has the last word about it.
            order.push(left.remove(free.unwrap_or(0)));
        }
        Ok(order)
    }
}

/// That a session which is to be written anew cannot be.
pub(super) fn unreadable(segment: SegmentId) -> SessionError {
    crate::LineageError::NoStart { segment }.into()
}
