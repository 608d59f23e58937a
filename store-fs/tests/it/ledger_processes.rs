//! Real processes on one ledger in files: killed while they commit, and in the way of each other.
//!
//! A process is this test binary, started again for one of its tests with its task in the environment. What it was told it tells its parent, which kills it at some
//! moment and holds the ledger against that.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use store_core::ledger::{Clock, Draft, EventBody, Ledger as _, LedgerError, Receipt, verify_ledger};
use store_core::{Seq, StoreError};
use store_fs::{FsLedger, LedgerOptions};

use crate::ledger::{book, prepare, transfer};

const ROOT: &str = "STORE_FS_LEDGER_TASK_ROOT";
const ROUND: &str = "STORE_FS_LEDGER_TASK_ROUND";
/// The numbers of a round begin at its own times this.
const SHARE: u64 = 100_000;
const THREADS: u64 = 3;

fn clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::try_from(since.as_micros()).unwrap()
    })
}

/// Small, so that parts, snapshots and runs of keys are made all the time.
fn open(root: &PathBuf) -> Result<FsLedger, LedgerError> {
    let small =
        LedgerOptions { snapshot_every: 40, keys_held_max: 32, max_part_bytes: 6000, ..LedgerOptions::new(clock()) };
    FsLedger::open(root, &small)
}

fn spawn(test: &str, root: &PathBuf, round: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("ledger_processes::{test}"), "--nocapture", "--test-threads=1"])
        .env(ROOT, root)
        .env(ROUND, round.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What this process was started to do.
fn task() -> Option<(PathBuf, u64)> {
    let root = PathBuf::from(std::env::var_os(ROOT)?);
    Some((root, std::env::var(ROUND).unwrap().parse().unwrap()))
}

#[expect(clippy::print_stdout, reason = "a process tells its parent on its standard output")]
fn tell(what: &str) {
    println!("told: {what}");
}

fn tell_receipt(n: u64, receipt: &Receipt) {
    tell(&format!("{n} {} {}", receipt.seq, receipt.at));
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
    let own = tempfile::tempdir().unwrap();
    let calls = if task().is_some() { SHARE / THREADS / 8 } else { 20 };
    let (root, round) = task().unwrap_or_else(|| (own.path().join("store"), 1));
    let ledger = open(&root).unwrap();
    prepare(&ledger).unwrap();
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
                        tell_receipt(*n, &receipt.unwrap());
                    }
                }
            });
        }
    });
    assert!(verify_ledger(&ledger).unwrap().ok);
}

/// Reads what a process tells until it has told `lines`, kills it, and reads the rest.
fn kill_after(child: &mut Child, lines: u64) -> Vec<String> {
    let mut output: BufReader<ChildStdout> = BufReader::new(child.stdout.take().unwrap());
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

#[test]
fn killed_processes_leave_every_acknowledged_transaction_once() {
    const ROUNDS: u64 = 40;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let mut chance = Chance(11);
    let mut told: BTreeMap<u64, Receipt> = BTreeMap::new();
    for round in 1..=ROUNDS {
        let mut child = spawn("a_process_commits_until_it_is_killed", &root, round);
        for line in kill_after(&mut child, 1 + chance.below(120)) {
            let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
            let receipt = Receipt { id: transfer(numbers[0]).id, seq: Seq(numbers[1]), at: numbers[2] };
            let first = *told.entry(numbers[0]).or_insert(receipt);
            assert_eq!(first, receipt, "transaction {} has two receipts", numbers[0]);
        }
        // The dead one's lock is free at once.
        let ledger = open(&root).unwrap();
        let mut stands = BTreeMap::new();
        for event in ledger.read_events(&book(), Seq(1), usize::MAX).unwrap() {
            if let EventBody::Transaction(draft) = event.body {
                let receipt = Receipt { id: draft.id, seq: event.seq, at: event.at };
                assert_eq!(stands.insert(draft.key.clone(), receipt), None, "{} stands there twice", draft.key);
            }
        }
        for (n, receipt) in &told {
            assert_eq!(stands.get(&format!("key {n}")), Some(receipt), "round {round}: {n} was acknowledged");
        }
        let report = verify_ledger(&ledger).unwrap();
        assert!(report.ok, "round {round}: {:?}", report.damage);
        ledger.shutdown().unwrap();
    }
    assert!(told.len() as u64 > 10 * ROUNDS, "{} transactions were acknowledged", told.len());
    let ledger = open(&root).unwrap();
    let before = ledger.read_events(&book(), Seq(1), usize::MAX).unwrap().len();
    for (n, receipt) in &told {
        assert_eq!(ledger.commit(&book(), &transfer(*n)).unwrap(), *receipt, "the receipt of key {n}");
    }
    assert_eq!(ledger.read_events(&book(), Seq(1), usize::MAX).unwrap().len(), before);
}

/// Owns a ledger until it is killed. By itself: for a moment.
#[test]
fn a_process_owns_the_ledger_until_it_is_killed() {
    let own = tempfile::tempdir().unwrap();
    let is_child = task().is_some();
    let (root, _) = task().unwrap_or_else(|| (own.path().join("store"), 0));
    let ledger = open(&root).unwrap();
    tell("it is mine");
    if is_child {
        let _ = std::io::stdin().read_to_string(&mut String::new());
    }
    ledger.shutdown().unwrap();
}

#[test]
fn a_second_owner_is_locked_out_while_the_first_lives_and_not_a_moment_longer() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    for _ in 0..10 {
        let mut child = spawn("a_process_owns_the_ledger_until_it_is_killed", &root, 0);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        while !text.contains("told: it is mine") {
            assert!(output.read_line(&mut text).unwrap() > 0, "{text}");
        }
        let locked = open(&root);
        assert!(matches!(locked, Err(LedgerError::Store(StoreError::Locked { .. }))), "{locked:?}");
        let reader = FsLedger::open_read_only(&root, &LedgerOptions::new(clock())).unwrap();
        assert!(reader.list_books().is_ok(), "reading needs no lock");
        child.kill().unwrap();
        child.wait().unwrap();
        open(&root).unwrap().shutdown().unwrap();
    }
}
