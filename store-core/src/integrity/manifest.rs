//! What a session is, in one document that can be kept and compared: counters, heads, and invariants that were computed for it.
//!
//! Nothing of a manifest is stored. Its hash is SHA-256 over its own JSON without the hash, keys sorted, no white space, which is what
//! `jq -cjS 'del(.manifest_hash)' | sha256sum` prints too.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use jiff::Timestamp;
use serde::Serialize;

use super::contract::Integrity;
use super::finding::FindingKind;
use super::maintain::measure;
use super::scan::Scanned;
use super::verify::{Progress, Report, Scope, VerifyOptions, verify};
use crate::chain::{ChainHead, sha256_hex};
use crate::entry::{Item, LogEntry, SegmentOrigin};
use crate::error::{Result, StoreError};
use crate::id::{SegmentId, Seq, SessionId, TimestampMs, crc_hex};

/// How a manifest is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ManifestOptions {
    /// The segment whose head is the session's, as the caller knows it. `None`: the leaf with the latest entry, of several the one with the
    /// greatest id.
    pub current: Option<SegmentId>,
    /// As [`VerifyOptions::threads`].
    pub threads: usize,
}

/// What is counted in a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// The entries of its segments.
    pub entries: u64,
    /// The inputs and message items among them. Nothing inherited, nothing hidden.
    pub messages: u64,
    /// The segments that fork another one.
    pub branches: u64,
    /// The segments that compact another one.
    pub compactions: u64,
    /// The bytes of the entries' own texts, which are the same on every backend.
    pub bytes: u64,
}

/// The head that a segment's chain has after an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ChainHeadOf {
    /// The session of the segment.
    pub session_id: SessionId,
    /// The segment.
    pub segment_id: SegmentId,
    /// The entry: the last one of the session's own segments, the one that is continued of another session's.
    pub seq: Seq,
    /// The head after it; `None` where damage makes it unknown.
    pub head: Option<ChainHead>,
}

/// What holds of a session and of every segment that one of its own continues. Each was computed from the bytes when the manifest was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Invariants {
    /// Every stored byte is what was written.
    pub checksums_valid: bool,
    /// Seqs run from 1 without gaps, from one start.
    pub sequence_contiguous: bool,
    /// Every text is an entry.
    pub entries_readable: bool,
    /// The chain has the head of every checkpoint that is not void.
    pub checkpoints_match: bool,
    /// Every segment that is continued exists, as far as it is continued, and none continues itself.
    pub origins_valid: bool,
    /// Every blob that is referred to is there and true.
    pub blobs_present: bool,
    /// Look-ups and counts say what the logs say.
    pub projections_in_step: bool,
    /// No power loss left anything that nobody has acknowledged.
    pub holes_acknowledged: bool,
    /// Nobody else may read or write the files, and each is what its name says.
    pub files_private_and_whole: bool,
}

/// What a session is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// The session.
    pub session_id: SessionId,
    /// The segment whose head is the session's.
    pub segment_id: SegmentId,
    /// Its chain's head; `None` where damage makes it unknown.
    pub head: Option<ChainHead>,
    /// What is counted.
    pub counters: Counters,
    /// The heads of every segment of the session, and of every entry of other sessions that one of them continues, directly or through
    /// others. Together they prove every branch whole.
    pub chain_heads: Vec<ChainHeadOf>,
    /// The stored checksum of the last entry of that segment. It differs between backends.
    #[serde(with = "crc_hex")]
    pub last_crc32c: u32,
    /// What holds.
    pub invariants: Invariants,
    /// The earliest time of an entry, RFC 3339 in UTC.
    pub created_at: String,
    /// The latest time of an entry, RFC 3339 in UTC.
    pub updated_at: String,
    /// SHA-256 over all of the above.
    pub manifest_hash: String,
}

impl Manifest {
    /// The hash that the manifest should have.
    ///
    /// # Errors
    /// Never in practice: everything in it has a JSON form.
    pub fn compute_hash(&self) -> Result<String> {
        let mut value = serde_json::to_value(self).map_err(StoreError::backend)?;
        if let Some(fields) = value.as_object_mut() {
            fields.remove("manifest_hash");
        }
        value.sort_all_objects();
        Ok(sha256_hex(value.to_string().as_bytes()))
    }
}

/// What one pass over a segment counts.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    entries: u64,
    messages: u64,
    bytes: u64,
    last: Seq,
    last_crc32c: u32,
    earliest: Option<TimestampMs>,
    latest: Option<TimestampMs>,
    origin: Option<(SegmentOrigin, bool)>,
}

/// Makes the manifest of a session: verifies it, its ancestors included, and counts. `None` if `progress` says stop.
///
/// # Errors
/// `NotFound` for an unknown session, or if `current` is not one of its segments; what the store fails with. Damage is an answer.
pub fn manifest(
    store: &dyn Integrity,
    session: SessionId,
    options: &ManifestOptions,
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
) -> Result<Option<Manifest>> {
    let scope = Scope::Sessions(vec![session]);
    let verified = VerifyOptions { scope, deep: true, expected: Vec::new(), threads: options.threads };
    let report = verify(store, &verified, progress)?;
    if report.stopped {
        return Ok(None);
    }
    let mut counted: BTreeMap<SegmentId, Counted> = BTreeMap::new();
    for segment in store.list_segments(session)? {
        counted.insert(segment, count(store, session, segment)?);
    }
    let current = match options.current {
        Some(current) if counted.contains_key(&current) => current,
        Some(current) => return Err(StoreError::no_segment(current)),
        None => latest_leaf(&counted).ok_or(StoreError::no_session(session))?,
    };
    let heads: BTreeMap<SegmentId, ChainHead> = report.heads.iter().map(|head| (head.segment_id, head.head)).collect();
    let own = |(segment, counted): (&SegmentId, &Counted)| ChainHeadOf {
        session_id: session,
        segment_id: *segment,
        seq: counted.last,
        head: heads.get(segment).copied(),
    };
    let mut chain_heads: Vec<ChainHeadOf> = counted.iter().map(own).collect();
    chain_heads.extend(inherited(store, &counted)?);
    chain_heads.sort_unstable();
    chain_heads.dedup();
    let times = || counted.values().flat_map(|one| one.earliest.into_iter().chain(one.latest));
    let mut manifest = Manifest {
        session_id: session,
        segment_id: current,
        head: heads.get(&current).copied(),
        counters: counters(&counted),
        chain_heads,
        last_crc32c: counted.get(&current).map_or(0, |one| one.last_crc32c),
        invariants: invariants(&report),
        created_at: rfc3339(times().min().unwrap_or(0)),
        updated_at: rfc3339(times().max().unwrap_or(0)),
        manifest_hash: String::new(),
    };
    manifest.manifest_hash = manifest.compute_hash()?;
    Ok(Some(manifest))
}

fn count(store: &dyn Integrity, session: SessionId, segment: SegmentId) -> Result<Counted> {
    let mut counted = Counted::default();
    store.scan(session, segment, &mut |scanned| {
        let Scanned::Entry(found) = scanned else { return ControlFlow::Continue(()) };
        counted.entries += 1;
        counted.bytes += found.text.len() as u64;
        if found.position.seq >= counted.last {
            (counted.last, counted.last_crc32c) = (found.position.seq, found.position.crc32c);
        }
        if let Ok(entry) = LogEntry::from_text(found.text) {
            counted.messages += u64::from(is_message(&entry));
            counted.earliest = counted.earliest.into_iter().chain([entry.ts()]).min();
            counted.latest = counted.latest.max(Some(entry.ts()));
            if let LogEntry::SegmentStart(start) = entry {
                counted.origin = start.origin().map(|origin| (*origin, start.compacted_from.is_some()));
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(counted)
}

const fn is_message(entry: &LogEntry) -> bool {
    match entry {
        LogEntry::UserInput(_) => true,
        LogEntry::AssistantItem(entry) => matches!(entry.item, Item::Message { .. }),
        LogEntry::SystemItem(entry) => matches!(entry.item, Item::Message { .. }),
        _ => false,
    }
}

fn counters(counted: &BTreeMap<SegmentId, Counted>) -> Counters {
    let mut sum = Counters::default();
    for one in counted.values() {
        sum.entries += one.entries;
        sum.messages += one.messages;
        sum.bytes += one.bytes;
        match one.origin {
            Some((_, true)) => sum.compactions += 1,
            Some((_, false)) => sum.branches += 1,
            None => {}
        }
    }
    sum
}

fn latest_leaf(counted: &BTreeMap<SegmentId, Counted>) -> Option<SegmentId> {
    let continued = |id: SegmentId, last: Seq| {
        counted.values().filter_map(|one| one.origin).any(|(origin, _)| origin.segment_id == id && origin.seq >= last)
    };
    let leaves = || counted.iter().filter(|(id, one)| !continued(**id, one.last));
    // A cycle, which is damage, leaves no leaf: then any segment will do.
    let latest = leaves().max_by_key(|(id, one)| (one.latest, **id));
    latest.or_else(|| counted.iter().max_by_key(|(id, one)| (one.latest, **id))).map(|(id, _)| *id)
}

/// The heads of what the session's segments continue in other sessions.
fn inherited(store: &dyn Integrity, counted: &BTreeMap<SegmentId, Counted>) -> Result<Vec<ChainHeadOf>> {
    let mut heads: Vec<ChainHeadOf> = Vec::new();
    let mut next: Vec<SegmentOrigin> =
        counted.values().filter_map(|one| one.origin).map(|(origin, _)| origin).collect();
    while let Some(origin) = next.pop() {
        let known = |head: &ChainHeadOf| (head.segment_id, head.seq) == (origin.segment_id, origin.seq);
        if counted.contains_key(&origin.segment_id) || heads.iter().any(known) {
            continue;
        }
        let (session_id, segment_id, seq) = (origin.session_id, origin.segment_id, origin.seq);
        let measured = measure(segment_id, Some(seq), |visit| store.scan(session_id, segment_id, visit));
        let head = match measured {
            Ok(measured) => Some(measured.chain.head),
            Err(StoreError::Corrupt(_) | StoreError::NotFound(_)) => None,
            Err(error) => return Err(error),
        };
        heads.push(ChainHeadOf { session_id, segment_id, seq, head });
        let first = match store.read_range(session_id, segment_id, Seq::START, 1) {
            Ok(first) => first.into_iter().next(),
            Err(StoreError::Corrupt(_) | StoreError::NotFound(_)) => None,
            Err(error) => return Err(error),
        };
        if let Some(LogEntry::SegmentStart(start)) = first.map(|record| record.entry) {
            next.extend(start.origin().copied());
        }
    }
    Ok(heads)
}

fn invariants(report: &Report) -> Invariants {
    let none = |kinds: &[FindingKind]| {
        report.damage_omitted == 0 && !report.damage.iter().any(|finding| kinds.contains(&finding.kind))
    };
    // Of a log that could not be read whole nobody knows what its texts say, nor what its checkpoints saw.
    let in_logs = [FindingKind::Checksum, FindingKind::Sequence, FindingKind::Structure];
    let is_read_whole = report.damage_omitted == 0
        && !report.damage.iter().any(|finding| finding.segment_id.is_some() && in_logs.contains(&finding.kind));
    Invariants {
        checksums_valid: none(&[FindingKind::Checksum]),
        sequence_contiguous: none(&[FindingKind::Sequence]),
        entries_readable: is_read_whole && none(&[FindingKind::Json]),
        checkpoints_match: is_read_whole && none(&[FindingKind::Chain]),
        origins_valid: none(&[FindingKind::Origin]),
        blobs_present: none(&[FindingKind::Blob]),
        projections_in_step: none(&[FindingKind::Projection]),
        holes_acknowledged: none(&[FindingKind::Hole]),
        files_private_and_whole: none(&[FindingKind::Permission, FindingKind::Structure]),
    }
}

fn rfc3339(ts: TimestampMs) -> String {
    let at = i64::try_from(ts).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.unwrap_or(Timestamp::MAX).to_string()
}
