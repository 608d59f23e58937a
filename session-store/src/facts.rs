//! Facts: what people, importers and this crate say about a session or about the store, beside the logs.
//!
//! The store keeps facts as a domain and a value; here each domain has a type. Of one domain the latest counts, with two
//! exceptions that follow from what they mean: a title that a person gave outlasts any that an agent makes up later,
//! and every segment that was marked as superseded stays so.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store_core::{Fact, FactScope, SegmentId, Seq, SessionId, Store, TimestampMs};

use crate::error::Result;

/// Who gave a title.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TitleBy {
    /// A person.
    Person,
    /// The agent made it up.
    Agent,
}

/// A session's title.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Title {
    /// The title. An empty one takes back what the same giver said before.
    pub text: String,
    /// Who gave it.
    pub by: TitleBy,
}

/// The leaf that a session goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurrentLeaf {
    /// The segment.
    pub segment_id: SegmentId,
    /// Its last entry when this was said.
    pub seq: Seq,
}

/// How a session's tags change: first all go if `clear`, then those that are to go, then those that are to come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TagChange {
    /// All go.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub clear: bool,
    /// These go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// These come, behind those that stay; one that is there stays where it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<String>,
}

impl TagChange {
    /// What the tags are then.
    pub fn apply(&self, tags: &[String]) -> Vec<String> {
        let stays = |tag: &&String| !self.clear && !self.remove.contains(tag);
        let mut changed: Vec<String> = tags.iter().filter(stays).cloned().collect();
        for tag in &self.add {
            if !changed.contains(tag) {
                changed.push(tag.clone());
            }
        }
        changed
    }
}

/// A fact about a session.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionFact {
    /// Its title.
    Title(Title),
    /// All of its tags.
    Tags(Vec<String>),
    /// How its tags change, whatever they are by then: two who tag at once take nothing from each other.
    TagsChange(TagChange),
    /// Whether it is pinned.
    Pinned(bool),
    /// Whether it is archived.
    Archived(bool),
    /// Whether it is in the trash.
    Trashed(bool),
    /// The session that it went into the trash with, and comes out with; `None`: for itself.
    TrashedWith(Option<SessionId>),
    /// The leaf it goes on from.
    CurrentLeaf(CurrentLeaf),
    /// A segment that another one took the place of.
    Superseded(SegmentId),
    /// How far the file with this native id was read.
    Cursor {
        /// The agent's own id of the conversation.
        native_id: String,
        /// What the importer wants to remember.
        value: Value,
    },
}

/// A fact about the store.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreFact {
    /// A folder or file that is imported again and again.
    Source {
        /// Its path.
        path: String,
        /// What the importer wants to remember.
        value: Value,
    },
    /// A conversation that was purged and is not to be imported again.
    Tombstone {
        /// The agent's own id of the conversation.
        native_id: String,
        /// What is known of it.
        value: Value,
    },
}

#[derive(Serialize, Deserialize)]
struct TrashedWithValue {
    session_id: Option<SessionId>,
}

#[derive(Serialize, Deserialize)]
struct SupersededValue {
    segment_id: SegmentId,
}

// Persisted: never rename or reuse.
const TITLE: &str = "title";
const TAGS: &str = "tags";
const PINNED: &str = "pinned";
const ARCHIVED: &str = "archived";
const TRASHED: &str = "trashed";
const TRASHED_WITH: &str = "trashed_with";
const CURRENT_LEAF: &str = "current_leaf";
const SUPERSEDED: &str = "superseded";
const CURSOR: &str = "cursor.";
const SOURCE: &str = "source.";
const TOMBSTONE: &str = "tombstone.";

impl SessionFact {
    /// The fact as a store keeps it.
    pub fn to_fact(&self, ts: TimestampMs) -> Fact {
        let (domain, value) = match self {
            Self::Title(title) => (TITLE.to_owned(), json!(title)),
            Self::Tags(tags) => (TAGS.to_owned(), json!(tags)),
            Self::TagsChange(change) => (TAGS.to_owned(), json!(change)),
            Self::Pinned(on) => (PINNED.to_owned(), json!(on)),
            Self::Archived(on) => (ARCHIVED.to_owned(), json!(on)),
            Self::Trashed(on) => (TRASHED.to_owned(), json!(on)),
            Self::TrashedWith(with) => (TRASHED_WITH.to_owned(), json!(TrashedWithValue { session_id: *with })),
            Self::CurrentLeaf(leaf) => (CURRENT_LEAF.to_owned(), json!(leaf)),
            Self::Superseded(segment_id) => (SUPERSEDED.to_owned(), json!(SupersededValue { segment_id: *segment_id })),
            Self::Cursor { native_id, value } => (format!("{CURSOR}{native_id}"), value.clone()),
        };
        Fact { ts, domain, value }
    }

    /// What a stored fact says; `None` for a domain or a shape that this version does not know.
    pub fn from_fact(fact: &Fact) -> Option<Self> {
        fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Option<T> {
            serde_json::from_value(value.clone()).ok()
        }
        let value = &fact.value;
        match fact.domain.as_str() {
            TITLE => read(value).map(Self::Title),
            TAGS if value.is_object() => read(value).map(Self::TagsChange),
            TAGS => read(value).map(Self::Tags),
            PINNED => value.as_bool().map(Self::Pinned),
            ARCHIVED => value.as_bool().map(Self::Archived),
            TRASHED => value.as_bool().map(Self::Trashed),
            TRASHED_WITH => read::<TrashedWithValue>(value).map(|value| Self::TrashedWith(value.session_id)),
            CURRENT_LEAF => read(value).map(Self::CurrentLeaf),
            SUPERSEDED => read::<SupersededValue>(value).map(|value| Self::Superseded(value.segment_id)),
            domain => domain
                .strip_prefix(CURSOR)
                .map(|native_id| Self::Cursor { native_id: native_id.to_owned(), value: value.clone() }),
        }
    }
}

impl StoreFact {
    /// The fact as a store keeps it.
    pub fn to_fact(&self, ts: TimestampMs) -> Fact {
        let (domain, value) = match self {
            Self::Source { path, value } => (format!("{SOURCE}{path}"), value.clone()),
            Self::Tombstone { native_id, value } => (format!("{TOMBSTONE}{native_id}"), value.clone()),
        };
        Fact { ts, domain, value }
    }

    /// What a stored fact says; `None` for a domain that this version does not know.
    pub fn from_fact(fact: &Fact) -> Option<Self> {
        let value = fact.value.clone();
        if let Some(path) = fact.domain.strip_prefix(SOURCE) {
            return Some(Self::Source { path: path.to_owned(), value });
        }
        let native_id = fact.domain.strip_prefix(TOMBSTONE)?.to_owned();
        Some(Self::Tombstone { native_id, value })
    }
}

/// Says something about a session.
///
/// # Errors
/// `NotFound`; what the store fails with.
pub fn put_session_fact(store: &dyn Store, now: TimestampMs, session: SessionId, fact: &SessionFact) -> Result<()> {
    Ok(store.put_fact(FactScope::Session(session), &fact.to_fact(now))?)
}

/// Says something about the store.
///
/// # Errors
/// What the store fails with.
pub fn put_store_fact(store: &dyn Store, now: TimestampMs, fact: &StoreFact) -> Result<()> {
    Ok(store.put_fact(FactScope::Store, &fact.to_fact(now))?)
}

/// What the facts of a session amount to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SessionFacts {
    title_by_person: Option<String>,
    title_by_agent: Option<String>,
    /// The tags, in the order they were given.
    pub tags: Vec<String>,
    /// Whether it is pinned.
    pub pinned: bool,
    /// Whether it is archived.
    pub archived: bool,
    /// Whether it is in the trash.
    pub trashed: bool,
    /// The session that it went there with; what it says counts only while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trashed_with: Option<SessionId>,
    /// The leaf it goes on from, if anybody said so.
    pub current_leaf: Option<CurrentLeaf>,
    /// The segments that others took the place of.
    pub superseded: BTreeSet<SegmentId>,
    /// How far files were read, by native id.
    pub cursors: BTreeMap<String, Value>,
}

impl SessionFacts {
    /// Reads the facts of a session.
    ///
    /// # Errors
    /// `NotFound`; what the store fails with.
    pub fn read(store: &dyn Store, session: SessionId) -> Result<Self> {
        let mut facts = Self::default();
        for fact in store.facts(FactScope::Session(session))? {
            facts.apply(&fact);
        }
        Ok(facts)
    }

    /// The same for who only reads the conversation: facts that are damaged say nothing, and keep nobody from its entries. Whoever shows what came of it says so;
    /// [`Integrity::repair_beside`](store_core::Integrity::repair_beside) brings back all that can be read of them.
    ///
    /// # Errors
    /// As [`read`](Self::read), but for `Corrupt`.
    pub fn read_if_whole(store: &dyn Store, session: SessionId) -> Result<Self> {
        match Self::read(store, session) {
            Err(crate::SessionError::Store(store_core::StoreError::Corrupt(_))) => Ok(Self::default()),
            facts => facts,
        }
    }

    /// Takes the next fact.
    pub fn apply(&mut self, fact: &Fact) {
        match SessionFact::from_fact(fact) {
            Some(SessionFact::Title(title)) => {
                let text = Some(title.text).filter(|text| !text.is_empty());
                match title.by {
                    TitleBy::Person => self.title_by_person = text,
                    TitleBy::Agent => self.title_by_agent = text,
                }
            }
            Some(SessionFact::Tags(tags)) => self.tags = tags,
            Some(SessionFact::TagsChange(change)) => self.tags = change.apply(&self.tags),
            Some(SessionFact::Pinned(on)) => self.pinned = on,
            Some(SessionFact::Archived(on)) => self.archived = on,
            Some(SessionFact::Trashed(on)) => self.trashed = on,
            Some(SessionFact::TrashedWith(with)) => self.trashed_with = with,
            Some(SessionFact::CurrentLeaf(leaf)) => self.current_leaf = Some(leaf),
            Some(SessionFact::Superseded(segment)) => {
                self.superseded.insert(segment);
            }
            Some(SessionFact::Cursor { native_id, value }) => {
                self.cursors.insert(native_id, value);
            }
            None => {}
        }
    }

    /// The title that a person gave.
    pub fn title_by_person(&self) -> Option<&str> {
        self.title_by_person.as_deref()
    }

    /// The title that a person gave, else the agent's.
    pub fn title(&self) -> Option<&str> {
        self.title_by_person.as_deref().or(self.title_by_agent.as_deref())
    }
}
