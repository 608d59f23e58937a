//! Organising: what people do with whole conversations. Titles, tags, the archive, the trash, and getting rid of them for good.
//!
//! Everything but purging is a fact, takes back as easily as it was said, and touches no log. What goes into the trash or is purged takes the
//! sub-agents that it started along, and comes back with them. Nothing here happens by itself: no age, no size and no number of conversations ever removes one.
//!
//! * `trash`: into the trash and out of it.
//! * `purge`: for good; `detach` writes what continues a purged conversation anew, whole.

mod detach;
mod purge;
mod trash;

use store_core::{Backend, SessionId, TimestampMs};

use crate::error::Result;
use crate::facts::{SessionFact, SessionFacts, Title, TitleBy, put_session_fact};
use crate::index::Index;

pub use crate::facts::TagChange;
pub use purge::{PurgePlan, Purged, Referrer};

/// The session that a session becomes when it is written anew because what it continues is purged.
pub fn detached_session(session: SessionId) -> SessionId {
    detach::Detached::session(session)
}

/// Somebody who organises a store.
#[derive(Clone, Copy)]
pub struct Organiser<'a> {
    /// The store.
    pub store: &'a dyn Backend,
    /// The store's index, which has to be up to date; it is brought up to date by whoever asks it next.
    pub index: &'a Index,
    /// The time, in milliseconds since the epoch.
    pub now: TimestampMs,
}

impl std::fmt::Debug for Organiser<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Organiser").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Organiser<'_> {
    /// Gives a session a title in a person's name, which outlasts any that an agent makes up. An empty one takes the person's
    /// title back.
    ///
    /// # Errors
    /// `NotFound`; what the store fails with.
    pub fn rename(&self, session: SessionId, title: &str) -> Result<()> {
        let title = title.trim();
        self.say(session, |facts| {
            let known = facts.title_by_person().unwrap_or_default();
            (known != title).then(|| SessionFact::Title(Title { text: title.to_owned(), by: TitleBy::Person }))
        })
    }

    /// Changes a session's tags.
    ///
    /// # Errors
    /// As [`rename`](Self::rename).
    pub fn tag(&self, session: SessionId, change: &TagChange) -> Result<()> {
        self.say(session, |facts| {
            let tags = change.apply(&facts.tags);
            (tags != facts.tags).then(|| SessionFact::TagsChange(change.clone()))
        })
    }

    /// Pins a session, or no more.
    ///
    /// # Errors
    /// As [`rename`](Self::rename).
    pub fn pin(&self, session: SessionId, pinned: bool) -> Result<()> {
        self.say(session, |facts| (facts.pinned != pinned).then_some(SessionFact::Pinned(pinned)))
    }

    /// Puts a session into the archive, or takes it out.
    ///
    /// # Errors
    /// As [`rename`](Self::rename).
    pub fn archive(&self, session: SessionId, archived: bool) -> Result<()> {
        self.say(session, |facts| (facts.archived != archived).then_some(SessionFact::Archived(archived)))
    }

    /// Puts the fact that says something new, if any does.
    fn say(&self, session: SessionId, fact: impl FnOnce(&SessionFacts) -> Option<SessionFact>) -> Result<()> {
        match fact(&SessionFacts::read(self.store, session)?) {
            Some(fact) => put_session_fact(self.store, self.now, session, &fact),
            None => Ok(()),
        }
    }

    /// The sessions, and behind each the sub-agents that it started, theirs included; each once.
    ///
    /// # Errors
    /// `Index`.
    pub fn with_subagents(&self, sessions: &[SessionId]) -> Result<Vec<SessionId>> {
        let mut found: Vec<SessionId> = Vec::new();
        for session in sessions {
            let mut next = vec![*session];
            while let Some(session) = next.pop() {
                if !found.contains(&session) {
                    found.push(session);
                    next.extend(self.index.subagents_of(session)?.into_iter().rev());
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_go_and_come_in_order_and_once() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
        let tags = texts(&["a", "b", "c"]);
        let change = |clear, remove: &[&str], add: &[&str]| TagChange { clear, remove: texts(remove), add: texts(add) };
        assert_eq!(change(false, &["b"], &["d", "a", "d"]).apply(&tags), texts(&["a", "c", "d"]));
        assert_eq!(change(true, &[], &["b"]).apply(&tags), texts(&["b"]));
        assert_eq!(change(false, &["b"], &["b"]).apply(&tags), texts(&["a", "c", "b"]));
        assert_eq!(change(false, &[], &[]).apply(&tags), tags);
    }
}
