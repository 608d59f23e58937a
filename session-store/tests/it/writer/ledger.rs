//! A ledger that keeps its writer waiting: what is recorded does not wait for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_store::budget::{Budget, Budgets, LedgerSource, Per, TurnBudget};
use session_store::usage::{NanoDollars, PriceTable};
use session_store::{Clock, NewSegment, SegmentState, SessionWriter, WriterOptions, create_segment, open, open_ledger};
use store_core::ledger::Ledger;
use store_core::{Backend, Durability, LlmUsage, LogEntry};

use super::gate::Gate;
use crate::common::{NOW, prompt};

/// A store and its ledger, which nobody gets before he is let; or after a minute, and then it is told.
struct Desk {
    store: Arc<Gate>,
    ledger: Arc<dyn Ledger>,
    writer: SessionWriter,
    let_one: Sender<()>,
    was_given_up: Arc<AtomicBool>,
    /// How many calls had appended when the ledger was asked for.
    calls: Arc<Mutex<Vec<usize>>>,
    _folder: tempfile::TempDir,
}

fn desk() -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("memory:{}", folder.path().display());
    let inner = open(&url, &session_store::OpenOptions::at(NOW)).unwrap();
    let ledger_clock: store_core::ledger::Clock = Arc::new(|| NOW * 1000);
    let ledger = open_ledger(&url, &ledger_clock, Duration::ZERO).unwrap();
    let prices = Arc::new(PriceTable::default());
    let limit = NanoDollars(1_000_000_000);
    let budget = Budget { project: "/web".to_owned(), per: Per::Day, zone: "UTC".to_owned(), limit };
    Budgets { ledger: &*ledger, store: &*inner, prices: &prices, now: NOW }.set(&budget).unwrap();

    let at = create_segment(&*inner, NOW, NewSegment::default()).unwrap();
    let state = SegmentState::open(&*inner, at).unwrap();
    let store = Arc::new(Gate::of(&inner));
    let (let_one, may) = mpsc::channel();
    let (may, was_given_up, calls) = (Mutex::new(may), Arc::new(AtomicBool::new(false)), Arc::default());
    let (given_up, gate) = (Arc::clone(&was_given_up), Arc::clone(&store));
    let asked: Arc<Mutex<Vec<usize>>> = Arc::clone(&calls);
    let source = LedgerSource::opened(move || {
        asked.lock().unwrap().push(gate.calls().len());
        if may.lock().unwrap().recv_timeout(Duration::from_secs(60)).is_err() {
            given_up.store(true, Ordering::SeqCst);
        }
        open_ledger(&url, &ledger_clock, Duration::ZERO)
    });
    let budget = Some(TurnBudget { ledger: source, project: "/web".to_owned(), prices });
    let durability = Some(Durability::Buffered);
    let options = WriterOptions { budget, durability, ..WriterOptions::new("the writer", Clock::new(|| NOW)) };
    let backend: Arc<dyn Backend> = Arc::clone(&store) as _;
    let writer = SessionWriter::start(backend, state, options).unwrap();
    Desk { store, ledger, writer, let_one, was_given_up, calls, _folder: folder }
}

fn used(name: &str) -> LogEntry {
    let (request_id, cost) = (Some(name.to_owned()), Some("0.25".to_owned()));
    LogEntry::LlmUsage(LlmUsage { ts: NOW, request_id, cost, output_tokens: 1, ..LlmUsage::default() })
}

fn spent(ledger: &dyn Ledger, store: &dyn Backend) -> NanoDollars {
    let prices = PriceTable::default();
    let budgets = Budgets { ledger, store, prices: &prices, now: NOW };
    budgets.look(&budgets.covering("/web").unwrap(), &[]).unwrap()[0].spent
}

#[test]
fn entries_behind_the_end_of_a_turn_do_not_wait_for_the_ledger() {
    let desk = desk();
    desk.writer.submit(used("r1")).unwrap();
    desk.writer.submit_turn_end(NOW).unwrap().wait().unwrap();
    desk.writer.submit(prompt("Go on.")).unwrap().wait().unwrap();
    desk.writer.submit_turn_end(NOW).unwrap().wait().unwrap();
    desk.writer.flush().wait().unwrap();
    assert!(!desk.was_given_up.load(Ordering::SeqCst), "nobody was given the ledger, and all of it is written");
    drop(desk.let_one);
    desk.writer.close().unwrap();
    assert_eq!(spent(&*desk.ledger, &*desk.store), NanoDollars(250_000_000));
}

#[test]
fn a_writer_that_is_closed_syncs_before_it_waits_for_the_ledger() {
    let desk = desk();
    desk.writer.submit(used("r1")).unwrap().wait().unwrap();
    desk.let_one.send(()).unwrap();
    assert_eq!(desk.store.calls().len(), 1);
    desk.writer.close().unwrap();
    assert_eq!(*desk.calls.lock().unwrap(), [2], "the sync of what was buffered came first");
    assert_eq!(spent(&*desk.ledger, &*desk.store), NanoDollars(250_000_000));
}
