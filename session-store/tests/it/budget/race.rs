//! Threads and processes that want the last of a budget at the same time, and processes that are killed while they hold some of it.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use session_store::budget::{Budgets, Owner, Per, Wanted};
use session_store::usage::PriceTable;
use session_store::{NewSegment, OpenOptions, SessionError, create_segment, open, open_ledger};

use store_core::Lease;

use super::{Desk, cents_of, clock};
use crate::common::NOW;

const URL: &str = "SESSION_BUDGET_URL";
/// How long one waits for another to let go of a ledger in files.
const PATIENCE: Duration = Duration::from_secs(600);

/// Opens everything anew, reserves 60 cents, and says whether it got them. Lives as long as what is returned.
fn want(url: &str) -> (bool, Lease) {
    let store = open(url, &OpenOptions::at(NOW)).unwrap();
    let at = create_segment(&*store, NOW, NewSegment::default()).unwrap();
    let lease = store.watch().unwrap().lease(at.session_id, at.segment_id, "one who wants", NOW).unwrap();
    let owner = Owner::of(&*store, at.session_id, at.segment_id).unwrap();
    let ledger = open_ledger(url, &clock(), PATIENCE).unwrap();
    let prices = PriceTable::default();
    let budgets = Budgets { ledger: &*ledger, store: &*store, prices: &prices, now: NOW };
    let got = match budgets.reserve("/web/api", Wanted::Exactly(cents_of(60)), &owner) {
        Ok(_) => true,
        Err(SessionError::OverBudget(over)) => {
            assert_eq!(over.reserved, cents_of(60));
            false
        }
        Err(error) => panic!("{error}"),
    };
    ledger.shutdown().unwrap();
    drop(ledger);
    (got, lease)
}

/// A store whose ledger has a budget of a dollar, and which nobody has open.
fn prepare(scheme: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{scheme}:{}", folder.path().join("store").display());
    let mut desk = Desk::at("memory");
    desk.store = open(&url, &OpenOptions::at(NOW)).unwrap();
    desk.ledger = open_ledger(&url, &clock(), Duration::ZERO).unwrap();
    desk.set("/web", Per::Day, 100);
    desk.set("/", Per::Month, 100);
    desk.ledger.shutdown().unwrap();
    (folder, url)
}

fn schemes() -> impl Iterator<Item = &'static str> {
    let built_in = session_store::schemes();
    ["fs", "sqlite"].into_iter().filter(move |scheme| built_in.iter().any(|known| known == scheme))
}

#[test]
fn of_threads_that_want_the_last_of_a_budget_one_gets_it() {
    for scheme in schemes() {
        let (_folder, url) = prepare(scheme);
        let barrier = std::sync::Barrier::new(4);
        let got: Vec<(bool, _)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        want(&url)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(got.iter().filter(|(got, _)| *got).count(), 1, "{scheme}");
        assert_eq!(told(&url), [(0, 60, 40), (0, 60, 40)], "{scheme}: nothing of those who were refused stays");
    }
}

fn told(url: &str) -> Vec<(i64, i64, i64)> {
    let mut desk = Desk::at("memory");
    desk.store = open(url, &OpenOptions::at(NOW)).unwrap();
    desk.ledger = open_ledger(url, &clock(), PATIENCE).unwrap();
    let told = desk.told("/web");
    desk.ledger.shutdown().unwrap();
    told
}

/// In a process of its own: wants something, says whether it got it, and lives until its input ends. By itself: nothing, because there is nobody to want it for.
#[test]
fn a_process_wants_its_part() {
    if let Ok(url) = std::env::var(URL) {
        let (got, _lease) = want(&url);
        let path = std::env::var("SESSION_BUDGET_SAYS").unwrap();
        std::fs::write(format!("{path}.draft"), if got { "got" } else { "refused" }).unwrap();
        std::fs::rename(format!("{path}.draft"), path).unwrap();
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    }
}

fn spawn(url: &str, says: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "budget::race::a_process_wants_its_part", "--test-threads", "1"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).env(URL, url).env("SESSION_BUDGET_SAYS", says);
    command.spawn().unwrap()
}

#[test]
fn of_processes_that_want_the_last_of_a_budget_one_gets_it_and_its_death_frees_it() {
    for scheme in schemes() {
        let (folder, url) = prepare(scheme);
        let says: Vec<String> = (0..2).map(|n| folder.path().join(format!("said-{n}")).display().to_string()).collect();
        let mut children: Vec<Child> = says.iter().map(|says| spawn(&url, says)).collect();
        let mut got = Vec::new();
        for (says, child) in says.iter().zip(&mut children) {
            while !std::path::Path::new(says).exists() {
                assert_eq!(child.try_wait().unwrap(), None, "{scheme}: it ended before it said anything");
                std::thread::sleep(Duration::from_millis(5));
            }
            got.push(std::fs::read_to_string(says).unwrap() == "got");
        }
        assert_eq!(got.iter().filter(|got| **got).count(), 1, "{scheme}");
        assert_eq!(told(&url), [(0, 60, 40), (0, 60, 40)], "{scheme}");
        for mut child in children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        // Two who come next at the same time may both give it back.
        std::thread::scope(|scope| {
            let looks = [scope.spawn(|| told(&url)), scope.spawn(|| told(&url))];
            for look in looks {
                assert_eq!(look.join().unwrap(), [(0, 0, 100), (0, 0, 100)], "{scheme}");
            }
        });
        assert!(want(&url).0, "{scheme}");
    }
}

/// Threads of one database that reserve, settle and charge without a break: nobody ever gets what is not there, and every cent is somewhere.
#[test]
fn whoever_posts_at_once_every_cent_is_somewhere() {
    let schemes: Vec<&str> = schemes().filter(|scheme| *scheme == "sqlite").collect();
    for scheme in schemes {
        let (_folder, url) = prepare(scheme);
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let url = url.as_str();
                scope.spawn(move || {
                    let store = open(url, &OpenOptions::at(NOW)).unwrap();
                    let ledger = open_ledger(url, &clock(), PATIENCE).unwrap();
                    let at = create_segment(&*store, NOW, NewSegment::default()).unwrap();
                    let _lease = store.watch().unwrap().lease(at.session_id, at.segment_id, "w", NOW).unwrap();
                    let owner = Owner::of(&*store, at.session_id, at.segment_id).unwrap();
                    let prices = PriceTable::default();
                    let budgets = Budgets { ledger: &*ledger, store: &*store, prices: &prices, now: NOW };
                    for turn in 0..15 {
                        let shared = super::request(&format!("r:{turn}"), "/web", NOW, 1);
                        match budgets.reserve("/web", Wanted::AtMost(cents_of(40)), &owner) {
                            Ok(held) => budgets
                                .settle(&held, &[shared, super::request(&format!("r:{thread}:{turn}"), "/web", NOW, 2)])
                                .unwrap(),
                            Err(SessionError::OverBudget(_)) => {
                                budgets.charge(&[shared]).unwrap();
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
        });
        let spent = told(&url);
        assert_eq!(spent.len(), 2, "{scheme}");
        for (spent, reserved, left) in spent {
            assert_eq!((reserved, spent + left), (0, 100), "{scheme}");
            assert!(spent >= 15 && (spent - 15) % 2 == 0, "{scheme}: each shared request once, {spent}");
        }
    }
}

#[cfg(feature = "fs")]
#[test]
fn a_ledger_in_files_is_let_go_of_between_turns() {
    let (_folder, url) = prepare("fs");
    let shared = url.clone();
    let source = session_store::budget::LedgerSource::opened(move || open_ledger(&shared, &clock(), Duration::ZERO));
    for _ in 0..2 {
        let books = source.with(|ledger| Ok(ledger.list_books()?)).unwrap();
        assert_eq!(books.len(), 3);
        source.with(|_| Err::<(), _>(SessionError::NothingToSearch)).unwrap_err();
        open_ledger(&url, &clock(), Duration::ZERO).unwrap().shutdown().unwrap();
    }
    let held = open_ledger(&url, &clock(), Duration::ZERO).unwrap();
    let source = session_store::budget::LedgerSource::held(std::sync::Arc::clone(&held));
    source.with(|_| Ok(())).unwrap();
    assert_eq!(held.list_books().unwrap().len(), 3, "it stays open");
}
