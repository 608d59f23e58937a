//! Logs of several parts: going on in a new one, what a crash leaves of that, and damage in the parts before.

use store_core::{Store as _, StoreError};
use store_fs::{FsOptions, FsStore};

use crate::support::{Folder, append, create, options, segment, session};

fn in_parts(max_part_bytes: u64) -> FsOptions {
    FsOptions { max_part_bytes, ..options() }
}

fn open(folder: &Folder, max_part_bytes: u64) -> FsStore {
    FsStore::open(folder.root(), &in_parts(max_part_bytes)).unwrap()
}

#[test]
fn threads_with_handles_of_their_own_make_a_part_for_every_call() {
    let folder = Folder::new();
    create(&open(&folder, 1), 1);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|n| {
                let folder = &folder;
                scope.spawn(move || {
                    let store = open(folder, 1);
                    for call in 0..50 {
                        let first = 1000 * n + 3 * call;
                        append(&store, 1, &[first, first + 1, first + 2]).unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
    });
    assert_eq!(open(&folder, 1).read_entry_count(session(1), segment(1)).unwrap(), 451);
}

#[test]
fn threads_with_one_handle_make_a_part_for_every_call() {
    let folder = Folder::new();
    let store = open(&folder, 1);
    create(&store, 1);
    std::thread::scope(|scope| {
        for n in 0..3 {
            let store = &store;
            scope.spawn(move || (0..50).for_each(|call| _ = append(store, 1, &[1000 * n + call]).unwrap()));
        }
    });
    assert_eq!(store.read_entry_count(session(1), segment(1)).unwrap(), 151);
}

#[test]
fn an_append_that_races_with_a_deletion_ends_well_or_finds_nothing() {
    for _ in 0..50 {
        let folder = Folder::new();
        let store = open(&folder, 1);
        create(&store, 1);
        std::thread::scope(|scope| {
            for n in 0..3 {
                let store = &store;
                scope.spawn(move || {
                    for call in 0..20 {
                        let done = append(store, 1, &[1000 * n + call]);
                        assert!(matches!(done, Ok(_) | Err(StoreError::NotFound(_))), "{done:?}");
                    }
                });
            }
            scope.spawn(|| store.delete_session(session(1)).unwrap());
        });
    }
}
