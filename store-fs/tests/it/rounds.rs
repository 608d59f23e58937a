//! Calls of many threads that wait for stable storage, on a disk whose syncs take long enough for others to queue.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier};
use std::thread;

use store_core::{AppendOptions, Durability, Expected, NewEntry, Position, Result, Seq, Store as _, StoreError};
use store_fs::FsStore;

use crate::faults::{Plan, done_since, open, open_with};
use crate::support::{Folder, append_synced, create, in_parts, note, note_text, note_texts, segment, session, texts};

const THREADS: u64 = 8;

/// A disk that gives other threads time to queue while it syncs.
fn slow() -> Arc<Plan> {
    let plan = Plan::faultless();
    plan.sync_yields.store(5, Ordering::Relaxed);
    plan
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

fn synced(store: &FsStore, entries: &[NewEntry], expected: Option<Expected>) -> Result<Vec<Position>> {
    store.append_with(
        session(1),
        segment(1),
        entries,
        &AppendOptions { expected, durability: Some(Durability::Synced) },
    )
}

#[test]
fn calls_that_wait_together_are_written_together_and_each_is_whole_at_its_place() {
    let folder = Folder::new();
    let plan = slow();
    let store = open(&folder, &plan);
    create(&store, 1);
    append_synced(&store, 1, &[9_000]).unwrap();
    done_since(&plan, &folder);
    let calls = 20;
    let answers = in_threads(|thread| {
        let call = |call| {
            let first = thread * 1_000 + call * 3;
            (first, append_synced(&store, 1, &[first, first + 1, first + 2]).unwrap())
        };
        (0..calls).map(call).collect::<Vec<_>>()
    });
    let done = done_since(&plan, &folder);
    for what in ["append ", "sync "] {
        let count = done.iter().filter(|done| done.starts_with(what)).count() as u64;
        assert!((1..THREADS * calls).contains(&count), "{what}: {count} times for {} calls", THREADS * calls);
    }
    let records = store.read_range(session(1), segment(1), Seq(0), usize::MAX).unwrap();
    assert_eq!(records.len() as u64, 2 + THREADS * calls * 3);
    for (first, positions) in answers.into_iter().flatten() {
        for (note, position) in (first..).zip(positions) {
            let record = &records[usize::try_from(position.seq.0 - 1).unwrap()];
            assert_eq!((record.position, &record.text), (position, &note_text(note)));
        }
    }
    drop(store);
    assert_eq!(folder.open().read_entry_count(session(1), segment(1)).unwrap(), 2 + THREADS * calls * 3);
}

#[test]
fn a_key_that_many_threads_bring_is_written_once() {
    let folder = Folder::new();
    let store = open(&folder, &slow());
    create(&store, 1);
    for round in 0..20 {
        let answers = in_threads(|thread| {
            let keyed = note(round).with_key(format!("k{round}"));
            let own = note(1_000 * (thread + 1) + round);
            if thread % 2 == 0 {
                synced(&store, &[keyed, own], None).unwrap()[0]
            } else {
                synced(&store, &[own, keyed], None).unwrap()[1]
            }
        });
        assert!(answers.iter().all(|position| *position == answers[0]), "round {round}: {answers:?}");
        let other = synced(&store, &[note(round + 1).with_key(format!("k{round}"))], None).unwrap_err();
        assert!(matches!(other, StoreError::KeyReused { .. }), "{other}");
    }
    assert_eq!(texts(&store, 1).unwrap().len() as u64, 20 * (THREADS + 1));
}

#[test]
fn of_threads_that_expect_the_same_end_one_writes() {
    let folder = Folder::new();
    let store = open(&folder, &slow());
    create(&store, 1);
    for round in 0..20 {
        let count = store.read_entry_count(session(1), segment(1)).unwrap();
        let answers = in_threads(|thread| synced(&store, &[note(round * 10 + thread)], Some(Expected::Count(count))));
        let written: Vec<&Vec<Position>> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
        assert_eq!(written.len(), 1, "round {round}");
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            let StoreError::Conflict { actual, .. } = error else { panic!("{error}") };
            assert_eq!(*actual, written[0][0], "what is told is what stands there");
        }
    }
}

#[test]
fn when_a_shared_sync_fails_nobody_is_told_that_his_call_is_safe() {
    let folder = Folder::new();
    let plan = slow();
    let store = open(&folder, &plan);
    create(&store, 1);
    append_synced(&store, 1, &[0]).unwrap();
    plan.sync_fails.store(true, Ordering::Relaxed);
    let answers = in_threads(|thread| append_synced(&store, 1, &[thread + 1]));
    for answer in answers {
        let error = answer.unwrap_err();
        assert!(matches!(&error, StoreError::Io { op: "sync", .. }), "{error:?}");
    }
    plan.sync_fails.store(false, Ordering::Relaxed);
    assert!(append_synced(&store, 1, &[100]).is_err(), "what was not synced is not trusted by this handle");
    drop(store);
    let store = folder.open();
    append_synced(&store, 1, &[200]).unwrap();
    let left = texts(&store, 1).unwrap();
    assert_eq!((&left[0], left.last()), (&note_text(0), Some(&note_text(200))));
}

#[test]
fn calls_that_do_not_fit_together_are_written_as_far_as_they_fit_alone() {
    let folder = Folder::new();
    let plan = slow();
    let store = open(&folder, &plan);
    create(&store, 1);
    append_synced(&store, 1, &[0]).unwrap();
    let line = std::fs::read_to_string(folder.log(1)).unwrap().lines().last().unwrap().len() as u64 + 1;
    // The marks of how far the log is safe need some room too.
    plan.space.store(4 * line + 60, Ordering::Relaxed);
    let answers = in_threads(|thread| append_synced(&store, 1, &[thread + 1]));
    plan.space.store(u64::MAX, Ordering::Relaxed);
    let written: BTreeSet<String> =
        answers.iter().zip(1..).filter(|(answer, _)| answer.is_ok()).map(|(_, note)| note_text(note)).collect();
    assert!((1..=4).contains(&written.len()), "{answers:?}");
    for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(matches!(error, StoreError::NoSpace { .. }), "{error:?}");
    }
    assert_eq!(texts(&store, 1).unwrap().into_iter().skip(1).collect::<BTreeSet<_>>(), written);
    append_synced(&store, 1, &[99]).unwrap();
    assert_eq!(texts(&folder.open(), 1).unwrap().last(), Some(&note_text(99)));
}

#[test]
fn calls_that_wait_together_go_on_in_new_parts() {
    let folder = Folder::new();
    let store = open_with(&folder, &slow(), &in_parts(600)).unwrap();
    create(&store, 1);
    in_threads(|thread| {
        for call in 0..20 {
            let first = thread * 100 + call * 2;
            append_synced(&store, 1, &[first, first + 1]).unwrap();
        }
    });
    assert!(folder.part(1, 10).exists());
    let all = texts(&folder.open(), 1).unwrap();
    let firsts = |thread: u64| (0..20).map(move |call| thread * 100 + call * 2);
    let expected: BTreeSet<Vec<String>> =
        (0..THREADS).flat_map(firsts).map(|first| note_texts(&[first, first + 1])).collect();
    assert_eq!(all.len(), 2 * expected.len());
    assert_eq!(all.chunks(2).map(<[String]>::to_vec).collect::<BTreeSet<_>>(), expected);
}
