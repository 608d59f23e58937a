//! Where segments come from: whether every ancestor is there, and nobody is his own.

use std::collections::{BTreeMap, BTreeSet};

use super::run::Job;
use crate::error::{Result, StoreError};
use crate::id::SegmentId;
use crate::integrity::contract::Integrity;
use crate::integrity::finding::{Finding, FindingKind};
use crate::integrity::segment::SegmentReport;
use crate::origin::{SegmentFacts, check_origin};

/// The jobs for what verified segments continue.
pub(super) fn ancestors(store: &dyn Integrity, done: &BTreeMap<SegmentId, SegmentReport>) -> Result<Vec<Job>> {
    let mut jobs = BTreeSet::new();
    let origins = done.values().filter_map(|report| report.start.as_ref()?.origin());
    for origin in origins.filter(|origin| !done.contains_key(&origin.segment_id)) {
        // One that does not exist is told when origins are checked.
        if let Some(session) = store.lookup_session_of(origin.segment_id)? {
            jobs.extend([Job::Session(session), Job::Segment(session, origin.segment_id)]);
        }
    }
    Ok(jobs.into_iter().collect())
}

/// Checks every verified segment's origin and history references against the segments that they name.
pub(super) fn check(store: &dyn Integrity, done: &BTreeMap<SegmentId, SegmentReport>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let facts_of = |id: SegmentId| {
        let Some(report) = done.get(&id) else {
            // It could not be read, which was told, or came to be since.
            let session = store.lookup_session_of(id)?;
            return Ok(session.map(|session| SegmentFacts { session, entry_count: u64::MAX, origin: None }));
        };
        Ok(Some(SegmentFacts {
            session: report.session,
            // What a hole or damage hides of the end is told there, not at everybody who continues it.
            entry_count: if report.is_whole() { report.last.0 } else { u64::MAX },
            origin: report.start.as_ref().and_then(|start| start.origin().copied()),
        }))
    };
    for report in done.values() {
        let Some(start) = &report.start else { continue };
        match check_origin(report.segment, start, facts_of) {
            Ok(()) => {}
            Err(StoreError::InvalidOrigin { detail }) => {
                // Whoever was deleted while the others were read has no ancestors to answer for.
                if store.lookup_session_of(report.segment)?.is_some() {
                    let (session, segment) = (report.session, report.segment);
                    let seq = Some(crate::Seq(1));
                    findings.push(Finding::of_segment(session, segment, seq, FindingKind::Origin, detail));
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(findings)
}
