//! One segment, verified in one pass over its log.

use std::ops::ControlFlow;

use super::ahead::scan_ahead;
use super::blobs::for_each_blob;
use super::checkpoint::Checkpoint;
use super::contract::Integrity;
use super::finding::{Finding, FindingKind};
use super::scan::{Scanned, ScannedEntry};
use crate::chain::{Chain, ChainHead, TextDigest};
use crate::entry::{BlobRef, HistoryItem, LogEntry, SegmentStart};
use crate::error::{Result, StoreError};
use crate::id::{SegmentId, Seq, SessionId};

/// How many findings of one segment are told; the others are counted.
const FINDINGS_MAX: usize = 1000;

/// What a segment is, as far as its own log and checkpoints tell.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentReport {
    /// The session.
    pub session: SessionId,
    /// The segment.
    pub segment: SegmentId,
    /// How many valid entries it has.
    pub entries: u64,
    /// How many bytes they take, as the backend counts them.
    pub bytes: u64,
    /// The greatest seq of them.
    pub last: Seq,
    /// The stored checksum of the last of them.
    pub last_crc32c: u32,
    /// The chain over the whole log; `None` if damage makes that unknown.
    pub head: Option<ChainHead>,
    /// The seqs after which the chain had one of the heads that were expected.
    pub expected_at: Vec<(ChainHead, Seq)>,
    /// How many checkpoints that are not void were compared with the log.
    pub checkpoints: u64,
    /// What is wrong, in the order of the log; at most 1000 findings.
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub findings_omitted: u64,
    /// The first entry, if it can be read, without the items of its history that are no references.
    pub start: Option<SegmentStart>,
}

impl SegmentReport {
    /// Whether nothing but a torn tail was found.
    pub fn is_whole(&self) -> bool {
        self.findings_omitted == 0 && !self.findings.iter().any(|finding| finding.kind.is_damage())
    }
}

/// What is looked at beside checksums, seqs and the chain, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looking<'a> {
    /// Whether every text is an entry.
    pub deep: bool,
    /// Heads that the chain may have had.
    pub expected: &'a [ChainHead],
    /// Whether a second thread may read the log while this one hashes.
    pub reads_ahead: bool,
}

/// Verifies one segment: every checksum and seq, the chain against every checkpoint and against the expected heads, the shape of the log; what
/// else `looking` says.
///
/// Streams: memory does not grow with the log, but for the heads of checkpoints and at most 1000 findings. `each_blob` is given
/// every reference to a blob and the seq of the entry that has it; `each` is called after each stretch of the log with its bytes, and may break off,
/// which answers `None`.
///
/// # Errors
/// `NotFound`; those of the medium. Damage is no error here.
pub fn verify_segment(
    store: &dyn Integrity,
    session: SessionId,
    segment: SegmentId,
    looking: Looking<'_>,
    each_blob: &mut dyn FnMut(Seq, BlobRef),
    each: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Option<SegmentReport>> {
    let mut walk = Walk::new(store, session, segment, looking)?;
    let mut stopped = false;
    let mut visit = |scanned: Scanned<'_>, digest: Option<&TextDigest>| {
        let bytes = match scanned {
            Scanned::Entry(entry) => {
                walk.entry(&entry, digest);
                for_each_blob(entry.text, &mut |reference| each_blob(entry.position.seq, reference));
                entry.bytes
            }
            Scanned::Damaged(stretch) => {
                walk.explained = true;
                walk.chain = walk.chain.filter(|_| !stretch.kind.is_damage());
                walk.found(stretch.to_finding(session, segment));
                stretch.bytes
            }
        };
        let flow = each(bytes);
        stopped = flow.is_break();
        flow
    };
    if looking.reads_ahead {
        scan_ahead(store, session, segment, &mut visit)?;
    } else {
        store.scan(session, segment, &mut |scanned| visit(scanned, None))?;
    }
    Ok((!stopped).then(|| walk.finish()))
}

struct Walk<'a> {
    report: SegmentReport,
    looking: Looking<'a>,
    /// The chain so far; `None` behind damage.
    chain: Option<Chain>,
    /// The seq that comes next.
    next: Seq,
    /// Whether a damaged stretch stands before what comes next, and explains a gap.
    explained: bool,
    /// What the checkpoints say, the last first.
    checkpoints: Vec<Checkpoint>,
}

impl<'a> Walk<'a> {
    fn new(store: &dyn Integrity, session: SessionId, segment: SegmentId, looking: Looking<'a>) -> Result<Self> {
        let mut report = SegmentReport {
            session,
            segment,
            entries: 0,
            bytes: 0,
            last: Seq::START,
            last_crc32c: 0,
            head: None,
            expected_at: Vec::new(),
            checkpoints: 0,
            findings: Vec::new(),
            findings_omitted: 0,
            start: None,
        };
        let mut checkpoints: Vec<Checkpoint> = match store.checkpoints(session, segment) {
            Ok(listed) => listed.into_iter().filter(|one| !one.void).map(|one| one.checkpoint).collect(),
            Err(StoreError::Corrupt(damage)) => {
                report.findings.push(Finding::of_damage(Some(session), FindingKind::Checksum, damage));
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        checkpoints.sort_by_key(|checkpoint| std::cmp::Reverse((checkpoint.seq, checkpoint.number)));
        report.checkpoints = checkpoints.len() as u64;
        let mut walk = Self { report, looking, chain: Some(Chain::START), next: Seq(1), explained: false, checkpoints };
        walk.compare_chain();
        Ok(walk)
    }

    fn found(&mut self, finding: Finding) {
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(finding);
        } else {
            self.report.findings_omitted += 1;
        }
    }

    fn found_at(&mut self, entry: &ScannedEntry<'_>, kind: FindingKind, detail: impl Into<String>) {
        let (part, offset, seq) = (entry.part, entry.offset, Some(entry.position.seq));
        let place = Finding::of_segment(self.report.session, self.report.segment, seq, kind, detail);
        self.found(Finding { part, offset, ..place });
    }

    fn entry(&mut self, entry: &ScannedEntry<'_>, digest: Option<&TextDigest>) {
        let seq = entry.position.seq;
        self.report.entries += 1;
        self.report.bytes += entry.bytes;
        let follows = seq == self.next;
        if !follows {
            if !self.explained || seq < self.next {
                self.found_at(entry, FindingKind::Sequence, format!("seq {} should stand here", self.next));
            }
            self.chain = None;
        }
        self.explained = false;
        if seq >= self.next {
            self.next = seq.next();
            self.report.last = seq;
            self.report.last_crc32c = entry.position.crc32c;
        }
        self.look_at_text(entry);
        if let Some(detail) = entry.out_of_step {
            self.found_at(entry, FindingKind::Projection, detail);
        }
        if let Some(chain) = &mut self.chain {
            match digest {
                Some(digest) => chain.push_digest(digest),
                None => chain.push(entry.text),
            }
            self.compare_chain();
        }
    }

    fn look_at_text(&mut self, entry: &ScannedEntry<'_>) {
        let first = entry.position.seq == Seq(1);
        if !first && !self.looking.deep {
            return;
        }
        match LogEntry::from_text(entry.text) {
            Err(error) => self.found_at(entry, FindingKind::Json, error.to_string()),
            Ok(LogEntry::SegmentStart(start)) if first => {
                if start.session_id != self.report.session {
                    let detail = format!("the segment says that it belongs to session {}", start.session_id);
                    self.found_at(entry, FindingKind::Structure, detail);
                }
                self.report.start = Some(stripped(*start));
            }
            // A start of a later version may have a shape that this one does not know.
            Ok(other) if (other.kind() == "segment_start") != first => {
                let what = if first {
                    "the first entry is no segment_start"
                } else {
                    "a segment_start stands behind the first entry"
                };
                self.found_at(entry, FindingKind::Sequence, what);
            }
            Ok(_) => {}
        }
    }

    /// Holds the chain, where it is, against whoever knows its head there.
    fn compare_chain(&mut self) {
        let Some(chain) = self.chain else { return };
        if self.looking.expected.contains(&chain.head) {
            self.report.expected_at.push((chain.head, chain.seq));
        }
        while let Some(checkpoint) = self.checkpoints.pop_if(|last| last.seq <= chain.seq) {
            if checkpoint.head != chain.head || checkpoint.seq != chain.seq {
                self.mismatch(&checkpoint, &format!("the log has {} there", chain.head));
            }
        }
    }

    fn mismatch(&mut self, checkpoint: &Checkpoint, instead: &str) {
        let Checkpoint { number, seq, head, .. } = checkpoint;
        let detail = format!("checkpoint {number} saw head {head} at seq {seq}, {instead}");
        let (session, segment) = (self.report.session, self.report.segment);
        self.found(Finding::of_segment(session, segment, Some(*seq), FindingKind::Chain, detail));
    }

    fn finish(mut self) -> SegmentReport {
        let end = Seq(self.next.0 - 1);
        while let Some(checkpoint) = self.checkpoints.pop() {
            // Up to the end of a damaged log nobody can say what the chain was; behind it entries are missing.
            if checkpoint.seq > end && (self.chain.is_some() || !self.explained) {
                self.mismatch(&checkpoint, &format!("the log ends at {end}"));
            }
        }
        if end == Seq::START && self.report.findings.is_empty() {
            let (session, segment) = (self.report.session, self.report.segment);
            self.found(Finding::of_segment(session, segment, Some(Seq(1)), FindingKind::Sequence, "the log is empty"));
        }
        self.report.head = self.chain.filter(|chain| chain.seq > Seq::START).map(|chain| chain.head);
        self.report
    }
}

/// A start without the part of its history that it holds itself.
fn stripped(start: SegmentStart) -> SegmentStart {
    let history = start.history.into_iter().filter(|item| matches!(item, HistoryItem::Reference(_))).collect();
    SegmentStart { history, system_prompt: None, ..start }
}
