//! Faults of verifying, checkpoints and events.

use std::ops::ControlFlow;

use store_core::StoreError::{Busy, Corrupt, InvalidEntry, NotFound, TooLarge};
use store_core::chain::ChainHead;
use store_core::integrity::{
    Checkpoint, Event, EventKind, Finding, FindingKind, ListedCheckpoint, NewCheckpoint, Scanned, ScannedEntry,
};
use store_core::{AppendOptions, Integrity as _, NewEntry, Seq, Store as _};

use super::FaultyStore;
use super::handle::Rules;

macro_rules! rule {
    ($name:literal, $rule:ident: $replacement:expr) => {
        FaultyStore::new($name, Rules { $rule: Some($replacement), ..Rules::KEPT })
    };
}
pub(super) use rule;

/// A checkpoint that nobody made.
pub(super) fn paper(number: u64) -> Checkpoint {
    let (head, reason) = (ChainHead::ROOT, String::new());
    Checkpoint { number, seq: Seq::START, head, last_crc32c: 0, bytes: 0, name: None, reason, created_at: 0 }
}

pub(super) const STORES: &[FaultyStore] = &[
    rule!("an_empty_store_is_examined_as_a_broken_one", examine: |at, session| {
        let mut found = at.inner.examine(session)?;
        if at.inner.list_sessions()?.is_empty() {
            found.push(Finding::of_store(FindingKind::Structure, "there is nothing"));
        }
        Ok(found)
    }),
    rule!("facts_are_examined_as_damage", examine: |at, session| {
        let mut found = at.inner.examine(session)?;
        if let Some(session) = session
            && !at.inner.facts(store_core::FactScope::Session(session))?.is_empty()
        {
            found.push(Finding::of_session(session, FindingKind::Checksum, "facts"));
        }
        Ok(found)
    }),
    rule!("an_unknown_session_has_no_findings", examine: |at, session| match at.inner.examine(session) {
        Err(NotFound(_)) => Ok(Vec::new()),
        answer => answer,
    }),
    rule!("a_scan_hands_over_no_keys", scan: |at, session, segment, visit| {
        at.inner.scan(session, segment, &mut |scanned| match scanned {
            Scanned::Entry(entry) => visit(Scanned::Entry(ScannedEntry { key: None, ..entry })),
            damaged @ Scanned::Damaged(_) => visit(damaged),
        })
    }),
    rule!("a_scan_hands_over_lines", scan: |at, session, segment, visit| {
        at.inner.scan(session, segment, &mut |scanned| match scanned {
            Scanned::Entry(entry) => {
                let line = entry.text.replacen('{', &format!("{{\"seq\":{},", entry.position.seq), 1);
                visit(Scanned::Entry(ScannedEntry { text: &line, ..entry }))
            }
            damaged @ Scanned::Damaged(_) => visit(damaged),
        })
    }),
    rule!("a_scan_cannot_be_broken_off", scan: |at, session, segment, visit| {
        at.inner.scan(session, segment, &mut |scanned| {
            let _ = visit(scanned);
            ControlFlow::Continue(())
        })
    }),
    rule!("an_unknown_segment_is_scanned_as_an_empty_one", scan: |at, session, segment, visit| {
        match at.inner.scan(session, segment, visit) {
            Err(NotFound(_)) if at.inner.lookup_session_of(segment)?.is_none() => Ok(()),
            answer => answer,
        }
    }),
    rule!("a_scan_does_not_look_at_the_session", scan: |at, session, segment, visit| {
        at.inner.scan(at.inner.lookup_session_of(segment)?.unwrap_or(session), segment, visit)
    }),
    rule!("a_blob_that_is_missing_is_checked_as_if_it_were_there", check_blob: |at, reference| {
        match at.inner.check_blob(reference) {
            Err(NotFound(_)) => Ok(()),
            answer => answer,
        }
    }),
    rule!("a_checkpoint_remembers_no_checksum", checkpoint: |at, session, segment, new| {
        Ok(Checkpoint { last_crc32c: 0, ..at.inner.checkpoint(session, segment, new)? })
    }),
    rule!("every_checkpoint_is_the_first", checkpoint: |at, session, segment, new| {
        Ok(Checkpoint { number: 1, ..at.inner.checkpoint(session, segment, new)? })
    }),
    rule!("checkpoints_lose_their_names", checkpoint: |at, session, segment, new| {
        new.check()?;
        at.inner.checkpoint(session, segment, &NewCheckpoint { name: None, ..new.clone() })
    }),
    rule!("a_segment_begins_with_a_checkpoint_of_nothing", checkpoints: |at, session, segment| {
        let mut listed = at.inner.checkpoints(session, segment)?;
        if listed.is_empty() {
            listed.push(ListedCheckpoint { checkpoint: paper(0), void: true });
        }
        Ok(listed)
    }),
    rule!("a_checkpoint_is_noted_in_the_log", checkpoint: |at, session, segment, new| {
        let made = at.inner.checkpoint(session, segment, new)?;
        let note = NewEntry::text(r#"{"kind":"checkpoint","ts":1}"#);
        at.inner.append_with(session, segment, &[note], &AppendOptions::default())?;
        Ok(made)
    }),
    rule!("checkpoints_are_forgotten_by_a_reopen", checkpoints: |at, session, segment| {
        let listed = at.inner.checkpoints(session, segment)?;
        Ok(if at.reopened { Vec::new() } else { listed })
    }),
    rule!("a_second_handle_sees_no_checkpoints", checkpoints: |at, session, segment| {
        let listed = at.inner.checkpoints(session, segment)?;
        Ok(if at.second { Vec::new() } else { listed })
    }),
    rule!("checkpoints_belong_to_the_session", checkpoints: |at, session, segment| {
        at.inner.checkpoints(session, segment)?;
        let segments = at.inner.list_segments(session)?;
        let all: store_core::Result<Vec<_>> = segments.into_iter().map(|of| at.inner.checkpoints(session, of)).collect();
        Ok(all?.into_iter().flatten().collect())
    }),
    FaultyStore::new(
        "checkpoints_outlive_their_session",
        Rules {
            checkpoint: Some(|at, session, segment, new| {
                at.shared.put(segment.to_string(), "");
                at.inner.checkpoint(session, segment, new)
            }),
            checkpoints: Some(|at, session, segment| {
                let mut listed = at.inner.checkpoints(session, segment)?;
                if listed.is_empty() && at.shared.has(&segment.to_string()) {
                    listed.push(ListedCheckpoint { checkpoint: paper(1), void: true });
                }
                Ok(listed)
            }),
            ..Rules::KEPT
        },
    ),
    rule!("an_unknown_segment_is_checkpointed", checkpoint: |at, session, segment, new| {
        match at.inner.checkpoint(session, segment, new) {
            Err(NotFound(_)) => Ok(paper(1)),
            answer => answer,
        }
    }),
    rule!("an_unknown_segment_has_no_checkpoints", checkpoints: |at, session, segment| {
        match at.inner.checkpoints(session, segment) {
            Err(NotFound(_)) => Ok(Vec::new()),
            answer => answer,
        }
    }),
    rule!("a_checkpoint_may_be_called_anything", checkpoint: |at, session, segment, new| {
        match at.inner.checkpoint(session, segment, new) {
            Err(InvalidEntry { .. }) => {
                at.inner.checkpoint(session, segment, &NewCheckpoint { name: None, ..new.clone() })
            }
            answer => answer,
        }
    }),
    rule!("a_checkpoints_name_may_have_64_bytes", checkpoint: |at, session, segment, new| match &new.name {
        Some(name) if name.len() > 64 => Err(TooLarge { bytes: name.len() as u64, bytes_max: 64 }),
        _ => at.inner.checkpoint(session, segment, new),
    }),
    rule!("a_leased_segment_gets_no_checkpoint", checkpoint: |at, session, segment, new| {
        match at.inner.leased(session, segment)? {
            Some(holder) => Err(holder.into_busy()),
            None => at.inner.checkpoint(session, segment, new),
        }
    }),
    rule!("a_damaged_segment_gets_a_checkpoint", checkpoint: |at, session, segment, new| {
        match at.inner.checkpoint(session, segment, new) {
            Err(Corrupt(_)) => Ok(paper(1)),
            answer => answer,
        }
    }),
    rule!("a_store_records_that_it_is_there", events: |at| {
        let mut events = at.inner.events()?;
        events.insert(0, Event::done(0, EventKind::Other(serde_json::json!({"event": "made"}))));
        Ok(events)
    }),
    rule!("events_come_newest_first", events: |at| {
        let mut events = at.inner.events()?;
        events.reverse();
        Ok(events)
    }),
    rule!("events_are_forgotten_by_a_reopen", events: |at| {
        Ok(if at.reopened { Vec::new() } else { at.inner.events()? })
    }),
    rule!("a_second_handle_sees_no_events", events: |at| {
        Ok(if at.second { Vec::new() } else { at.inner.events()? })
    }),
    rule!("an_acknowledgement_is_not_kept", record: |at, event| match event.what {
        EventKind::HoleAcknowledged { .. } => Ok(()),
        _ => at.inner.record(event),
    }),
    rule!("a_scan_ends_at_damage", scan: |at, session, segment, visit| {
        at.inner.scan(session, segment, &mut |scanned| {
            let is_damage = matches!(scanned, Scanned::Damaged(_));
            let flow = visit(scanned);
            if is_damage { ControlFlow::Break(()) } else { flow }
        })
    }),
    rule!("nobody_knows_where_damage_is", scan: |at, session, segment, visit| {
        at.inner.scan(session, segment, &mut |scanned| {
            visit(match scanned {
                Scanned::Damaged(stretch) => Scanned::Damaged(store_core::integrity::Stretch { seq: None, ..stretch }),
                entry @ Scanned::Entry(_) => entry,
            })
        })
    }),
    rule!("a_segment_under_lease_cannot_be_scanned", scan: |at, session, segment, visit| {
        match at.inner.leased(session, segment) {
            Ok(Some(_)) => Err(Busy { holder: String::new(), host: None, since: None }),
            _ => at.inner.scan(session, segment, visit),
        }
    }),
];
