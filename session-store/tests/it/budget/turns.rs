//! A writer whose turns are held to budgets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use session_store::budget::{LedgerSource, Per, TurnBudget, Wanted};
use session_store::usage::PriceTable;
use session_store::{
    Clock, SegmentLocation, SegmentState, SessionError, SessionWriter, WriteError, WriterOptions, append_entry,
};
use store_core::{LlmUsage, LogEntry, StoreError};

use super::{Desk, cents_of, on_every_ledger};
use crate::common::{NOW, answer, prompt};

fn used(name: &str, cents: i64) -> LogEntry {
    LogEntry::LlmUsage(LlmUsage {
        ts: NOW,
        request_id: Some(name.to_owned()),
        cost: Some(cents_of(cents).to_string()),
        output_tokens: 1,
        ..LlmUsage::default()
    })
}

fn options(ledger: LedgerSource) -> WriterOptions {
    let prices = Arc::new(PriceTable::default());
    let budget = TurnBudget { ledger, project: "/web".to_owned(), prices };
    WriterOptions { budget: Some(budget), ..WriterOptions::new("the writer", Clock::new(|| NOW)) }
}

fn writer(desk: &Desk, at: SegmentLocation) -> SessionWriter {
    let state = SegmentState::open(&*desk.store, at).unwrap();
    let source = LedgerSource::held(Arc::clone(&desk.ledger));
    SessionWriter::start(Arc::clone(&desk.store), state, options(source)).unwrap()
}

fn cents(cents: i64) -> Wanted {
    Wanted::Exactly(cents_of(cents))
}

#[test]
fn a_writer_reserves_when_a_turn_begins_and_settles_when_its_end_is_written() {
    on_every_ledger(|scheme, desk| {
        desk.set("/web", Per::Day, 100);
        let at = desk.segment();
        let writer = writer(&desk, at);
        assert_eq!(writer.begin_turn(cents(40)).wait().unwrap().location, at, "{scheme}");
        assert_eq!(desk.told("/web"), [(0, 40, 60)], "{scheme}");
        writer.submit(prompt("Go on.")).unwrap();
        writer.submit(used("r1", 15)).unwrap();
        writer.submit(answer("Done.")).unwrap();
        writer.submit_turn_end(NOW).unwrap();
        // A recording that comes behind the end, and one that repeats another, count all the same and once.
        writer.submit(used("r2", 20)).unwrap();
        writer.submit(used("r1", 15)).unwrap();
        writer.begin_turn(cents(60)).wait().unwrap();
        assert_eq!(desk.told("/web"), [(35, 60, 5)], "{scheme}");
        let standing = writer.budgets()[0].clone();
        assert_eq!((standing.spent, standing.reserved), (cents_of(35), cents_of(60)), "{scheme}");
        assert_eq!(standing.unpriced, None, "{scheme}: a writer does not look at the requests of others");
        writer.close().unwrap();
        assert_eq!(desk.told("/web"), [(35, 0, 65)], "{scheme}: a turn without an end ends with the writer");
    });
}

#[test]
fn a_spent_budget_refuses_the_turn_and_never_the_recording() {
    on_every_ledger(|scheme, desk| {
        desk.set("/", Per::Total, 50);
        let writer = writer(&desk, desk.segment());
        writer.begin_turn(cents(50)).wait().unwrap();
        writer.submit(used("r1", 80)).unwrap();
        writer.submit_turn_end(NOW).unwrap();
        let refused = writer.begin_turn(Wanted::AtMost(cents_of(10))).wait().unwrap_err();
        let WriteError::OverBudget(over) = refused else { panic!("{scheme}: {refused}") };
        assert_eq!((over.project.as_str(), over.spent), ("/", cents_of(80)), "{scheme}");
        writer.submit(prompt("All the same.")).unwrap().wait().unwrap();
        writer.submit(used("r2", 5)).unwrap();
        writer.flush().wait().unwrap();
        let head = writer.close().unwrap();
        assert_eq!(head.position.seq.0, 5, "{scheme}");
        assert_eq!(desk.told("/web"), [(85, 0, -35)], "{scheme}: and it counts");
    });
}

#[test]
fn what_a_writer_told_of_is_not_counted_again_when_the_log_is_read() {
    on_every_ledger(|scheme, desk| {
        let budget = desk.set("/web", Per::Day, 100);
        let at = desk.segment();
        let writer = writer(&desk, at);
        let mut nameless = used("", 7);
        if let LogEntry::LlmUsage(usage) = &mut nameless {
            usage.request_id = None;
        }
        writer.begin_turn(cents(10)).wait().unwrap();
        writer.submit(used("r1", 3)).unwrap();
        let landed = writer.submit(nameless).unwrap().wait().unwrap();
        writer.submit_turn_end(NOW).unwrap();
        writer.close().unwrap();
        assert_eq!(desk.told("/web"), [(10, 0, 90)], "{scheme}");
        let mut read = [super::request("r:r1", "/web", NOW, 3), super::request("", "/web", NOW, 7)];
        read[1].request = format!("e:{}:{}", landed.location.segment_id, landed.position.seq);
        desk.budgets().charge_budget(&budget, &read).unwrap();
        assert_eq!(desk.told("/web"), [(10, 0, 90)], "{scheme}");
    });
}

#[test]
fn a_writer_that_moves_on_to_another_segment_still_owns_what_it_reserved() {
    on_every_ledger(|scheme, desk| {
        desk.set("/web", Per::Day, 100);
        let at = desk.segment();
        let writer = writer(&desk, at);
        writer.begin_turn(cents(40)).wait().unwrap();
        // Somebody appends without a lease, so the writer goes on in a segment of its own.
        append_entry(&*desk.store, at, prompt("Somebody else.")).unwrap();
        let landed = writer.submit(prompt("Go on.")).unwrap().wait().unwrap();
        assert_ne!(landed.location, at, "{scheme}");
        assert_eq!(desk.told("/web"), [(0, 40, 60)], "{scheme}");
        // A turn that was not ended ends when the next begins.
        writer.begin_turn(cents(10)).wait().unwrap();
        assert_eq!(desk.told("/web"), [(0, 10, 90)], "{scheme}");
        assert_eq!(desk.store.watch().unwrap().leased(at.session_id, at.segment_id).unwrap(), None, "{scheme}");
        drop(writer);
        assert_eq!(desk.told("/web"), [(0, 0, 100)], "{scheme}");
    });
}

/// A ledger in memory that nobody can have from the moment on at which this is set.
fn source_that_fails(desk: &Desk) -> (LedgerSource, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let (url, gone) = (desk.url.clone(), Arc::clone(&fails));
    let source = LedgerSource::opened(move || {
        if gone.load(Ordering::SeqCst) {
            return Err(StoreError::Locked { path: "/store/ledger/LOCK".into() }.into());
        }
        session_store::open_ledger(&url, &super::clock(), std::time::Duration::ZERO)
    });
    (source, fails)
}

/// A writer that is killed tells nobody; neither does one that cannot have the ledger any more when it ends.
#[test]
fn what_a_writer_used_that_was_killed_is_counted_by_who_begins_next() {
    let desk = Desk::at("memory");
    desk.set("/web", Per::Day, 100);
    let at = desk.segment();
    append_entry(&*desk.store, at, used("before", 50)).unwrap();
    let (source, dies) = source_that_fails(&desk);
    let state = SegmentState::open(&*desk.store, at).unwrap();
    let killed = SessionWriter::start(Arc::clone(&desk.store), state, options(source)).unwrap();
    killed.begin_turn(cents(40)).wait().unwrap();
    dies.store(true, Ordering::SeqCst);
    killed.submit(used("r1", 15)).unwrap();
    killed.submit(used("r1", 15)).unwrap().wait().unwrap();
    append_entry(&*desk.store, at, prompt("Somebody else.")).unwrap();
    let landed = killed.submit(used("r2", 20)).unwrap().wait().unwrap();
    assert_ne!(landed.location, at, "it went on in a segment of its own");
    killed.submit_turn_end(NOW).unwrap();
    killed.close().unwrap();

    let next = writer(&desk, desk.segment());
    next.begin_turn(cents(65)).wait().unwrap();
    assert_eq!(desk.told("/web"), [(35, 65, 0)], "what it used since its turn began, in both segments, each once");
    next.close().unwrap();
    assert_eq!(desk.told("/web"), [(35, 0, 65)]);
}

#[test]
fn what_an_owner_used_that_died_is_counted_in_every_budget_that_it_reserved_in() {
    on_every_ledger(|scheme, desk| {
        desk.set("/web", Per::Day, 100);
        desk.set("/", Per::Total, 200);
        let at = desk.segment();
        let (owner, lease) = desk.writer_of(at);
        append_entry(&*desk.store, at, used("r1", 15)).unwrap();
        desk.reserve("/web/api", 40, &owner).unwrap();
        append_entry(&*desk.store, at, used("r2", 20)).unwrap();
        assert_eq!(desk.told("/web"), [(0, 40, 60), (0, 40, 160)], "{scheme}: it lives");
        drop(lease);
        let (next, _lease) = desk.writer();
        assert_eq!(desk.reserve("/web", 70, &next).unwrap_err().spent, cents_of(35), "{scheme}");
        assert_eq!(desk.told("/web"), [(35, 0, 65), (35, 0, 165)], "{scheme}");
    });
}

#[test]
fn what_an_owner_reserved_is_given_back_where_its_conversation_is_gone() {
    on_every_ledger(|scheme, desk| {
        desk.set("/web", Per::Day, 100);
        let at = desk.segment();
        let (owner, lease) = desk.writer_of(at);
        desk.reserve("/web", 40, &owner).unwrap();
        drop(lease);
        desk.store.delete_session(at.session_id).unwrap();
        let (next, _lease) = desk.writer();
        desk.reserve("/web", 100, &next).unwrap();
        assert_eq!(desk.told("/web"), [(0, 100, 0)], "{scheme}");
    });
}

#[test]
fn a_ledger_that_cannot_be_had_refuses_the_turn_and_never_the_recording() {
    let desk = Desk::at("memory");
    desk.set("/web", Per::Day, 100);
    let at = desk.segment();
    let state = SegmentState::open(&*desk.store, at).unwrap();
    let is_there = Arc::new(AtomicBool::new(false));
    let (url, there) = (desk.url.clone(), Arc::clone(&is_there));
    let source = LedgerSource::opened(move || {
        if there.load(Ordering::SeqCst) {
            return session_store::open_ledger(&url, &super::clock(), std::time::Duration::ZERO);
        }
        Err(StoreError::Locked { path: "/store/ledger/LOCK".into() }.into())
    });
    let writer = SessionWriter::start(Arc::clone(&desk.store), state, options(source)).unwrap();
    let refused = writer.begin_turn(cents(1)).wait().unwrap_err();
    assert!(matches!(&refused, WriteError::NoTurn(why) if matches!(**why, SessionError::Store(_))), "{refused}");
    writer.submit(used("r1", 30)).unwrap();
    writer.submit_turn_end(NOW).unwrap().wait().unwrap();
    assert!(writer.failure().is_none());
    is_there.store(true, Ordering::SeqCst);
    // The first who has it tells what was not told.
    writer.begin_turn(cents(70)).wait().unwrap();
    assert_eq!(writer.budgets()[0].left, cents_of(0));
    writer.close().unwrap();
    assert_eq!(desk.told("/web"), [(30, 0, 70)]);
    assert_eq!(desk.store.read_entry_count(at.session_id, at.segment_id).unwrap(), 3);
}

#[test]
fn a_writer_without_a_budget_begins_any_turn() {
    let desk = Desk::at("memory");
    let state = SegmentState::open(&*desk.store, desk.segment()).unwrap();
    let options = WriterOptions::new("the writer", Clock::new(|| NOW));
    let writer = SessionWriter::start(Arc::clone(&desk.store), state, options).unwrap();
    writer.begin_turn(cents(1_000_000)).wait().unwrap();
    assert!(writer.budgets().is_empty());
    writer.close().unwrap();
}
