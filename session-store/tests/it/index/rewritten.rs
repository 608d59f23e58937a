//! Logs that are not what the index read: repaired ones whose end stands where it stood, lines that stand twice, look-ups that are lost.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use session_store::index::{self, Index};
use session_store::{OpenOptions, open};
use store_core::integrity::MaintenanceOptions;
use store_core::{Backend, SegmentId};

use super::world::{NOON, New, append, create, index_of, says, segment, session};

struct Place {
    scheme: &'static str,
    folder: tempfile::TempDir,
}

fn places() -> impl Iterator<Item = Place> {
    let known =
        ["fs", "sqlite"].into_iter().filter(|scheme| session_store::schemes().iter().any(|known| known == scheme));
    known.map(|scheme| {
        let place = Place { scheme, folder: tempfile::tempdir().unwrap() };
        let store = place.open();
        for n in [1, 2] {
            let new = New { agent: "claude", native_id: Some(format!("native {n}")), ..New::default() };
            create(&*store, session(n), segment(n), new);
            for line in 1..=40 {
                append(&*store, segment(n), vec![(None, says(NOON + line, &format!("line {line}")))]);
            }
        }
        place
    })
}

impl Place {
    fn root(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn open(&self) -> Arc<dyn Backend> {
        open(&format!("{}:{}", self.scheme, self.root().display()), &OpenOptions::at(NOON)).unwrap()
    }

    fn log(&self, n: u64) -> PathBuf {
        self.root().join(session(n).to_string()).join(format!("{}.jsonl", segment(n)))
    }

    /// Spoils an entry of segment 1.
    fn spoil(&self, seq: u32) {
        if self.scheme == "sqlite" {
            let db = rusqlite::Connection::open(self.root()).unwrap();
            let sql = "UPDATE entries SET body = body || ' ' WHERE segment_id = ?1 AND seq = ?2";
            assert_eq!(db.execute(sql, (segment(1).as_bytes().as_slice(), seq)).unwrap(), 1);
            return;
        }
        let text = fs::read_to_string(self.log(1)).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let line = &mut lines[seq as usize - 1];
        *line = line.replace("kind", "kinD");
        fs::write(self.log(1), lines.join("\n") + "\n").unwrap();
    }
}

fn is_damaged(index: &Index, n: u64) -> bool {
    index.summary(session(n)).unwrap().unwrap().damaged
}

/// The last entry stood where it stood, so the index went on telling the conversation as it was before the damage.
#[test]
fn what_was_repaired_is_read_anew_whoever_saw_the_repair() {
    for place in places() {
        for (seq, saw_damage) in [(10, false), (10, true), (1, false)] {
            let store = place.open();
            let index = index_of(&*store);
            place.spoil(seq);
            let store = place.open();
            if saw_damage {
                append(&*store, segment(1), vec![(None, says(NOON + 99, "behind it"))]);
                index.refresh(&*store).unwrap();
            }
            drop((index, store));
            let done = place.open().integrity().unwrap().repair(session(1), segment(1), &MaintenanceOptions::default());
            assert!(done.unwrap().migration_id.is_some());
            let store = place.open();
            let found = index::check(&*store, true).unwrap().unwrap();
            assert_eq!(found.findings, Vec::<String>::new(), "{} {seq} {saw_damage}", place.scheme);
            assert!(found.compared);
            let (kept, anew) = (index_of(&*store), Index::open(&*store).unwrap());
            anew.refresh(&*store).unwrap();
            let row = kept.summary(session(1)).unwrap().unwrap();
            assert!(!row.damaged);
            assert_eq!(row.agent.is_none(), seq == 1, "{}", place.scheme);
        }
    }
}

/// Where lines stand twice or in another order, a few of them can be read at a time, and nothing was noticed.
#[test]
fn lines_that_stand_twice_or_in_another_order_are_damage_to_a_list_too() {
    let edits: [fn(&mut Vec<&str>); 3] =
        [|lines| lines.insert(10, lines[9]), |lines| lines.swap(10, 11), |lines| lines.extend(lines.clone())];
    for place in places().filter(|place| place.scheme == "fs") {
        let whole = fs::read_to_string(place.log(1)).unwrap();
        for edit in edits {
            let mut lines: Vec<&str> = whole.lines().collect();
            edit(&mut lines);
            fs::write(place.log(1), lines.join("\n") + "\n").unwrap();
            let store = place.open();
            fs::remove_file(store.info().projection_path.unwrap()).unwrap_or_default();
            let index = index_of(&*store);
            for _ in 0..3 {
                assert!(is_damaged(&index, 1) && !is_damaged(&index, 2));
                index.refresh(&*store).unwrap();
            }
            drop(store);
            fs::write(place.log(1), &whole).unwrap();
            let store = place.open();
            index.refresh(&*store).unwrap();
            assert!(!is_damaged(&index, 1));
            assert_eq!(index.summary(session(1)).unwrap().unwrap().entries, 41);
        }
    }
}

fn look_ups(place: &Place, segment: SegmentId) -> PathBuf {
    let id = segment.to_string();
    place.root().join("by-segment").join(&id[id.len() - 2..]).join(&id)
}

#[test]
fn a_conversation_whose_look_up_is_lost_is_listed() {
    for place in places().filter(|place| place.scheme == "fs") {
        for all in [false, true] {
            if all {
                fs::remove_dir_all(place.root().join("by-segment")).unwrap();
            } else {
                fs::remove_file(look_ups(&place, segment(1))).unwrap();
            }
            let store = place.open();
            fs::remove_file(store.info().projection_path.unwrap()).unwrap_or_default();
            let index = index_of(&*store);
            for n in [1, 2] {
                assert_eq!(index.summary(session(n)).unwrap().unwrap().entries, 41);
                assert_eq!(index.find_native(None, &format!("native {n}")).unwrap().len(), 1);
            }
        }
    }
}

/// A log that is gone stays known as long as anything beside it says that it was there.
#[test]
fn a_conversation_whose_log_is_gone_is_listed() {
    for place in places().filter(|place| place.scheme == "fs") {
        let store = place.open();
        let new = store_core::integrity::NewCheckpoint { now: NOON, reason: "test".to_owned(), name: None };
        store.integrity().unwrap().checkpoint(session(1), segment(1), &new).unwrap();
        drop(index_of(&*store));
        drop(store);
        fs::remove_file(place.log(1)).unwrap();
        let store = place.open();
        // What the index knew is better than nothing.
        let row = index_of(&*store).summary(session(1)).unwrap().unwrap();
        assert_eq!((row.entries, row.agent.as_deref()), (41, Some("claude")));
        fs::remove_file(store.info().projection_path.unwrap()).unwrap();
        let row = index_of(&*store).summary(session(1)).unwrap().unwrap();
        assert_eq!((row.damaged, row.entries), (true, 0));
    }
}
