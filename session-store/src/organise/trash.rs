//! Into the trash, and out of it.
//!
//! What went along with a conversation remembers with whom, so that it comes back with that one and nothing else does: a sub-agent
//! that was put into the trash for itself stays there. The conversation itself is marked first and unmarked last, so that doing it again finishes what was cut off.

use store_core::SessionId;

use super::Organiser;
use crate::error::{Result, SessionError};
use crate::facts::{SessionFact, SessionFacts, put_session_fact};
use crate::live::refuse_live;
use crate::tombstone;

impl Organiser<'_> {
    /// Puts sessions into the trash, each with its sub-agents. Answers with all that are there now because of it.
    ///
    /// # Errors
    /// `Live` if somebody writes one of them, and nothing is changed; `NotFound`; what the store fails with.
    pub fn trash(&self, sessions: &[SessionId]) -> Result<Vec<SessionId>> {
        let all = self.with_subagents(sessions)?;
        for session in &all {
            refuse_live(self.store, *session)?;
        }
        for session in sessions {
            self.put_trashed(*session, None)?;
            for along in self.with_subagents(&[*session])?.into_iter().skip(1) {
                if !sessions.contains(&along) {
                    self.put_trashed(along, Some(*session))?;
                }
            }
        }
        Ok(all)
    }

    /// Takes sessions out of the trash, each with the sub-agents that went there with it. Answers with all that came out.
    ///
    /// # Errors
    /// `NotTrashed` if one of them is not there, and nothing is changed; `NotFound`; what the store fails with.
    pub fn take_out(&self, sessions: &[SessionId]) -> Result<Vec<SessionId>> {
        let mut out = Vec::new();
        for session in sessions {
            let mut with = Vec::new();
            for along in self.with_subagents(&[*session])?.into_iter().skip(1) {
                let facts = SessionFacts::read(self.store, along)?;
                if facts.trashed && facts.trashed_with == Some(*session) {
                    with.push(along);
                }
            }
            if with.is_empty() && !SessionFacts::read(self.store, *session)?.trashed {
                return Err(SessionError::NotTrashed { session: *session });
            }
            out.push((*session, with));
        }
        let mut all = Vec::new();
        for (session, with) in out {
            for one in with.iter().chain([&session]) {
                self.forget_tombstones(*one)?;
                put_session_fact(self.store, self.now, *one, &SessionFact::Trashed(false))?;
            }
            all.push(session);
            all.extend(with);
        }
        Ok(all)
    }

    pub(super) fn put_trashed(&self, session: SessionId, with: Option<SessionId>) -> Result<()> {
        let facts = SessionFacts::read(self.store, session)?;
        if facts.trashed {
            // For whatever reason it is there, that one stays.
            return Ok(());
        }
        if facts.trashed_with != with {
            put_session_fact(self.store, self.now, session, &SessionFact::TrashedWith(with))?;
        }
        put_session_fact(self.store, self.now, session, &SessionFact::Trashed(true))
    }

    /// A purge that was cut off may have put up a tombstone of a session that is still there.
    fn forget_tombstones(&self, session: SessionId) -> Result<()> {
        let tombstones = tombstone::Tombstones::read(self.store)?;
        for name in self.tombstone_names(session)? {
            if tombstones.get(&name).is_some_and(|one| one.session_id == Some(session) && one.moved_to.is_none()) {
                tombstone::take_back(self.store, self.now, &name, session)?;
            }
        }
        Ok(())
    }
}
