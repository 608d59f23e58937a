//! Batches of many threads that commit to one book, on a disk whose syncs take long enough for others to queue.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier};
use std::thread;

use store_core::ledger::{
    Account, AccountKind, Draft, EventBody, Known, Ledger as _, LedgerError, LedgerResult, Posting, Receipt,
};
use store_core::{Seq, TransactionId};
use store_fs::{FsLedger, LedgerOptions};

use crate::faults::{FaultyDisk, Plan};
use crate::ledger::{book, clock, id, prepare, transfer};

const THREADS: u64 = 8;
const CALLS: u64 = 20;

/// A ledger with the accounts `a` and `b` on a disk that gives other threads time to queue while it syncs.
fn slow(root: &Path) -> (FsLedger, Arc<Plan>) {
    let plan = Plan::faultless();
    plan.sync_yields.store(5, Ordering::Relaxed);
    let disk = Arc::new(FaultyDisk(Arc::clone(&plan)));
    let ledger = FsLedger::open_on(disk, root, &LedgerOptions::new(clock())).unwrap();
    prepare(&ledger).unwrap();
    plan.take_done();
    (ledger, plan)
}

/// Does `work` in so many threads at once and answers with what each came to.
fn in_threads<T: Send>(work: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(usize::try_from(THREADS).unwrap());
    thread::scope(|scope| {
        let running: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (work, barrier) = (&work, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    work(thread)
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn batch(first: u64, count: u64) -> Vec<Draft> {
    (first..first + count).map(transfer).collect()
}

fn seqs(answers: Vec<LedgerResult<Receipt>>) -> Vec<u64> {
    answers.into_iter().map(|answer| answer.unwrap().seq.0).collect()
}

/// The keys of the transactions that stand in the book, in order.
fn keys(ledger: &FsLedger) -> Vec<String> {
    let events = ledger.read_events(&book(), Seq(3), usize::MAX).unwrap();
    let key = |body| match body {
        EventBody::Transaction(draft) => draft.key,
        other => panic!("{other:?}"),
    };
    events.into_iter().map(|event| key(event.body)).collect()
}

#[test]
fn batches_that_wait_together_share_writes_and_syncs_and_each_stands_in_one_piece() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, plan) = slow(folder.path());
    let answers = in_threads(|thread| {
        let call = |call| {
            let first = (thread * CALLS + call) * 3;
            (first, seqs(ledger.commit_batch(&book(), &batch(first, 3)).unwrap()))
        };
        (0..CALLS).map(call).collect::<Vec<_>>()
    });
    let done = plan.take_done();
    for what in ["append ", "sync "] {
        let count = done.iter().filter(|done| done.starts_with(what)).count() as u64;
        assert!((1..THREADS * CALLS).contains(&count), "{what}: {count} times for {} calls", THREADS * CALLS);
    }
    let keys = keys(&ledger);
    assert_eq!(keys.len() as u64, THREADS * CALLS * 3);
    for (first, seqs) in answers.into_iter().flatten() {
        assert_eq!(seqs, (seqs[0]..seqs[0] + 3).collect::<Vec<_>>());
        for (n, seq) in (first..).zip(seqs) {
            assert_eq!(keys[usize::try_from(seq).unwrap() - 3], format!("key {n}"));
        }
    }
    // Each is a call of its own in the log, of which a crash leaves all or nothing.
    let log = std::fs::read_dir(folder.path().join("ledger/home")).unwrap();
    let logs = log.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let text: String = logs.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    for more in [r#""more":2,"#, r#""more":1,"#] {
        assert_eq!(text.matches(more).count() as u64, THREADS * CALLS);
    }
    ledger.shutdown().unwrap();
    let anew = FsLedger::open(folder.path(), &LedgerOptions::new(clock())).unwrap();
    assert_eq!(self::keys(&anew), keys);
}

#[test]
fn a_key_and_an_id_that_many_threads_bring_are_committed_once() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = slow(folder.path());
    for round in 0..CALLS {
        let answers = in_threads(|thread| {
            let own = transfer(1_000 + round * THREADS + thread);
            let of_one_id = Draft { id: transfer(500 + round).id, ..transfer(5_000 + round * THREADS + thread) };
            ledger.commit_batch(&book(), &[own, transfer(round), of_one_id]).unwrap()
        });
        let mut first = None;
        let mut ids = 0;
        for answers in answers {
            let [own, shared, of_one_id] = <[_; 3]>::try_from(answers).unwrap();
            own.unwrap();
            let shared = shared.unwrap();
            assert_eq!(*first.get_or_insert(shared), shared, "round {round}");
            match of_one_id {
                Ok(_) => ids += 1,
                Err(LedgerError::AlreadyExists { what: Known::Transaction(id) }) => {
                    assert_eq!(id, transfer(500 + round).id);
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(ids, 1, "round {round}");
    }
    assert_eq!(keys(&ledger).len() as u64, CALLS * (THREADS + 2));
}

#[test]
fn many_threads_together_take_no_more_than_an_account_may_lose() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, _) = slow(folder.path());
    let kind = AccountKind::Asset;
    let purse = Account { id: id("purse"), asset: "USD".parse().unwrap(), kind, min_balance: Some(-30) };
    ledger.open_account(&purse).unwrap();
    let taken = in_threads(|thread| {
        let take = |n: &u64| {
            let postings = vec![Posting::debit(id("a"), 1), Posting::credit(id("purse"), 1)];
            let id = TransactionId::derive(thread * CALLS + n, b"take");
            match ledger.commit(&book(), &Draft::new(id, format!("take {thread} {n}"), postings)) {
                Ok(_) => true,
                Err(LedgerError::BelowMinimum { balance: -31, .. }) => false,
                Err(error) => panic!("{error}"),
            }
        };
        (0..CALLS).filter(take).count()
    });
    assert_eq!(taken.iter().sum::<usize>(), 30);
    assert_eq!(ledger.balance(&id("purse"), None).unwrap().amount, -30);
}

#[test]
fn a_batch_that_cannot_be_written_keeps_no_other_from_being_written() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, plan) = slow(folder.path());
    // Room for one of the small batches at a time, and not for the large one.
    plan.at_once.store(400, Ordering::Relaxed);
    in_threads(|thread| {
        for call in 0..CALLS {
            let n = (thread * CALLS + call) * 3;
            if thread == 0 {
                let refused = ledger.commit_batch(&book(), &batch(n, 3));
                assert!(matches!(refused, Err(LedgerError::Store(_))), "{refused:?}");
            } else {
                ledger.commit(&book(), &transfer(n)).unwrap();
            }
        }
    });
    plan.at_once.store(u64::MAX, Ordering::Relaxed);
    assert_eq!(keys(&ledger).len() as u64, (THREADS - 1) * CALLS);
    assert_eq!(seqs(ledger.commit_batch(&book(), &batch(0, 3)).unwrap()), [143, 144, 145]);
}
