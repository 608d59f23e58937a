//! Which leaf a damaged session goes on from: the same answer with an index that knew better times and with a new one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use session_store::index::{Index, KindFilter, ListQuery, Resolution, Target};
use session_store::{
    CurrentLeaf, OpenOptions, SessionError, SessionFact, current_leaf, fork_at, open, put_session_fact, restore,
};
use session_store::{ForkPoint, SegmentLocation};
use store_core::{Backend, Seq, StoreError};

use super::world::{NOON, New, append, create, origin, says, segment, session};

/// What happens to the log of the current leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    Empty,
    Truncated,
    Removed,
    Link,
    RowDeleted,
}

/// A conversation that was rewound: what was said first in one leaf, and what was said then in another, the current one.
struct Place {
    scheme: &'static str,
    folder: tempfile::TempDir,
}

impl Place {
    fn new(scheme: &'static str, named: bool) -> Self {
        let place = Self { scheme, folder: tempfile::tempdir().unwrap() };
        let store = place.open();
        let root = New { agent: "claude", native_id: Some("native".into()), ..New::default() };
        create(&*store, session(1), segment(1), root);
        append(&*store, segment(1), vec![(None, says(NOON + 1, "the question"))]);
        for (number, text) in [(2, "the way that was left"), (3, "the way that was taken")] {
            let forked_from = Some(origin(session(1), segment(1), 2));
            create(&*store, session(1), segment(number), New { agent: "claude", forked_from, ..New::default() });
            append(&*store, segment(number), vec![(None, says(NOON + number, text))]);
        }
        if named {
            let leaf = CurrentLeaf { segment_id: segment(3), seq: Seq(2) };
            put_session_fact(&*store, NOON, session(1), &SessionFact::CurrentLeaf(leaf)).unwrap();
        }
        let (index, _) = place.ask(&*store);
        assert_eq!(found(&index, &*store, &session(1).to_string()).unwrap().segment, segment(3));
        place
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn open(&self) -> Arc<dyn Backend> {
        open(&format!("{}:{}", self.scheme, self.root().display()), &OpenOptions::at(NOON)).unwrap()
    }

    /// An index that is up to date, and whether its file had to be made.
    fn ask(&self, store: &dyn Backend) -> (Index, bool) {
        let is_new = !store.info().projection_path.unwrap().exists();
        let index = Index::open(store).unwrap();
        index.refresh(store).unwrap();
        (index, is_new)
    }

    fn log(&self) -> PathBuf {
        self.root().join(session(1).to_string()).join(format!("{}.jsonl", segment(3)))
    }

    fn remove_index(&self) {
        let path = self.open().info().projection_path.unwrap();
        for suffix in ["", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            if Path::new(&name).exists() {
                fs::remove_file(name).unwrap();
            }
        }
    }

    fn harm(&self, harm: Harm) {
        let log = self.log();
        match harm {
            Harm::Empty => fs::write(&log, "").unwrap(),
            Harm::Truncated => {
                let bytes = fs::read(&log).unwrap();
                let first = bytes.iter().position(|byte| *byte == b'\n').unwrap();
                fs::write(&log, &bytes[..first / 2]).unwrap();
            }
            Harm::Removed => fs::remove_file(&log).unwrap(),
            Harm::Link => {
                let elsewhere = self.folder.path().join("elsewhere");
                fs::rename(&log, &elsewhere).unwrap();
                std::os::unix::fs::symlink(&elsewhere, &log).unwrap();
            }
            Harm::RowDeleted => {
                let db = rusqlite::Connection::open(self.root()).unwrap();
                let sql = "DELETE FROM entries WHERE segment_id = ?1 AND seq = 1";
                assert_eq!(db.execute(sql, [segment(3).as_bytes().as_slice()]).unwrap(), 1);
            }
        }
    }
}

fn found(index: &Index, store: &dyn Backend, text: &str) -> Result<Target, SessionError> {
    match index.resolve(store, text, None)? {
        Resolution::Found(target) => Ok(target),
        other => panic!("{text:?} is {other:?}"),
    }
}

fn assert_damaged<T>(answer: Result<T, SessionError>, case: &str) {
    match answer {
        Err(SessionError::Store(StoreError::Corrupt(damage))) => {
            assert_eq!(damage.segment, Some(segment(3)), "{case}: {damage}");
        }
        Err(error) => panic!("{case}: {error:?}"),
        Ok(_) => panic!("{case}: another branch was answered"),
    }
}

/// Every harm, in a session that names its leaf and in one that does not, with the index as it was and without it. A log
/// that is not there can only be missed where it was named.
fn every_case() -> impl Iterator<Item = (&'static str, Harm, bool, bool)> {
    let harms = [
        ("fs", Harm::Empty),
        ("fs", Harm::Truncated),
        ("fs", Harm::Removed),
        ("fs", Harm::Link),
        ("sqlite", Harm::RowDeleted),
    ];
    let with_facts = harms.into_iter().flat_map(|(scheme, harm)| [(scheme, harm, true), (scheme, harm, false)]);
    with_facts
        .filter(|(_, harm, named)| *named || *harm != Harm::Removed)
        .flat_map(|(scheme, harm, named)| [(scheme, harm, named, true), (scheme, harm, named, false)])
        .filter(|(scheme, ..)| session_store::schemes().iter().any(|known| known == scheme))
}

#[test]
fn a_damaged_leaf_is_told_and_never_passed_over_for_another_branch() {
    for (scheme, harm, named, keep_index) in every_case() {
        let case = format!("{scheme} {harm:?}, named {named}, index kept {keep_index}");
        let place = Place::new(scheme, named);
        place.harm(harm);
        if !keep_index {
            place.remove_index();
        }
        let store = place.open();
        let (index, is_new) = place.ask(&*store);
        assert_eq!(is_new, !keep_index, "{case}");
        assert_damaged(current_leaf(&*store, session(1)), &case);
        for name in [&*session(1).to_string(), "native", "@last"] {
            assert_damaged(found(&index, &*store, name), &format!("{case}, {name}"));
        }
        // A segment that is named opens, and answers for itself.
        let other = found(&index, &*store, &segment(2).to_string()).unwrap();
        assert_eq!((other.segment, other.exact_segment), (segment(2), true), "{case}");
        restore(&*store, session(1), segment(2)).unwrap();
        if harm != Harm::Removed {
            let itself = found(&index, &*store, &segment(3).to_string()).unwrap();
            assert_eq!(itself.segment, segment(3), "{case}");
            assert_damaged(restore(&*store, session(1), segment(3)), &case);
        }
    }
}

#[test]
fn a_session_whose_leaf_is_damaged_is_listed_as_damaged_with_what_it_was_about() {
    for (scheme, harm, named, _) in every_case().filter(|(.., keep_index)| !keep_index) {
        let place = Place::new(scheme, named);
        place.harm(harm);
        place.remove_index();
        let store = place.open();
        let (index, _) = place.ask(&*store);
        let page = index.list(&ListQuery { kind: KindFilter::All, ..ListQuery::default() }).unwrap();
        let rows: Vec<_> = page.rows.iter().map(|row| (row.segment_id, row.damaged, row.title.as_deref())).collect();
        assert_eq!(rows, [(segment(3), true, Some("the question"))], "{scheme} {harm:?}, named {named}");
    }
}

#[cfg(feature = "fs")]
#[test]
fn a_lost_leaf_that_comes_back_is_whole_again() {
    let place = Place::new("fs", true);
    let bytes = fs::read(place.log()).unwrap();
    place.harm(Harm::Removed);
    place.remove_index();
    let store = place.open();
    let (index, _) = place.ask(&*store);
    assert!(index.summary(session(1)).unwrap().unwrap().damaged);
    fs::write(place.log(), bytes).unwrap();
    index.refresh(&*store).unwrap();
    assert!(!index.summary(session(1)).unwrap().unwrap().damaged);
    assert_eq!(found(&index, &*store, "native").unwrap().segment, segment(3));
}

#[test]
fn damage_beside_a_named_leaf_leaves_it_the_leaf() {
    for (scheme, harm, ..) in every_case().filter(|(.., named, keep_index)| *named && !keep_index) {
        let place = Place::new(scheme, true);
        let from = SegmentLocation { session_id: session(1), segment_id: segment(2) };
        let chosen = fork_at(&*place.open(), NOON, from, ForkPoint::End).unwrap();
        place.harm(harm);
        place.remove_index();
        let store = place.open();
        let (index, _) = place.ask(&*store);
        let leaf = found(&index, &*store, "native").unwrap();
        assert_eq!(leaf.segment, chosen.segment_id, "{scheme} {harm:?}");
        restore(&*store, leaf.session, leaf.segment).unwrap();
    }
}
