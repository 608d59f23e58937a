//! Verifying many segments at once, on any backend: one report, the same however many threads made it.
//!
//! Segments are independent, so threads take them one after another from a list. What needs more than one of them, origins and blobs,
//! is looked at when all of them are known.

mod origins;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use serde::Serialize;

use self::run::{Found, Job, Run};
use super::contract::Integrity;
use super::finding::{Finding, FindingKind};
use super::segment::SegmentReport;
use crate::chain::ChainHead;
use crate::entry::BlobRef;
use crate::error::Result;
use crate::id::{SegmentId, Seq, SessionId};

/// What is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Everything, and what belongs to the store as a whole.
    #[default]
    Store,
    /// These sessions, and every segment that one of theirs continues, in whichever session.
    Sessions(Vec<SessionId>),
    /// These segments, and every segment that they continue.
    Segments(Vec<(SessionId, SegmentId)>),
}

/// How a store is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyOptions {
    /// What is verified.
    pub scope: Scope,
    /// Parse every text, too.
    pub deep: bool,
    /// Heads that were seen earlier: each has to be the head of a segment in scope, or one that it had.
    pub expected: Vec<ChainHead>,
    /// How many threads; 0: as many as the machine runs at once.
    pub threads: usize,
}

/// How far a verification is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many segments are to be verified, as far as that is known.
    pub segments: u64,
    /// How many of them are done.
    pub segments_done: u64,
    /// How many entries were read.
    pub entries: u64,
    /// How many bytes of logs were read.
    pub bytes: u64,
}

/// The head of a segment's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Head {
    /// The segment.
    pub segment_id: SegmentId,
    /// The last entry that the head holds.
    pub seq: Seq,
    /// The head.
    pub head: ChainHead,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether all of the scope was looked at and nothing but torn tails was found.
    pub ok: bool,
    /// How many sessions were looked at, those of ancestors included.
    pub sessions: u64,
    /// How many segments were looked at, ancestors included.
    pub segments: u64,
    /// How many valid entries they have.
    pub entries: u64,
    /// How many bytes these take, as the backend counts them.
    pub bytes: u64,
    /// What is wrong, by session, segment and place.
    pub damage: Vec<Finding>,
    /// How many more findings there are in segments that have more than 1000.
    pub damage_omitted: u64,
    /// The head of every segment that is whole, by session and segment.
    pub heads: Vec<Head>,
    /// Where the expected heads stand: a segment whose head it is, or was after that seq.
    pub expected: Vec<Head>,
    /// Somebody said stop: the report tells what had been found by then.
    pub stopped: bool,
}

/// Verifies a store, or a part of it.
///
/// Each segment is held against its own checksums, seqs, checkpoints and the expected heads; its origin and history have to lie in
/// segments that exist, without a cycle; look-ups and counts have to be in step; every blob that is referred to has to be there and
/// true; holes are told until somebody acknowledges them; with [`Scope::Store`], and for each session, what the backend keeps beside the logs is
/// [examined](Integrity::examine). A head proves one segment: that a branch is as it was, its ancestors' heads prove, which the report has too.
///
/// Streams; memory grows with the number of segments, of blobs and of findings, not with logs. `progress` is called by all threads, about
/// once a megabyte, and may say stop. Appends go on meanwhile.
///
/// # Errors
/// `NotFound` for a session or segment that the scope names and the store does not have; what the store fails with as a whole. Damage is an answer.
pub fn verify(
    store: &dyn Integrity,
    options: &VerifyOptions,
    progress: &(dyn Fn(Progress) -> ControlFlow<()> + Sync),
) -> Result<Report> {
    let run = Run::new(store, options, progress);
    let mut sessions: BTreeSet<SessionId> = BTreeSet::new();
    let mut done: BTreeMap<SegmentId, SegmentReport> = BTreeMap::new();
    let mut blobs: BTreeMap<BlobRef, Finding> = BTreeMap::new();
    let mut findings = Vec::new();
    let mut jobs = first_jobs(store, &options.scope)?;
    let mut known: BTreeSet<Job> = BTreeSet::new();
    // Ancestors become known when their children's first entries are read, so a lineage takes a round for each of its segments.
    while !jobs.is_empty() {
        sessions.extend(jobs.iter().filter_map(Job::session));
        for found in run.work(&jobs)? {
            match found {
                Found::Segment(report) => {
                    done.insert(report.segment, *report);
                }
                Found::Findings(found) => findings.extend(found),
                Found::Blob(reference, place) => {
                    let known = blobs.entry(reference).or_insert_with(|| place.clone());
                    *known = place.min(known.clone());
                }
            }
        }
        known.extend(jobs);
        jobs = origins::ancestors(store, &done)?;
        jobs.retain(|job| !known.contains(job));
    }
    if !run.is_stopped() {
        findings.extend(origins::check(store, &done)?);
    }
    let blobs = blobs.into_iter().map(|(reference, place)| Job::Blob(reference, place));
    for found in run.work(&blobs.collect::<Vec<_>>())? {
        if let Found::Findings(found) = found {
            findings.extend(found);
        }
    }
    findings.extend(holes(store, &options.scope, &done)?);
    Ok(report(options, sessions.len() as u64, done, findings, run.is_stopped()))
}

fn first_jobs(store: &dyn Integrity, scope: &Scope) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    let add_session = |session, jobs: &mut Vec<Job>| -> Result<bool> {
        let segments = store.list_segments(session)?;
        // One that is there without any segment has lost them.
        let exists = !segments.is_empty() || store.exists(session)?;
        if exists {
            jobs.push(Job::Session(session));
            jobs.extend(segments.into_iter().map(|segment| Job::Segment(session, segment)));
        }
        Ok(exists)
    };
    match scope {
        Scope::Store => {
            jobs.push(Job::Store);
            for session in store.list_sessions()? {
                add_session(session, &mut jobs)?;
            }
        }
        Scope::Sessions(sessions) => {
            for session in sessions {
                if !add_session(*session, &mut jobs)? {
                    return Err(crate::StoreError::no_session(*session));
                }
            }
        }
        Scope::Segments(segments) => {
            for (session, segment) in segments {
                // What leads to it may be what is wrong.
                if store.lookup_session_of(*segment)? != Some(*session)
                    && !store.list_segments(*session)?.contains(segment)
                {
                    return Err(crate::StoreError::no_segment(*segment));
                }
                jobs.push(Job::Session(*session));
                jobs.push(Job::Segment(*session, *segment));
            }
        }
    }
    jobs.sort_unstable();
    jobs.dedup();
    Ok(jobs)
}

fn holes(store: &dyn Integrity, scope: &Scope, done: &BTreeMap<SegmentId, SegmentReport>) -> Result<Vec<Finding>> {
    let holes = match super::holes::unacknowledged_holes(store) {
        Ok(holes) => holes,
        Err(crate::StoreError::Corrupt(damage)) => {
            return Ok(vec![Finding::of_damage(None, FindingKind::Checksum, damage)]);
        }
        Err(error) => return Err(error),
    };
    let concerns = |segment: Option<SegmentId>| match segment {
        Some(segment) => done.contains_key(&segment),
        None => *scope == Scope::Store,
    };
    let holes = holes.iter().filter(|hole| concerns(hole.segment.map(|(_, segment)| segment)));
    Ok(holes.map(super::holes::UnacknowledgedHole::to_finding).collect())
}

fn report(
    options: &VerifyOptions,
    sessions: u64,
    done: BTreeMap<SegmentId, SegmentReport>,
    mut damage: Vec<Finding>,
    stopped: bool,
) -> Report {
    let mut report = Report { sessions, segments: done.len() as u64, stopped, ..Report::default() };
    let mut done: Vec<SegmentReport> = done.into_values().collect();
    done.sort_unstable_by_key(|segment| (segment.session, segment.segment));
    for segment in done {
        report.entries += segment.entries;
        report.bytes += segment.bytes;
        report.damage_omitted += segment.findings_omitted;
        let segment_id = segment.segment;
        report.heads.extend(segment.head.map(|head| Head { segment_id, seq: segment.last, head }));
        report.expected.extend(segment.expected_at.into_iter().map(|(head, seq)| Head { segment_id, seq, head }));
        damage.extend(segment.findings);
    }
    let missing = |head: &&ChainHead| !report.expected.iter().any(|found| found.head == **head);
    damage.extend(options.expected.iter().filter(missing).filter(|_| !stopped).map(|head| {
        let whose = match options.scope {
            Scope::Store => "no segment",
            _ => "no segment that was looked at (the store may have others)",
        };
        Finding::of_store(FindingKind::Chain, format!("{whose} has, or ever had, the head {head}"))
    }));
    damage.sort_unstable();
    damage.dedup();
    report.ok = !stopped && report.damage_omitted == 0 && !damage.iter().any(|finding| finding.kind.is_damage());
    report.damage = damage;
    report
}
