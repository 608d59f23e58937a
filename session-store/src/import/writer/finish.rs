//! What is said about a session when its file has been read: facts, beside the logs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use store_core::{Durability, LogEntry, SegmentId, SegmentOrigin, Seq, SessionId, Store, TimestampMs};

use super::{Tally, Writer};
use crate::error::Result;
use crate::facts::{CurrentLeaf, SessionFact, SessionFacts, Title, TitleBy, put_session_fact};
use crate::import::memory::Key;
use crate::import::record::ForkHint;
use crate::import::walk::Place;
use crate::leaf::current_leaf;

/// How far a file was read, and what its agent said then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::import) struct Cursor {
    /// The file.
    source: String,
    /// How many bytes of it were read.
    bytes: u64,
    /// Their SHA-256, in hexadecimal.
    sha256: String,
    /// The file's size then.
    size: u64,
    /// When it was changed last, in milliseconds since the epoch.
    mtime_ms: Option<u64>,
    /// When anything of it was changed last, as the system says it, which nobody can set: nanoseconds since the epoch. Not
    /// in cursors of earlier versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    ctime_ns: Option<u64>,
    /// The ordinal behind the last record's, for those who continue the conversation by reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_ordinal: Option<u64>,
    /// The point that it continues by reference, as segment and seq.
    #[serde(skip_serializing_if = "Option::is_none")]
    continues: Option<(SegmentId, u64)>,
    /// The segment of the agent's active leaf.
    #[serde(skip_serializing_if = "Option::is_none")]
    leaf: Option<SegmentId>,
    /// The title that a person gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// The title that the agent made up.
    #[serde(skip_serializing_if = "Option::is_none")]
    own_title: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    archived: bool,
}

impl Cursor {
    /// The cursor of a file of which this much was read.
    pub(in crate::import) fn new(path: &Path, bytes: u64, sha256: String, meta: &Metadata) -> Self {
        let source = path.display().to_string();
        let (mtime_ms, ctime_ns) = (mtime_ms(meta), ctime_ns(meta));
        Self { source, bytes, sha256, size: meta.len(), mtime_ms, ctime_ns, ..Self::default() }
    }

    /// The same of a compressed file: its size is that of its text, which is what was read.
    pub(in crate::import) fn of_text(self) -> Self {
        Self { size: self.bytes, ..self }
    }

    /// What the file with this native id left behind.
    pub(in crate::import) fn read(facts: &SessionFacts, native_id: &str) -> Option<Self> {
        serde_json::from_value(facts.cursors.get(native_id)?.clone()).ok()
    }

    /// The file, and the segment of the agent's active leaf; none of one that the agent has put away.
    pub(in crate::import) fn file(&self) -> (PathBuf, Option<SegmentId>) {
        (PathBuf::from(&self.source), self.leaf.filter(|_| !self.archived))
    }

    /// Whether every record before an ordinal was read.
    pub(in crate::import) fn reaches(&self, end_ordinal: u64) -> bool {
        self.end_ordinal >= Some(end_ordinal)
    }

    /// The same with the ordinal behind the last record's.
    pub(in crate::import) fn with_end_ordinal(self, end_ordinal: Option<u64>) -> Self {
        Self { end_ordinal, ..self }
    }

    /// Whether the file is larger than it was.
    pub(in crate::import) const fn is_outgrown_by(&self, stamp: &Self) -> bool {
        stamp.size > self.size
    }

    /// Whether the file lies where it lay and nobody touched it since: agents append, which changes size and time, and an edit that
    /// keeps both changes the time that nobody sets. What its head tells has to be the same too.
    pub(in crate::import) fn has_stamp(&self, stamp: &Self) -> bool {
        (&self.source, self.size, self.mtime_ms) == (&stamp.source, stamp.size, stamp.mtime_ms)
            && self.mtime_ms.is_some()
            && (self.ctime_ns.is_none() || self.ctime_ns == stamp.ctime_ns)
            && self.continues == stamp.continues
            && self.archived == stamp.archived
    }

    /// Whether the same bytes were read from wherever they were, with the same point before them.
    pub(in crate::import) fn is_of(&self, other: &Self) -> bool {
        (self.bytes, self.size, &self.sha256) == (other.bytes, other.size, &other.sha256)
            && self.continues == other.continues
            && self.archived == other.archived
    }

    /// The same with what the file's head tells: what it continues by reference, and whether the agent keeps it among its
    /// archived ones.
    pub(in crate::import) fn with_head(self, archived: bool, continues: Option<Place>) -> Self {
        Self { archived, continues: continues.map(|at| (at.segment, at.seq.0)), ..self }
    }
}

/// What came of a file.
#[derive(Debug)]
pub(in crate::import) struct Outcome {
    pub(in crate::import) session: SessionId,
    /// The session was there before.
    pub(in crate::import) existed: bool,
    /// Facts were put that say something new.
    pub(in crate::import) said: bool,
    pub(in crate::import) entries: u64,
    /// Where the file's entries stand.
    pub(in crate::import) segments: Vec<SegmentId>,
    /// The records of which entries were written; `None` if they are too many to be told.
    pub(in crate::import) records: Option<Vec<Key>>,
    /// The current leaf; `None` if the file has nothing of its own.
    pub(in crate::import) leaf: Option<SegmentId>,
    /// The cursor that stands in the store now.
    pub(in crate::import) cursor: serde_json::Value,
    pub(in crate::import) tally: Tally,
}

impl Writer<'_> {
    /// The file ends here: writes what waits, then says what is to be said.
    pub(in crate::import) fn finish(mut self, cursor: Cursor) -> Result<Outcome> {
        self.flush(Durability::Synced)?;
        let (store, session) = (self.target.store, self.session);
        let existed = self.log.existed();
        let entries = self.log.written();
        let segments = self.log.segments().collect();
        let records = self.log.take_records();
        let tally = Tally::default();
        let cursor_now = serde_json::Value::Null;
        let mut outcome = Outcome {
            session,
            existed,
            said: false,
            entries,
            segments,
            records,
            leaf: None,
            cursor: cursor_now,
            tally,
        };
        if store.exists(session)? {
            let facts = SessionFacts::read(store, session)?;
            (outcome.said, outcome.cursor) = self.say(&facts, cursor)?;
            outcome.leaf = Some(current_leaf(store, session)?);
        }
        outcome.tally = self.tally;
        Ok(outcome)
    }

    /// Puts the facts that say something new, the cursor last.
    fn say(&mut self, facts: &SessionFacts, mut cursor: Cursor) -> Result<(bool, serde_json::Value)> {
        let native_id = &self.target.head.native_id;
        let before = Cursor::read(facts, native_id);
        let old = before.clone().unwrap_or_default();
        let mut news = Vec::new();
        cursor.title = self.said.title.as_ref().map(|(_, text)| text.clone());
        cursor.own_title = self.said.own_title.as_ref().map(|(_, text)| text.clone());
        cursor.tags = self.said.tags.as_ref().map(|(_, tags)| tags.clone()).unwrap_or_default();
        for (said, before, by) in
            [(&self.said.own_title, &old.own_title, TitleBy::Agent), (&self.said.title, &old.title, TitleBy::Person)]
        {
            if let Some((ts, text)) = said.as_ref().filter(|(_, text)| before.as_ref() != Some(text)) {
                news.push((*ts, SessionFact::Title(Title { text: text.clone(), by })));
            }
        }
        if let Some((ts, tags)) = self.said.tags.as_ref().filter(|(_, tags)| old.tags != *tags) {
            news.push((*ts, SessionFact::Tags(tags.clone())));
        }
        if cursor.archived != old.archived {
            news.push((self.target.now, SessionFact::Archived(cursor.archived)));
        }
        news.extend(self.superseded(facts)?.into_iter().map(|id| (self.target.now, SessionFact::Superseded(id))));
        for (ts, fact) in &news {
            put_session_fact(self.target.store, *ts, self.session, fact)?;
        }
        let leaf = self.leaf();
        cursor.leaf = leaf.map(|leaf| leaf.segment);
        let said = self.say_leaf(leaf, &old)? || !news.is_empty();
        let is_known = before.is_some_and(|before| {
            let (mtime_ms, ctime_ns) = (cursor.mtime_ms, cursor.ctime_ns);
            Cursor { source: cursor.source.clone(), mtime_ms, ctime_ns, ..before } == cursor
        });
        if let Some(standing) = facts.cursors.get(native_id).filter(|_| is_known) {
            return Ok((said, standing.clone()));
        }
        let value = serde_json::to_value(&cursor).map_err(store_core::StoreError::backend)?;
        let fact = SessionFact::Cursor { native_id: native_id.clone(), value: value.clone() };
        put_session_fact(self.target.store, self.target.now, self.session, &fact)?;
        Ok((said, value))
    }

    /// Where the agent goes on, if that is in this session.
    fn leaf(&self) -> Option<Place> {
        let named = self.said.leaf.as_ref().and_then(|record| self.log.place_of(record)).flatten();
        // What an exported file was made of is where the conversation was, not where it goes on.
        let is_news = self.log.has_own() || self.target.exported.is_none();
        let is_own = |place: &Place| place.session == self.session && is_news;
        named.filter(is_own).or(self.at.filter(is_own))
    }

    /// Names the leaf: always where there are several segments, or one that is lost later would be missed by nobody. What a
    /// person chose since stays.
    fn say_leaf(&self, leaf: Option<Place>, old: &Cursor) -> Result<bool> {
        let Some(leaf) = leaf.filter(|leaf| self.log.written() > 0 || old.leaf != Some(leaf.segment)) else {
            return Ok(false);
        };
        let (store, session) = (self.target.store, self.session);
        let facts = SessionFacts::read(store, session)?;
        let is_named = facts.current_leaf.is_some_and(|named| named.segment_id == leaf.segment);
        if (is_named || store.list_segments(session)?.len() < 2) && current_leaf(store, session)? == leaf.segment {
            return Ok(false);
        }
        let fact = SessionFact::CurrentLeaf(CurrentLeaf { segment_id: leaf.segment, seq: leaf.seq });
        put_session_fact(store, self.target.now, session, &fact)?;
        Ok(true)
    }

    /// The segments that were written for this file when what it continues was not there, or not as far.
    fn superseded(&self, facts: &SessionFacts) -> Result<Vec<SegmentId>> {
        let is_by_reference = matches!(self.target.head.fork, ForkHint::ByReference { .. });
        if !is_by_reference || !self.log.existed() {
            return Ok(Vec::new());
        }
        let now: BTreeSet<SegmentId> = self.log.segments().collect();
        let all = read_starts(self.target.store, self.session)?;
        let mut gone: BTreeSet<SegmentId> = BTreeSet::new();
        let is_copied = |id| self.target.moved.as_ref().is_some_and(|moved| moved.is_copied(id));
        for (id, start) in all.iter().filter(|(id, _)| !is_copied(**id)) {
            // Only what an import wrote, from its root on.
            let mut at = start;
            let mut is_old = !now.contains(id) && start.keyed;
            while let Some(origin) = at.origin.filter(|origin| origin.session_id == self.session) {
                let Some(parent) = all.get(&origin.segment_id) else { break };
                is_old &= !now.contains(&origin.segment_id);
                at = parent;
            }
            if is_old && at.keyed {
                gone.insert(*id);
            }
        }
        Ok(gone.into_iter().filter(|id| !facts.superseded.contains(id)).collect())
    }
}

struct Start {
    origin: Option<SegmentOrigin>,
    /// An import wrote it.
    keyed: bool,
}

fn read_starts(store: &dyn Store, session: SessionId) -> Result<BTreeMap<SegmentId, Start>> {
    let mut starts = BTreeMap::new();
    for segment in store.list_segments(session)? {
        let first = store.read_range(session, segment, Seq::START, 1)?.into_iter().next();
        let Some(first) = first else { continue };
        let keyed = first.key.is_some();
        if let LogEntry::SegmentStart(start) = first.entry {
            starts.insert(segment, Start { origin: start.origin().copied(), keyed });
        }
    }
    Ok(starts)
}

/// The time of a file, in milliseconds since the epoch.
fn mtime_ms(meta: &Metadata) -> Option<TimestampMs> {
    let since = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// When anything of a file was changed last, as the system says it, which nobody can set: nanoseconds since the epoch.
#[cfg(unix)]
pub(in crate::import) fn ctime_ns(meta: &Metadata) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    let (seconds, rest) = (u64::try_from(meta.ctime()).ok()?, u64::try_from(meta.ctime_nsec()).ok()?);
    seconds.checked_mul(1_000_000_000)?.checked_add(rest)
}

/// Nothing that nobody can set is known here.
#[cfg(not(unix))]
pub(in crate::import) const fn ctime_ns(_: &Metadata) -> Option<u64> {
    None
}
