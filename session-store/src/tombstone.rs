//! Tombstones: what is known of a conversation that was purged, so that importing its file does not bring it back.
//!
//! A tombstone is a fact about the store under the agent's own id of the conversation, or under its session's id if it has none. One that
//! was written anew as another session, because what it continued was purged, has a tombstone that names the new session: an importer goes on
//! there. Ids that importers derive are those of the old session, so the tombstone says what each segment is now.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store_core::{FactScope, SegmentId, Seq, SessionId, Store, TimestampMs};

use crate::error::Result;
use crate::facts::{StoreFact, put_store_fact};

/// A point of a conversation that was written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedPoint {
    /// The session.
    pub session_id: SessionId,
    /// The segment.
    pub segment_id: SegmentId,
    /// The entry.
    pub seq: Seq,
}

/// What is known of a purged conversation.
// Persisted: never rename a field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The agent that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The session that it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// When it was purged.
    #[serde(default)]
    pub purged_at: TimestampMs,
    /// The session that it is now, if it was written anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<SessionId>,
    /// What the segments are now that were its own or that it continued, by what they were when they were imported.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub segments: BTreeMap<SegmentId, SegmentId>,
    /// Those of the new segments that hold what it continued.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub copied: BTreeSet<SegmentId>,
    /// The point behind which its own entries begin now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<MovedPoint>,
}

impl Tombstone {
    /// Puts it up.
    pub(crate) fn put(&self, store: &dyn Store, now: TimestampMs, name: &str) -> Result<()> {
        let value = serde_json::to_value(self).map_err(store_core::StoreError::backend)?;
        put_store_fact(store, now, &StoreFact::Tombstone { native_id: name.to_owned(), value })
    }
}

/// The tombstones of a store, the latest of each name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tombstones(BTreeMap<String, Tombstone>);

impl Tombstones {
    /// Reads them. One that was taken back counts no more; one of an unknown shape still says that something was purged.
    pub(crate) fn read(store: &dyn Store) -> Result<Self> {
        let mut known = BTreeMap::new();
        for fact in &store.facts(FactScope::Store)? {
            match StoreFact::from_fact(fact) {
                Some(StoreFact::Tombstone { native_id, value: Value::Null }) => drop(known.remove(&native_id)),
                Some(StoreFact::Tombstone { native_id, value }) => {
                    known.insert(native_id, serde_json::from_value(value).unwrap_or_default());
                }
                _ => {}
            }
        }
        Ok(Self(known))
    }

    /// Whether a session was purged, and not written anew.
    pub(crate) fn names_purged(&self, session: SessionId) -> bool {
        self.0.values().any(|one| one.session_id == Some(session) && one.moved_to.is_none())
    }

    /// The one of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Tombstone> {
        self.0.get(name)
    }

    /// The one of an agent's conversation. Ids of different agents say nothing of each other.
    pub(crate) fn of(&self, agent: &str, native_id: &str) -> Option<&Tombstone> {
        self.get(native_id).filter(|one| one.agent.as_deref().is_none_or(|of| of == agent))
    }
}

/// Takes back what a purge of this session put up under a name; what stood there before stands again.
pub(crate) fn take_back(store: &dyn Store, now: TimestampMs, name: &str, session: SessionId) -> Result<()> {
    let mut before = Value::Null;
    for fact in &store.facts(FactScope::Store)? {
        if let Some(StoreFact::Tombstone { native_id, value }) = StoreFact::from_fact(fact)
            && native_id == name
        {
            let said = serde_json::from_value::<Tombstone>(value.clone()).unwrap_or_default();
            if said.session_id != Some(session) || said.moved_to.is_some() {
                before = value;
            }
        }
    }
    put_store_fact(store, now, &StoreFact::Tombstone { native_id: name.to_owned(), value: before })
}
