//! The threads of a verification, and what each job of them does.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::{Progress, VerifyOptions};
use crate::entry::BlobRef;
use crate::error::{Result, StoreError};
use crate::id::{SegmentId, Seq, SessionId};
use crate::integrity::blobs::for_each_blob_of_fact;
use crate::integrity::contract::Integrity;
use crate::integrity::finding::{Finding, FindingKind};
use crate::integrity::segment::{Looking, SegmentReport, verify_segment};
use crate::store::FactScope;

/// How many bytes of logs a thread reads before it tells.
const BYTES_PER_CALL: u64 = 1024 * 1024;
/// More threads than this only wait for the medium.
const THREADS_MAX: usize = 32;

/// A piece of work that needs no other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Job {
    /// What belongs to the store as a whole.
    Store,
    /// What a session has beside its logs.
    Session(SessionId),
    /// One log.
    Segment(SessionId, SegmentId),
    /// One blob, and what is to be said if it is not there.
    Blob(BlobRef, Finding),
}

impl Job {
    pub(super) const fn session(&self) -> Option<SessionId> {
        match self {
            Self::Session(session) => Some(*session),
            Self::Store | Self::Segment(..) | Self::Blob(..) => None,
        }
    }
}

/// What a job answers.
pub(super) enum Found {
    Segment(Box<SegmentReport>),
    Findings(Vec<Finding>),
    /// A blob that is referred to, and where.
    Blob(BlobRef, Finding),
}

pub(super) struct Run<'a> {
    store: &'a dyn Integrity,
    options: &'a VerifyOptions,
    progress: &'a (dyn Fn(Progress) -> ControlFlow<()> + Sync),
    stopped: AtomicBool,
    segments: AtomicU64,
    segments_done: AtomicU64,
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        store: &'a dyn Integrity,
        options: &'a VerifyOptions,
        progress: &'a (dyn Fn(Progress) -> ControlFlow<()> + Sync),
    ) -> Self {
        let (stopped, zero) = (AtomicBool::new(false), || AtomicU64::new(0));
        Self {
            store,
            options,
            progress,
            stopped,
            segments: zero(),
            segments_done: zero(),
            entries: zero(),
            bytes: zero(),
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Does all jobs, in no particular order, unless somebody says stop.
    pub(super) fn work(&self, jobs: &[Job]) -> Result<Vec<Found>> {
        let segments = jobs.iter().filter(|job| matches!(job, Job::Segment(..))).count();
        self.segments.fetch_add(segments as u64, Ordering::AcqRel);
        let next = AtomicUsize::new(0);
        let answers = Mutex::new(Ok(Vec::new()));
        let take = || {
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::AcqRel)).filter(|_| !self.is_stopped()) {
                let answer = self.job(job);
                let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
                match (answer, answers.as_mut()) {
                    (Ok(answer), Ok(all)) => all.extend(answer),
                    (Err(error), Ok(_)) => {
                        *answers = Err(error);
                        next.store(jobs.len(), Ordering::Release);
                    }
                    (_, Err(_)) => {}
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..self.threads().min(jobs.len()) {
                scope.spawn(take);
            }
            take();
        });
        answers.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn threads(&self) -> usize {
        let wanted = match self.options.threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        wanted.min(THREADS_MAX)
    }

    fn job(&self, job: &Job) -> Result<Vec<Found>> {
        let (place, answer) = match job {
            Job::Store => (None, self.beside(None, FactScope::Store)),
            Job::Session(session) => (Some(*session), self.beside(Some(*session), FactScope::Session(*session))),
            Job::Segment(session, segment) => (Some(*session), self.segment(*session, *segment)),
            Job::Blob(reference, place) => (place.session_id, self.blob(reference, place)),
        };
        let unreadable = |segment, detail: String| {
            let place =
                Finding { session_id: place, segment_id: segment, ..Finding::of_store(FindingKind::Structure, detail) };
            Ok(vec![Found::Findings(vec![place])])
        };
        let segment = if let Job::Segment(_, segment) = job { Some(*segment) } else { None };
        match answer {
            // It was deleted meanwhile.
            Err(StoreError::NotFound(_)) => Ok(Vec::new()),
            Err(StoreError::Corrupt(damage)) => {
                let finding = Finding::of_damage(place, FindingKind::Checksum, damage);
                Ok(vec![Found::Findings(vec![finding])])
            }
            // What cannot be read is told, and the rest is looked at all the same.
            Err(error @ (StoreError::Io { .. } | StoreError::Unsupported { .. })) => {
                unreadable(segment, error.to_string())
            }
            answer => answer,
        }
    }

    /// What a session or the store has beside logs.
    fn beside(&self, session: Option<SessionId>, facts: FactScope) -> Result<Vec<Found>> {
        let mut found = vec![Found::Findings(self.store.examine(session)?)];
        // Facts that cannot be read were told by the examination.
        let facts = self.store.facts(facts).unwrap_or_default();
        let place = |detail| Finding { session_id: session, ..Finding::of_store(FindingKind::Blob, detail) };
        for fact in &facts {
            for_each_blob_of_fact(fact, &mut |reference| {
                let place = place(format!("the fact {:?} refers to it", fact.domain));
                found.push(Found::Blob(reference, place));
            });
        }
        Ok(found)
    }

    fn segment(&self, session: SessionId, segment: SegmentId) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        // A log only grows, unless it is rolled back just now: then it is read once more.
        for attempt in 0..2 {
            found.clear();
            let counted = self.store.read_entry_count(session, segment);
            let Some(mut report) = self.read(session, segment, &mut found)? else { return Ok(Vec::new()) };
            if let Ok(counted) = counted
                && counted > report.last.0
                && report.is_whole()
            {
                if attempt == 0 {
                    continue;
                }
                let detail = format!("the segment counts {counted} entries, its log ends at {}", report.last);
                report.findings.push(Finding::of_segment(session, segment, None, FindingKind::Projection, detail));
            }
            match self.store.lookup_session_of(segment)? {
                Some(of) if of == session => {}
                other => {
                    let detail = match other {
                        Some(of) => format!("the segment is looked up in session {of}"),
                        None => "the segment cannot be looked up".to_owned(),
                    };
                    report.findings.push(Finding::of_segment(session, segment, None, FindingKind::Projection, detail));
                }
            }
            found.push(Found::Segment(Box::new(report)));
            break;
        }
        self.segments_done.fetch_add(1, Ordering::AcqRel);
        self.tell();
        Ok(found)
    }

    fn read(&self, session: SessionId, segment: SegmentId, found: &mut Vec<Found>) -> Result<Option<SegmentReport>> {
        let (mut entries, mut bytes) = (0, 0);
        let mut seen = std::collections::HashSet::new();
        let left = self.segments.load(Ordering::Acquire).saturating_sub(self.segments_done.load(Ordering::Acquire));
        // Only where a thread would have nothing to do otherwise.
        let reads_ahead = left < self.threads() as u64;
        let looking = Looking { deep: self.options.deep, expected: &self.options.expected, reads_ahead };
        let mut each_blob = |seq: Seq, reference: BlobRef| {
            if seen.insert(reference.clone()) {
                let detail = String::new();
                let place = Finding::of_segment(session, segment, Some(seq), FindingKind::Blob, detail);
                found.push(Found::Blob(reference, place));
            }
        };
        let report = verify_segment(self.store, session, segment, looking, &mut each_blob, &mut |length| {
            entries += 1;
            bytes += length;
            if bytes < BYTES_PER_CALL {
                return ControlFlow::Continue(());
            }
            self.entries.fetch_add(std::mem::take(&mut entries), Ordering::AcqRel);
            self.bytes.fetch_add(std::mem::take(&mut bytes), Ordering::AcqRel);
            self.tell();
            if self.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        self.entries.fetch_add(entries, Ordering::AcqRel);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        Ok(report)
    }

    fn blob(&self, reference: &BlobRef, place: &Finding) -> Result<Vec<Found>> {
        let what = match self.store.check_blob(reference) {
            Ok(()) => return Ok(Vec::new()),
            Err(StoreError::NotFound(_)) => format!("blob {} is missing", reference.sha256),
            Err(StoreError::Corrupt(damage)) => damage.detail,
            Err(error) => return Err(error),
        };
        let detail = if place.detail.is_empty() { what } else { format!("{what}; {}", place.detail) };
        self.tell();
        Ok(vec![Found::Findings(vec![Finding { detail, ..place.clone() }])])
    }

    fn tell(&self) {
        let now = Progress {
            segments: self.segments.load(Ordering::Acquire),
            segments_done: self.segments_done.load(Ordering::Acquire),
            entries: self.entries.load(Ordering::Acquire),
            bytes: self.bytes.load(Ordering::Acquire),
        };
        if (self.progress)(now).is_break() {
            self.stopped.store(true, Ordering::Release);
        }
    }
}
