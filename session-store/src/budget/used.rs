//! What a writer used of which nobody told the ledger: one that was killed left it in its log.
//!
//! A reservation says where its turn began. What requests used stands behind, in that segment or in those by which the writer went on. A log that is gone or damaged says nothing, and
//! a reservation is given back all the same: the price is that such a turn counts as nothing until the conversation can be read again.

use std::collections::HashMap;

use store_core::{Backend, LogEntry, SegmentId, Seq, StoreError};

use super::hold::Owner;
use crate::error::{Result, SessionError};
use crate::fold::usage_size;
use crate::lineage::lineage;
use crate::usage::{Use, request_name};

/// How many entries are read at once.
const READ: usize = 256;

/// Notes what a request used. The largest of its repeats counts, at the time of the first.
pub(super) fn remember(uses: &mut HashMap<String, Use>, new: Use) {
    let known = uses.entry(new.request.clone()).or_insert_with(|| new.clone());
    let first = known.usage.ts.min(new.usage.ts);
    if usage_size(&new.usage) > usage_size(&known.usage) {
        *known = new;
    }
    known.usage.ts = first;
}

/// The requests that a log has of an owner's turn, as those of a folder, by name.
pub(super) fn used_since(store: &dyn Backend, owner: &Owner, project: &str) -> Result<Vec<Use>> {
    let Owner { session, segment, after, .. } = *owner;
    let mut uses = HashMap::new();
    let mut parts = vec![(segment, after)];
    let all = unless_lost(store.list_segments(session).map_err(SessionError::from))?.unwrap_or_default();
    for other in all.into_iter().filter(|other| *other != segment) {
        let branch = unless_lost(lineage(store, session, other))?.unwrap_or_default();
        if branch.iter().any(|part| part.segment_id == segment && part.through >= after) {
            parts.push((other, Seq::START));
        }
    }
    for (segment, after) in parts {
        unless_lost(read(store, (owner, segment, after), project, &mut uses))?;
    }
    let mut uses: Vec<Use> = uses.into_values().collect();
    uses.sort_by(|a, b| a.request.cmp(&b.request));
    Ok(uses)
}

fn read(
    store: &dyn Backend,
    (owner, segment, mut after): (&Owner, SegmentId, Seq),
    project: &str,
    uses: &mut HashMap<String, Use>,
) -> Result<()> {
    loop {
        let records = store.read_range(owner.session, segment, after, READ)?;
        let Some(last) = records.last() else { return Ok(()) };
        after = last.position.seq;
        for record in records {
            let LogEntry::LlmUsage(usage) = record.entry else { continue };
            let place = (owner.session, segment, record.position.seq);
            let request = request_name(place, record.key.as_deref(), &usage);
            let project = Some(project.to_owned());
            remember(uses, Use { request, session: owner.session, agent: None, project, usage });
        }
    }
}

/// `None` where what would be read is gone or damaged.
fn unless_lost<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(SessionError::Store(StoreError::NotFound(_) | StoreError::Corrupt(_)) | SessionError::Lineage(_)) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
