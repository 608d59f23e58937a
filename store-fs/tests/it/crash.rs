//! A process that dies in any call to the disk: each step of a script is done or not done, and can be done again.

use std::collections::BTreeMap;
use std::sync::Arc;

use store_core::{
    CreateOptions, Fact, FactScope, Position, Result, SegmentId, SegmentOrigin, Seq, SessionId, Store as _,
};
use store_fs::{FsStore, OpenAs};

use crate::faults::{FaultyDisk, Plan, open_without_syncs};
use crate::support::{Folder, NOW, append, names, note, options, segment, session, start};

/// A segment that no script has.
const ANOTHER: u64 = 9;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Segment n of session n.
    Create(u64),
    /// Segment n of session n, forked from segment m after its first entry.
    Fork(u64, u64),
    /// Segment n in session m, which exists.
    CreateIn(u64, u64),
    Append(u64, &'static [u64]),
    Fact(u64),
    Delete(u64),
}

const SCRIPT: [Step; 12] = [
    Step::Create(1),
    Step::Append(1, &[1]),
    Step::Append(1, &[2, 3, 4]),
    Step::Fork(2, 1),
    Step::Append(2, &[5, 6]),
    Step::Fact(1),
    Step::CreateIn(3, 1),
    Step::Delete(2),
    Step::Fact(1),
    Step::Append(1, &[7]),
    Step::Create(2),
    Step::Delete(1),
];

fn take(store: &FsStore, step: Step) -> Result<()> {
    let create = |n: u64, of: SessionId, origin: Option<SegmentOrigin>| -> Result<Vec<Position>> {
        store.create_segment(of, segment(n), &[start(of, origin), note(100 + n)], &CreateOptions::default())
    };
    match step {
        Step::Create(n) => create(n, session(n), None).map(|_| ()),
        Step::Fork(n, m) => {
            let origin =
                SegmentOrigin { session_id: session(m), segment_id: segment(m), seq: Seq(1), at_turn_index: 0 };
            create(n, session(n), Some(origin)).map(|_| ())
        }
        Step::CreateIn(n, m) => create(n, session(m), None).map(|_| ()),
        Step::Append(n, notes) => append(store, n, notes).map(|_| ()),
        Step::Fact(n) => {
            let fact = Fact { ts: NOW, domain: "title".into(), value: n.into() };
            store.put_fact(FactScope::Session(session(n)), &fact)
        }
        Step::Delete(n) => store.delete_session(session(n)),
    }
}

/// Everything that a store says of itself.
#[derive(Debug, PartialEq)]
struct State {
    texts: BTreeMap<(SessionId, SegmentId), Vec<String>>,
    facts: BTreeMap<SessionId, usize>,
}

fn observe(store: &FsStore) -> State {
    let mut state = State { texts: BTreeMap::new(), facts: BTreeMap::new() };
    for id in store.list_sessions().unwrap() {
        state.facts.insert(id, store.facts(FactScope::Session(id)).unwrap().len());
        for segment in store.list_segments(id).unwrap() {
            assert_eq!(store.lookup_session_of(segment).unwrap(), Some(id));
            let records = store.read_range(id, segment, Seq::START, usize::MAX).unwrap();
            assert_eq!(store.read_entry_count(id, segment).unwrap(), records.len() as u64);
            state.texts.insert((id, segment), records.into_iter().map(|record| record.text).collect());
        }
    }
    for n in 1..=3 {
        let listed = state.texts.keys().any(|(_, id)| *id == segment(n));
        assert_eq!(store.lookup_session_of(segment(n)).unwrap().is_some(), listed);
    }
    state
}

fn states() -> Vec<State> {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    let mut states = vec![observe(&store)];
    for step in SCRIPT {
        take(&store, step).unwrap();
        states.push(observe(&store));
    }
    states
}

/// How many steps were taken before the disk died.
fn run_until_death(folder: &Folder, calls: u64) -> usize {
    let disk = Arc::new(FaultyDisk(Plan::dies_after(calls)));
    let Ok(store) = FsStore::open_on(disk, &folder.root(), OpenAs::Shared, &options()) else { return 0 };
    SCRIPT.iter().take_while(|step| take(&store, **step).is_ok()).count()
}

#[test]
fn a_process_that_dies_in_any_call_leaves_each_step_done_or_not_done() {
    let states = states();
    let mut deaths = 0;
    for calls in 1.. {
        let folder = Folder::new();
        let done = run_until_death(&folder, calls);
        let store = open_without_syncs(&folder);
        let found = observe(&store);
        let at = if found == states[done] {
            done
        } else {
            assert_eq!(Some(&found), states.get(done + 1), "death in call {calls}, {done} steps done");
            done + 1
        };
        for step in &SCRIPT[at..] {
            take(&store, *step).unwrap_or_else(|error| panic!("death in call {calls}, {step:?}: {error}"));
        }
        assert_eq!(observe(&store), states[SCRIPT.len()], "death in call {calls}");
        take(&open_without_syncs(&folder), Step::Create(ANOTHER)).unwrap();
        let leftovers = names(&folder.root()).into_iter().filter(|name| name.starts_with(".new-")).count();
        assert_eq!(leftovers, 0, "death in call {calls}");
        if done == SCRIPT.len() {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 100, "{deaths}");
}

/// Clearing away what was deleted took the look-up entry of the segment that had been created in its place.
#[test]
fn what_a_stopped_deletion_left_is_cleared_without_touching_what_came_after() {
    let mut stopped = 0;
    for calls in 1.. {
        let folder = Folder::new();
        let living = open_without_syncs(&folder);
        take(&living, Step::Create(1)).unwrap();
        let disk = Arc::new(FaultyDisk(Plan::dies_after(calls)));
        let dying = FsStore::open_on(disk, &folder.root(), OpenAs::Shared, &options());
        let deleted = dying.is_ok_and(|dying| take(&dying, Step::Delete(1)).is_ok());
        let left = names(&folder.root()).into_iter().filter(|name| name.starts_with(".new-")).count();
        if !living.exists(session(1)).unwrap() {
            take(&living, Step::Create(1)).unwrap();
            stopped += left;
        }
        let store = open_without_syncs(&folder);
        assert_eq!(store.lookup_session_of(segment(1)).unwrap(), Some(session(1)), "death in call {calls}");
        take(&store, Step::Append(1, &[1])).unwrap();
        take(&store, Step::Create(ANOTHER)).unwrap();
        assert!(!names(&folder.root()).iter().any(|name| name.starts_with(".new-")), "death in call {calls}");
        if deleted && left == 0 {
            break;
        }
    }
    assert!(stopped > 2, "{stopped}");
}

#[test]
fn what_a_process_changed_before_it_died_is_named_to_others() {
    for calls in 1.. {
        let folder = Folder::new();
        let watcher = open_without_syncs(&folder);
        let before = observe(&watcher);
        let cursor = watcher.changes(None).unwrap().cursor;
        let done = run_until_death(&folder, calls);
        let changes = watcher.changes(Some(&cursor)).unwrap();
        let after = observe(&watcher);
        for (key, texts) in &after.texts {
            assert!(before.texts.get(key) == Some(texts) || changes.segments.contains(key), "death in call {calls}");
        }
        let created: Vec<SessionId> =
            (1..=2).map(session).take(usize::from(done > 0) + usize::from(done > 3)).collect();
        assert!(created.iter().all(|id| changes.sessions.contains(id)), "death in call {calls}: {changes:?}");
        // Asked once more, by somebody who was not there, from the same place.
        let again = open_without_syncs(&folder).changes(Some(&cursor)).unwrap();
        assert_eq!((again.sessions, again.segments), (changes.sessions, changes.segments), "death in call {calls}");
        assert_eq!(names(&folder.root().join("live")), Vec::<String>::new(), "death in call {calls}");
        if done == SCRIPT.len() {
            break;
        }
    }
}
