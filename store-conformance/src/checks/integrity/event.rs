//! The record of what was done to a store's bytes.

use serde_json::json;
use store_core::integrity::{Event, EventKind, FindingKind, Outcome as Ended, acknowledge_holes};
use store_core::{Backend, Seq};

use super::{NOW, integrity, verify};
use crate::checks::fixture::{Works as _, create_first, same, segment};
use crate::{Failure, Harness, Outcome};

fn record(store: &dyn Backend, event: &Event) -> Outcome {
    integrity(store)?.record(event).works("recording an event")
}

fn events(store: &dyn Backend) -> Result<Vec<Event>, Failure> {
    integrity(store)?.events().works("reading the events")
}

/// An event that no version knows, which ended badly.
fn unknown(n: u64) -> Event {
    let text = json!({"ts": NOW, "event": "folded", "n": n, "outcome": "fatal_error", "error_class": "io",
        "correlation_id": "c \u{1F9F7}"});
    Event::from_text(&text.to_string()).unwrap_or(Event::done(NOW, EventKind::Other(text)))
}

fn hole(n: u64) -> Event {
    let log = format!("{}.jsonl", segment(1));
    let kept = format!("quarantine/{n}");
    Event::done(
        NOW,
        EventKind::HoleTakenOut { log, segment: Some(segment(1)), after: Seq(2), offset: n, bytes: 9, kept },
    )
}

pub(crate) fn a_new_store_has_no_events(harness: &mut dyn Harness) -> Outcome {
    same("its events", events(harness.store())?, vec![])
}

pub(crate) fn recorded_events_come_back_in_order(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let recorded: Vec<Event> = vec![unknown(1), hole(1), unknown(2)];
    recorded.iter().try_for_each(|event| record(store, event))?;
    same("the events", events(store)?, recorded)?;
    same("how the first ended", unknown(1).outcome, Ended::FatalError)
}

pub(crate) fn events_are_there_after_a_reopen(harness: &mut dyn Harness) -> Outcome {
    record(harness.store(), &unknown(1))?;
    harness.reopen();
    same("the events", events(harness.store())?, vec![unknown(1)])
}

pub(crate) fn events_of_another_handle_are_seen(harness: &mut dyn Harness) -> Outcome {
    let (store, other) = (harness.store(), harness.second_handle());
    record(store, &unknown(1))?;
    record(&*other, &unknown(2))?;
    same("the events", events(store)?, vec![unknown(1), unknown(2)])?;
    same("the events that the other handle sees", events(&*other)?, vec![unknown(1), unknown(2)])
}

pub(crate) fn a_hole_is_told_until_it_is_acknowledged(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    create_first(store, 2)?;
    [1, 2].iter().try_for_each(|n| record(store, &hole(*n)))?;
    let kinds = |report: store_core::integrity::Report| -> Vec<_> {
        report.damage.iter().map(|finding| (finding.kind, finding.segment_id, finding.offset)).collect()
    };
    let told = |n| (FindingKind::Hole, Some(segment(1)), n);
    same("what is told", kinds(verify(store)?), vec![told(1), told(2)])?;
    let first = acknowledge_holes(integrity(store)?, NOW, |hole| hole.offset == 1).works("acknowledging a hole")?;
    same("how many were acknowledged", first.len(), 1)?;
    same("what is told then", kinds(verify(store)?), vec![told(2)])?;
    acknowledge_holes(integrity(store)?, NOW, |_| true).works("acknowledging the rest")?;
    same("what is told at last", kinds(verify(store)?), vec![])
}
