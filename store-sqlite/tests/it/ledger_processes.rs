//! Real processes on one ledger in a database: several that commit at once, and such that are killed while they do.
//!
//! A process is this test binary, started again for one of its tests with its task in the environment. What it was told it tells its parent.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use store_core::ledger::{
    Account, AccountId, AccountKind, Clock, Draft, EventBody, Ledger, LedgerError, Posting, Receipt, verify_ledger,
};
use store_core::{Seq, TransactionId};
use store_sqlite::SqliteLedger;

use crate::ledger::{book, prepare, transfer};
use crate::support::Folder;

const DATABASE: &str = "STORE_SQLITE_LEDGER_TASK_DATABASE";
const ROUND: &str = "STORE_SQLITE_LEDGER_TASK_ROUND";
/// The numbers of a round begin at its own times this.
const SHARE: u64 = 100_000;
const THREADS: u64 = 3;

fn clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::try_from(since.as_micros()).unwrap()
    })
}

fn spawn(test: &str, folder: &Folder, round: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("ledger_processes::{test}"), "--nocapture", "--test-threads=1"])
        .env(DATABASE, folder.database())
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What this process was started to do.
fn task() -> Option<(PathBuf, u64)> {
    let database = PathBuf::from(std::env::var_os(DATABASE)?);
    Some((database, std::env::var(ROUND).unwrap().parse().unwrap()))
}

#[expect(clippy::print_stdout, reason = "a process tells its parent on its standard output")]
fn tell(what: &str) {
    println!("told: {what}");
}

/// Numbers that look like chance and are the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Commits one by one, in batches, and what earlier rounds committed, in three threads, until it is killed. By itself: for a while.
#[test]
fn a_process_commits_until_it_is_killed() {
    let own = Folder::new();
    let calls = if task().is_some() { SHARE / THREADS / 8 } else { 20 };
    let (database, round) = task().unwrap_or_else(|| (own.database(), 1));
    let ledger = SqliteLedger::open(&database, clock()).unwrap();
    prepare(&ledger);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let ledger = &ledger;
            scope.spawn(move || {
                let mut chance = Chance(round * THREADS + thread);
                let mut next = round * SHARE + thread * (SHARE / THREADS);
                for _ in 0..calls {
                    let count = if chance.below(3) == 0 { 2 + chance.below(5) } else { 1 };
                    let mut numbers: Vec<u64> = (next..next + count).collect();
                    next += count;
                    if chance.below(4) == 0 {
                        // A key that was told long ago, by this thread or its like in another round.
                        numbers.push((1 + chance.below(round)) * SHARE + thread * (SHARE / THREADS));
                    }
                    let drafts: Vec<Draft> = numbers.iter().map(|n| transfer(*n)).collect();
                    let receipts = ledger.commit_batch(&book(), &drafts).unwrap();
                    for (n, receipt) in numbers.iter().zip(receipts) {
                        let receipt = receipt.unwrap();
                        tell(&format!("{n} {} {}", receipt.seq, receipt.at));
                    }
                }
            });
        }
    });
    assert!(verify_ledger(&ledger).unwrap().ok);
}

/// Reads what a process tells until it has told `lines`, kills it, and reads the rest.
fn kill_after(child: &mut Child, lines: u64) -> Vec<String> {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (mut text, mut told) = (String::new(), 0);
    while told < lines {
        let line = text.len();
        assert!(output.read_line(&mut text).unwrap() > 0, "a process ended before it was killed: {text}");
        told += u64::from(text[line..].contains("told: "));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    output.read_to_string(&mut text).unwrap();
    // A line that was cut off by the death was not told.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().filter_map(|line| line.split_once("told: ").map(|(_, what)| what.to_owned())).collect()
}

/// The transactions of the book by their keys, each of which stands there once.
fn standing(ledger: &dyn Ledger) -> BTreeMap<String, Receipt> {
    let mut stands = BTreeMap::new();
    for (seq, event) in (1..).zip(ledger.read_events(&book(), Seq(1), usize::MAX).unwrap()) {
        assert_eq!(event.seq, Seq(seq));
        if let EventBody::Transaction(draft) = event.body {
            let receipt = Receipt { id: draft.id, seq: event.seq, at: event.at };
            assert_eq!(stands.insert(draft.key.clone(), receipt), None, "{} stands there twice", draft.key);
        }
    }
    stands
}

#[test]
fn killed_processes_leave_every_acknowledged_transaction_once() {
    const ROUNDS: u64 = 20;
    let folder = Folder::new();
    let watcher = SqliteLedger::open(folder.database(), clock()).unwrap();
    let mut chance = Chance(11);
    let mut told: BTreeMap<u64, Receipt> = BTreeMap::new();
    for round in 0..ROUNDS {
        // Two at the same time, killed one after the other.
        let mut children = [1, 2].map(|n| spawn("a_process_commits_until_it_is_killed", &folder, 2 * round + n));
        for line in children.iter_mut().flat_map(|child| kill_after(child, 1 + chance.below(40))) {
            let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
            let receipt = Receipt { id: transfer(numbers[0]).id, seq: Seq(numbers[1]), at: numbers[2] };
            let first = *told.entry(numbers[0]).or_insert(receipt);
            assert_eq!(first, receipt, "transaction {} has two receipts", numbers[0]);
        }
        // A handle that was never told anything by the dead, and one that recovers.
        let fresh = SqliteLedger::open(folder.database(), clock()).unwrap();
        let stands = standing(&fresh);
        assert_eq!(standing(&watcher), stands, "round {round}");
        for (n, receipt) in &told {
            assert_eq!(stands.get(&format!("key {n}")), Some(receipt), "round {round}: {n} was acknowledged");
        }
        let report = verify_ledger(&fresh).unwrap();
        assert!(report.ok, "round {round}: {:?}", report.damage);
    }
    assert!(told.len() as u64 > 10 * ROUNDS, "{} transactions were acknowledged", told.len());
    let before = standing(&watcher).len();
    for (n, receipt) in &told {
        assert_eq!(watcher.commit(&book(), &transfer(*n)).unwrap(), *receipt, "the receipt of key {n}");
    }
    assert_eq!(standing(&watcher).len(), before);
}

fn purse() -> AccountId {
    AccountId::new(&book(), "purse").unwrap()
}

fn spending(n: u64) -> Draft {
    let a = AccountId::new(&book(), "a").unwrap();
    let postings = vec![Posting::debit(a, 1), Posting::credit(purse(), 1)];
    Draft::new(TransactionId::derive(n, b"spending"), format!("spending {n}"), postings)
}

/// Commits 100 transactions and tries to spend 100, in three threads, and tells what was let pass.
#[test]
fn a_process_commits_and_spends() {
    let own = Folder::new();
    let (database, round) = task().unwrap_or_else(|| (own.database(), 1));
    let ledger = SqliteLedger::open(&database, clock()).unwrap();
    if task().is_none() {
        fill_purse(&ledger);
    }
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let ledger = &ledger;
            scope.spawn(move || {
                let first = round * SHARE + thread * 1_000;
                for n in first..first + 34 {
                    tell(&format!("committed {}", ledger.commit(&book(), &transfer(n)).unwrap().seq));
                    match ledger.commit(&book(), &spending(n)) {
                        Ok(receipt) => tell(&format!("spent {}", receipt.seq)),
                        Err(LedgerError::BelowMinimum { .. }) => tell("refused 0"),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
}

fn fill_purse(ledger: &SqliteLedger) {
    prepare(ledger);
    let asset = "USD".parse().unwrap();
    ledger.open_account(&Account { id: purse(), asset, kind: AccountKind::Asset, min_balance: Some(0) }).unwrap();
    let b = AccountId::new(&book(), "b").unwrap();
    let postings = vec![Posting::debit(purse(), 150), Posting::credit(b, 150)];
    ledger.commit(&book(), &Draft::new(TransactionId::derive(1, b"filling"), "filling", postings)).unwrap();
}

#[test]
fn processes_that_commit_at_once_share_one_row_of_seqs_and_no_purse_is_undercut() {
    let folder = Folder::new();
    let ledger = SqliteLedger::open(folder.database(), clock()).unwrap();
    fill_purse(&ledger);
    let children: Vec<Child> = (1..=4).map(|n| spawn("a_process_commits_and_spends", &folder, n)).collect();
    let mut told: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let Some((_, what)) = line.split_once("told: ") else { continue };
            let (what, seq) = what.split_once(' ').unwrap();
            told.entry(what.to_owned()).or_default().push(seq.parse().unwrap());
        }
    }
    assert_eq!((told["committed"].len(), told["spent"].len(), told["refused"].len()), (408, 150, 258));
    let mut seqs: Vec<u64> = told["committed"].iter().chain(&told["spent"]).copied().collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (5..5 + 408 + 150).collect::<Vec<u64>>(), "each has a seq of its own, without a gap");
    assert_eq!(standing(&ledger).len(), 1 + 408 + 150);
    assert_eq!(ledger.balance(&purse(), None).unwrap().amount, 0);
    let report = verify_ledger(&ledger).unwrap();
    assert!(report.ok, "{:?}", report.damage);
}
