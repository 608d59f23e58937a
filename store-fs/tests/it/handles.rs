//! Several handles and threads on one store.

use std::sync::{Arc, Barrier};
use std::thread;

use store_core::{AppendOptions, Expected, Seq, Store as _, StoreError};
use store_fs::{FsOptions, FsStore};

use crate::support::{Folder, append, create, names, note, note_texts, options, segment, session, start, texts};

fn open_descriptors() -> usize {
    std::fs::read_dir("/dev/fd").map(Iterator::count).unwrap_or_default()
}

#[test]
fn threads_of_many_handles_write_every_call_whole_and_once() {
    let folder = Folder::new();
    create(&folder.open(), 1);
    let (handles, workers, calls) = (3, 9_u32, 30_u64);
    let stores: Vec<Arc<FsStore>> = (0..handles).map(|_| Arc::new(folder.open())).collect();
    let barrier = Arc::new(Barrier::new(9));
    let running: Vec<_> = (0..u64::from(workers))
        .zip(stores.iter().cycle())
        .map(|(worker, store)| {
            let (store, barrier) = (Arc::clone(store), Arc::clone(&barrier));
            thread::spawn(move || {
                barrier.wait();
                for call in 0..calls {
                    let first = worker * 10_000 + call * 3;
                    let positions = append(&store, 1, &[first, first + 1, first + 2]).unwrap();
                    assert_eq!(positions[2].seq.0, positions[0].seq.0 + 2);
                }
            })
        })
        .collect();
    running.into_iter().for_each(|worker| worker.join().unwrap());
    let all = texts(&folder.open(), 1).unwrap();
    assert_eq!(all.len() as u64, u64::from(workers) * calls * 3);
    for worker in 0..u64::from(workers) {
        let own: Vec<&String> = all
            .iter()
            .filter(|text| {
                let n: u64 = text.rsplit_once(':').unwrap().1.trim_end_matches('}').parse().unwrap();
                n / 10_000 == worker
            })
            .collect();
        let expected = note_texts(&(worker * 10_000..worker * 10_000 + calls * 3).collect::<Vec<_>>());
        assert_eq!(own, expected.iter().collect::<Vec<_>>());
    }
    for call in all.chunks(3) {
        let first: u64 = call[0].rsplit_once(':').unwrap().1.trim_end_matches('}').parse().unwrap();
        assert_eq!(call, note_texts(&[first, first + 1, first + 2]));
    }
}

#[test]
fn of_two_writers_at_the_same_place_one_is_refused() {
    let folder = Folder::new();
    let (one, two) = (folder.open(), folder.open());
    create(&one, 1);
    let at = AppendOptions::expecting(Expected::Count(1));
    let (mine, theirs) = thread::scope(|scope| {
        let mine = scope.spawn(|| one.append_with(session(1), segment(1), &[note(1)], &at));
        let theirs = scope.spawn(|| two.append_with(session(1), segment(1), &[note(2)], &at));
        (mine.join().unwrap(), theirs.join().unwrap())
    });
    let refused = match (mine, theirs) {
        (Ok(_), Err(refused)) | (Err(refused), Ok(_)) => refused,
        other => panic!("{other:?}"),
    };
    assert!(matches!(&refused, StoreError::Conflict { actual, .. } if actual.seq == Seq(2)), "{refused}");
}

#[test]
fn of_many_creators_of_one_segment_one_succeeds() {
    let folder = Folder::new();
    let stores: Vec<FsStore> = (0..4).map(|_| folder.open()).collect();
    let made = thread::scope(|scope| {
        let creators: Vec<_> = stores
            .iter()
            .enumerate()
            .map(|(n, store)| {
                let of = session(n as u64);
                scope.spawn(move || {
                    let entries = [start(of, None)];
                    store.create_segment(of, segment(9), &entries, &Default::default()).map(|_| of)
                })
            })
            .collect();
        creators.into_iter().map(|creator| creator.join().unwrap()).collect::<Vec<_>>()
    });
    let winners: Vec<_> = made.iter().flatten().collect();
    assert_eq!(winners.len(), 1, "{made:?}");
    assert_eq!(stores[0].lookup_session_of(segment(9)).unwrap(), Some(*winners[0]));
    assert_eq!(stores[0].list_sessions().unwrap(), [*winners[0]]);
    for refused in made.iter().filter_map(|made| made.as_ref().err()) {
        assert!(matches!(refused, StoreError::AlreadyExists { session, .. } if session == winners[0]), "{refused}");
    }
}

#[test]
fn an_open_log_of_a_deleted_session_takes_nothing_more() {
    let folder = Folder::new();
    let (writer, deleter) = (folder.open(), folder.open());
    create(&writer, 1);
    append(&writer, 1, &[1]).unwrap();
    deleter.delete_session(session(1)).unwrap();
    for refused in [append(&writer, 1, &[2]).unwrap_err(), texts(&writer, 1).unwrap_err()] {
        assert!(matches!(refused, StoreError::NotFound(_)), "{refused}");
    }
    // The same ids again are another log, which the old descriptor does not reach.
    create(&deleter, 1);
    append(&writer, 1, &[3]).unwrap();
    assert_eq!(texts(&deleter, 1).unwrap(), note_texts(&[3]));
}

#[test]
fn a_log_that_was_replaced_while_it_was_open_is_opened_again() {
    let folder = Folder::new();
    let (writer, deleter) = (folder.open(), folder.open());
    create(&writer, 1);
    append(&writer, 1, &[1]).unwrap();
    deleter.delete_session(session(1)).unwrap();
    create(&deleter, 1);
    append(&deleter, 1, &[2]).unwrap();
    assert_eq!(texts(&writer, 1).unwrap(), note_texts(&[2]));
    deleter.delete_session(session(1)).unwrap();
    create(&deleter, 1);
    append(&deleter, 1, &[3]).unwrap();
    append(&writer, 1, &[4]).unwrap();
    assert_eq!(texts(&deleter, 1).unwrap(), note_texts(&[3, 4]));
}

#[test]
fn a_deleted_session_leaves_no_entry_behind() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    let before: Vec<String> = crate::support::tree(&folder.root()).into_iter().map(|(name, _)| name).collect();
    let origin =
        store_core::SegmentOrigin { session_id: session(1), segment_id: segment(1), seq: Seq(1), at_turn_index: 0 };
    let entries = [start(session(2), Some(origin))];
    store.create_segment(session(2), segment(2), &entries, &Default::default()).unwrap();
    append(&store, 2, &[1]).unwrap();
    let refused = store.delete_session(session(1)).unwrap_err();
    assert!(matches!(&refused, StoreError::Referenced { by } if *by == [segment(2)]), "{refused}");
    store.delete_session(session(2)).unwrap();
    let without_locks =
        |names: Vec<String>| names.into_iter().filter(|name| !name.ends_with("LOCK")).collect::<Vec<_>>();
    let after: Vec<String> = crate::support::tree(&folder.root()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(without_locks(after), without_locks(before));
    store.delete_session(session(1)).unwrap();
    assert_eq!(names(&folder.root().join("by-origin")), Vec::<String>::new());
}

#[test]
fn no_more_logs_are_kept_open_than_allowed() {
    let folder = Folder::new();
    let options = FsOptions { open_logs_max: 4, ..options() };
    let store = FsStore::open(folder.root(), &options).unwrap();
    for n in 1..=60 {
        create(&store, n);
    }
    for round in 0..3 {
        for n in 1..=60 {
            append(&store, n, &[round]).unwrap();
        }
    }
    let logs = std::fs::read_dir("/dev/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter(|path| path.starts_with(folder.root()) && path.extension().is_some_and(|end| end == "jsonl"))
        .count();
    assert!(logs <= 4, "{logs} of {} descriptors are logs", open_descriptors());
    for n in 1..=60 {
        assert_eq!(texts(&store, n).unwrap(), note_texts(&[0, 1, 2]));
    }
}

#[test]
fn blobs_are_held_until_the_guard_is_dropped() {
    let folder = Folder::new();
    let store = folder.open();
    let (one, two) = (store.put_blob(b"one").unwrap(), store.put_blob(b"two").unwrap());
    let lock = std::fs::File::open(folder.root().join("blobs/LOCK")).unwrap();
    drop(one);
    assert!(lock.try_lock().is_err());
    drop(two);
    lock.try_lock().unwrap();
}

#[test]
fn a_closed_handle_leaves_its_changes_to_others() {
    let folder = Folder::new();
    let reader = folder.open();
    let cursor = reader.changes(None).unwrap().cursor;
    let writer = folder.open();
    create(&writer, 1);
    assert_eq!(names(&folder.root().join("live")).len(), 1);
    drop(writer);
    assert_eq!(names(&folder.root().join("live")), Vec::<String>::new());
    let changes = reader.changes(Some(&cursor)).unwrap();
    assert_eq!(changes.segments, [(session(1), segment(1))]);
    assert_eq!(reader.changes(Some(&changes.cursor)).unwrap().segments, []);
}

#[test]
fn a_cursor_of_another_store_means_everything() {
    let (one, two) = (Folder::new(), Folder::new());
    create(&one.open(), 1);
    create(&two.open(), 5);
    let cursor = one.open().changes(None).unwrap().cursor;
    let store = two.open();
    let own = store.changes(None).unwrap().cursor;
    assert_eq!(store.changes(Some(&own)).unwrap().segments, []);
    assert_eq!(store.changes(Some(&cursor)).unwrap().segments, [(session(5), segment(5))]);
}

/// What a handle remembers of a look-up must not outlive the segment: a deletion by another handle is known at once.
#[test]
fn a_segment_that_was_looked_up_is_unknown_when_another_handle_deletes_it() {
    let folder = Folder::new();
    let (one, other) = (folder.open(), folder.open());
    create(&one, 1);
    for handle in [&one, &other, &one] {
        assert_eq!(handle.lookup_session_of(segment(1)).unwrap(), Some(session(1)));
    }
    other.delete_session(session(1)).unwrap();
    assert_eq!(one.lookup_session_of(segment(1)).unwrap(), None);
    let options = store_core::CreateOptions::default();
    other.create_segment(session(2), segment(1), &[start(session(2), None)], &options).unwrap();
    assert_eq!(one.lookup_session_of(segment(1)).unwrap(), Some(session(2)));
    std::fs::remove_dir_all(folder.root().join(session(2).to_string())).unwrap();
    assert_eq!(one.lookup_session_of(segment(1)).unwrap(), None);
}
