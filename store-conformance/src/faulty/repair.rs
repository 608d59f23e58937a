//! Faults of repairs, and of those who read what is damaged.

use store_core::StoreError::{Busy, Corrupt, NotFound};
use store_core::chain::Chain;
use store_core::integrity::{
    Event, EventKind, LOST_DOMAIN, ListedCheckpoint, MaintenanceOptions, Repair, Verification, salvage,
};
use store_core::{Damage, Extension, Integrity as _, LogEntry, Record, SegmentId, SessionId, Store as _};

use super::FaultyStore;
use super::handle::{Handle, Rules, without_keys};
use super::integrity::rule;

/// The answer of a repair that was not done.
fn pretended() -> Repair {
    Repair {
        migration_id: None,
        kept: 0,
        lost: Vec::new(),
        quarantined: Vec::new(),
        after: Chain::START,
        verification: Verification { entry_count_match: true, hash_chain_match: true, order_consistent: true },
    }
}

/// Repairs and notes that it was done, under the segment's id.
fn noting(
    at: &Handle,
    session: SessionId,
    segment: SegmentId,
    options: &MaintenanceOptions,
) -> store_core::Result<Repair> {
    let done = at.inner.repair(session, segment, options)?;
    if done.migration_id.is_some() && !options.dry_run {
        at.shared.put(segment.to_string(), "");
    }
    Ok(done)
}

fn is_lost(record: &Record) -> bool {
    match &record.entry {
        LogEntry::Extension(entry) => entry.domain == LOST_DOMAIN,
        LogEntry::SegmentStart(start) => start.meta.other.contains_key(LOST_DOMAIN),
        _ => false,
    }
}

pub(super) const STORES: &[FaultyStore] = &[
    rule!("damaged_entries_are_left_out", all: |at, session, segment| match at.inner.read_all(session, segment) {
        Err(Corrupt(_)) => {
            let left = salvage(&at.inner, session, segment)?.records;
            Ok(left.into_iter().map(|record| record.entry).collect())
        }
        answer => answer,
    }),
    rule!("a_damaged_end_is_written_over", append: |at, session, segment, entries, options| {
        match at.inner.append_with(session, segment, entries, options) {
            Err(Corrupt(_)) => at.pretend(session, segment, entries),
            answer => answer,
        }
    }),
    rule!("a_repair_of_a_whole_segment_is_recorded", repair: |at, session, segment, options| {
        let done = at.inner.repair(session, segment, options)?;
        if done.migration_id.is_none() && !options.dry_run {
            let what = serde_json::json!({"event": "nothing repaired"});
            at.inner.record(&Event::done(options.now, EventKind::Other(what)))?;
        }
        Ok(done)
    }),
    rule!("a_repaired_segment_has_changed_and_no_more", changes: |at, cursor| {
        let mut all = at.inner.changes(cursor)?;
        all.rewritten.clear();
        Ok(all)
    }),
    rule!("an_unknown_segment_needs_no_repair", repair: |at, session, segment, options| {
        match at.inner.repair(session, segment, options) {
            Err(NotFound(_)) => Ok(pretended()),
            answer => answer,
        }
    }),
    FaultyStore::new(
        "a_repaired_segment_shows_no_keys",
        Rules {
            repair: Some(noting),
            range: Some(|at, session, segment, after, limit| {
                let mut records = at.inner.read_range(session, segment, after, limit)?;
                for record in records.iter_mut().filter(|_| at.shared.has(&segment.to_string())) {
                    record.key = None;
                }
                Ok(records)
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_repair_forgets_every_key",
        Rules {
            repair: Some(noting),
            append: Some(|at, session, segment, entries, options| match at.shared.has(&segment.to_string()) {
                true => at.inner.append_with(session, segment, &without_keys(entries), options),
                false => at.inner.append_with(session, segment, entries, options),
            }),
            ..Rules::KEPT
        },
    ),
    rule!("a_lost_entry_is_an_extension_like_any_other", range: |at, session, segment, after, limit| {
        let mut records = at.inner.read_range(session, segment, after, limit)?;
        for record in records.iter_mut().filter(|record| is_lost(record)) {
            if let LogEntry::Extension(Extension { domain, .. }) = &mut record.entry {
                "store".clone_into(domain);
            }
        }
        Ok(records)
    }),
    rule!("a_lost_start_is_an_extension", range: |at, session, segment, after, limit| {
        let mut records = at.inner.read_range(session, segment, after, limit)?;
        for record in records.iter_mut().filter(|record| is_lost(record)) {
            let (ts, domain) = (record.entry.ts(), LOST_DOMAIN.to_owned());
            record.entry = LogEntry::Extension(Extension { ts, domain, payload: serde_json::json!({}) });
        }
        Ok(records)
    }),
    rule!("a_repair_does_not_say_where_it_ends", repair: |at, session, segment, options| {
        Ok(Repair { after: Chain::START, ..at.inner.repair(session, segment, options)? })
    }),
    rule!("a_lost_end_is_not_told", repair: |at, session, segment, options| {
        let mut done = at.inner.repair(session, segment, options)?;
        done.lost.retain(|lost| lost.through < done.after.seq);
        Ok(done)
    }),
    FaultyStore::new(
        "a_lost_end_is_not_counted",
        Rules {
            repair: Some(noting),
            count: Some(|at, session, segment| {
                let count = at.inner.read_entry_count(session, segment)?;
                let last = at.records(session, segment).pop();
                Ok(count - u64::from(at.shared.has(&segment.to_string()) && last.as_ref().is_some_and(is_lost)))
            }),
            ..Rules::KEPT
        },
    ),
    FaultyStore::new(
        "a_repair_makes_every_checkpoint_void",
        Rules {
            repair: Some(noting),
            checkpoints: Some(|at, session, segment| {
                let listed = at.inner.checkpoints(session, segment)?;
                let repaired = at.shared.has(&segment.to_string());
                Ok(listed.into_iter().map(|one| ListedCheckpoint { void: one.void || repaired, ..one }).collect())
            }),
            ..Rules::KEPT
        },
    ),
    rule!("a_handle_remembers_damage", range: |at, session, segment, after, limit| {
        if at.own.has(&segment.to_string()) {
            let detail = "it was damaged".to_owned();
            return Err(Corrupt(Damage { segment: Some(segment), part: 1, offset: 0, seq: None, detail }));
        }
        let answer = at.inner.read_range(session, segment, after, limit);
        if matches!(answer, Err(Corrupt(_))) {
            at.own.put(segment.to_string(), "");
        }
        answer
    }),
    rule!("a_dry_repair_is_a_repair", repair: |at, session, segment, options| {
        at.inner.repair(session, segment, &MaintenanceOptions { dry_run: false, ..options.clone() })
    }),
    rule!("a_repair_is_not_recorded", events: |at| {
        let mut events = at.inner.events()?;
        events.retain(|event| !matches!(event.what, EventKind::Repaired { .. }));
        Ok(events)
    }),
    rule!("a_repair_ignores_leases", repair: |at, session, segment, options| {
        match at.inner.repair(session, segment, options) {
            Err(Busy { .. }) => Ok(pretended()),
            answer => answer,
        }
    }),
];
