//! Sessions that are made whole: with their segments and with what is said about them.
//!
//! Whoever makes one session after another waits for the medium at each. A backend that is told of many at once can make all of them last
//! together; one that has nothing better does one after the other ([`one_by_one`]), which gives the same but for a crash in
//! between.

use crate::call::{self, NewEntry, Prepared};
use crate::error::{Result, StoreError};
use crate::id::{Position, SegmentId, SessionId};
use crate::store::{CreateOptions, Durability, Fact, FactScope, Store};

/// A session that is to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSession {
    /// The session, which does not exist.
    pub session: SessionId,
    /// Its segments, at least one, in the order in which they are made: one may continue an earlier one.
    pub segments: Vec<NewSegment>,
    /// What is said about it, in order.
    pub facts: Vec<Fact>,
}

/// A segment of a session that is to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSegment {
    /// The segment.
    pub segment: SegmentId,
    /// Its entries, as [`Store::create_segment`] takes them.
    pub entries: Vec<NewEntry>,
}

/// What came of one session: where the entries of each of its segments stand.
pub type Created = Result<Vec<Vec<Position>>>;

impl NewSession {
    /// What a session is refused with that is there already, or that has nothing.
    ///
    /// # Errors
    /// `InvalidEntry` without a segment; `AlreadyExists` if `exists`.
    pub fn check(&self, exists: bool) -> Result<()> {
        let Some(first) = self.segments.first() else {
            let (index, detail) = (0, "a session has at least one segment".to_owned());
            return Err(StoreError::InvalidEntry { index, detail });
        };
        if exists {
            return Err(StoreError::AlreadyExists { session: self.session, segment: first.segment });
        }
        Ok(())
    }
}

impl NewSession {
    /// Validates everything that is asked for, and serialises the entries: of each segment in turn, and then the facts.
    ///
    /// # Errors
    /// `InvalidEntry`, `TooLarge`, `KeyReused`: what is wrong with the call itself comes before what is wrong with it in a store.
    pub fn prepare(&self) -> Result<Vec<Vec<Prepared>>> {
        self.check(false)?;
        let segments = self.segments.iter().map(|NewSegment { entries, .. }| {
            let prepared = call::prepare_create(self.session, entries)?;
            call::resolve_keys(&prepared, |_| Ok(None))?;
            Ok(prepared)
        });
        let prepared = segments.collect::<Result<_>>()?;
        self.facts.iter().try_for_each(|fact| call::prepare_fact(fact).map(drop))?;
        Ok(prepared)
    }
}

/// Makes sessions one after the other, segment by segment and fact by fact. What was made of one that is refused is deleted.
pub fn one_by_one<S: Store + ?Sized>(store: &S, sessions: &[NewSession]) -> Vec<Created> {
    sessions.iter().map(|new| make(store, new)).collect()
}

fn make<S: Store + ?Sized>(store: &S, new: &NewSession) -> Created {
    new.prepare()?;
    new.check(store.exists(new.session)?)?;
    let options = CreateOptions { durability: Some(Durability::Synced) };
    let mut made = Vec::with_capacity(new.segments.len());
    let done = new.segments.iter().try_for_each(|NewSegment { segment, entries }| {
        made.push(store.create_segment(new.session, *segment, entries, &options)?);
        Ok(())
    });
    let scope = FactScope::Session(new.session);
    let done = done.and_then(|()| new.facts.iter().try_for_each(|fact| store.put_fact(scope, fact)));
    if let Err(error) = done {
        if !made.is_empty() {
            // What cannot be taken back is what a crash would have left; the error says what happened.
            let _ = store.delete_session(new.session);
        }
        return Err(error);
    }
    Ok(made)
}
