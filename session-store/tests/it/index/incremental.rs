//! An index that followed a store step by step says the same as one that read it at once.

use proptest::prelude::*;
use serde_json::{Value, json};
use session_store::index::{ArchivedFilter, Index, KindFilter, ListQuery, Refreshed};
use session_store::{
    CurrentLeaf, SegmentLocation, SessionFact, ShowOptions, TitleBy, current_leaf, leaves, restore, transcript,
};
use store_core::{MemoryStore, SegmentId, Seq, SessionId, Store, StoreError};

use super::world::{
    NOON, New, answers, append, calls, create, ends, index_of, moves, origin, put, says, segment, session, title, uses,
};

/// What happens to a store. Numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    Begin { session: u64 },
    Fork { from: usize, at: u64, into: Option<u64>, compacted: bool },
    Append { to: usize, what: u8, number: u8 },
    Say { about: usize, what: u8, number: u8 },
    Delete { session: usize },
    Refresh,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..6_u64).prop_map(|session| Step::Begin { session }),
        4 => (any::<usize>(), any::<u64>(), proptest::option::of(0..6_u64), any::<bool>())
            .prop_map(|(from, at, into, compacted)| Step::Fork { from, at, into, compacted }),
        12 => (any::<usize>(), 0..8_u8, 0..6_u8).prop_map(|(to, what, number)| Step::Append { to, what, number }),
        3 => (any::<usize>(), 0..6_u8, 0..6_u8).prop_map(|(about, what, number)| Step::Say { about, what, number }),
        1 => any::<usize>().prop_map(|session| Step::Delete { session }),
        4 => Just(Step::Refresh),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Segments of the store in order, so that a number chooses the same in every run.
fn segments(store: &MemoryStore) -> Vec<(SessionId, SegmentId)> {
    let mut all: Vec<(SessionId, SegmentId)> = Vec::new();
    for session in store.list_sessions().unwrap() {
        all.extend(store.list_segments(session).unwrap().into_iter().map(|segment| (session, segment)));
    }
    all.sort_unstable();
    all
}

/// Ids that do not follow the order in which segments are made.
fn next_id(made: &mut u64) -> SegmentId {
    *made += 1;
    segment(*made * 7 % 101)
}

fn apply(store: &MemoryStore, step: &Step, made: &mut u64) {
    let all = segments(store);
    let chosen = |number: usize| all.get(number % all.len().max(1)).copied();
    match *step {
        Step::Begin { session: number } => {
            let new =
                New { agent: "pi", native_id: Some(format!("native-{made}")), cwd: Some("/home/a"), ..New::default() };
            create(store, session(number), next_id(made), New { key: Some("head#0"), ..new });
        }
        Step::Fork { from, at, into, compacted } => {
            let Some((from_session, from)) = chosen(from) else { return };
            let count = store.read_entry_count(from_session, from).unwrap();
            let point = Some(origin(from_session, from, 1 + at % count));
            let (forked_from, compacted_from) = if compacted { (None, point) } else { (point, None) };
            let summary = compacted.then_some("what was said");
            let into = into.map_or(from_session, session);
            create(
                store,
                into,
                next_id(made),
                New { agent: "pi", forked_from, compacted_from, summary, ..New::default() },
            );
        }
        Step::Append { to, what, number } => {
            let Some((_, to)) = chosen(to) else { return };
            let ts = NOON + u64::from(number) * 60_000;
            let request = format!("request-{number}");
            let (key, entry) = match what {
                0 => (Some("p"), says(ts, "please\nnow")),
                1 => (Some("a"), answers(ts, "what was said")),
                2 => (None, calls(ts, "c")),
                3 => (None, ends(ts, 1)),
                4 => (None, moves(ts, if number % 2 == 0 { "/home/b/c" } else { "/srv" })),
                5 => (Some("u"), uses(ts, Some(&request), u64::from(number) + *made, Some("0.25"))),
                6 => (Some("n"), uses(ts, None, u64::from(number), None)),
                _ => (None, uses(ts, None, 9, Some("1e-3"))),
            };
            *made += 1;
            append(store, to, vec![(key.map(|key| format!("{key}{number}#{made}")), entry)]);
        }
        Step::Say { about, what, number } => {
            let Some((about, segment)) = chosen(about) else { return };
            let fact = match what {
                0 => title(["one", "two", ""][usize::from(number) % 3], TitleBy::Person),
                1 => title("made up", TitleBy::Agent),
                2 => SessionFact::Archived(number % 2 == 0),
                3 => SessionFact::Trashed(number % 3 == 0),
                4 => SessionFact::CurrentLeaf(CurrentLeaf { segment_id: segment, seq: Seq(1) }),
                _ => SessionFact::Superseded(segment),
            };
            put(store, about, &fact);
        }
        Step::Delete { session } => {
            let Some((session, _)) = chosen(session) else { return };
            match store.delete_session(session) {
                Ok(()) | Err(StoreError::Referenced { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        Step::Refresh => {}
    }
}

/// All that an index says.
fn said(index: &Index, store: &MemoryStore) -> Value {
    let query = ListQuery { kind: KindFilter::All, archived: ArchivedFilter::All, ..ListQuery::default() };
    let page = index.list(&query).unwrap();
    let mut all = vec![json!(page), json!(index.list(&ListQuery::default()).unwrap())];
    for folder in ["/home", "/srv", "/home/b/c", "/hom"] {
        all.push(json!(index.list(&ListQuery { cwd: Some(folder.to_owned()), ..query.clone() }).unwrap()));
    }
    for (session, _) in segments(store) {
        all.push(json!(index.segments(session).unwrap()));
        all.push(json!(index.summary(session).unwrap()));
    }
    for letter in ["p", "a", "u", "n", "head"] {
        for number in ["", "0", "1", "2", "3", "4", "5"] {
            let record = format!("{letter}{number}");
            all.push(json!(format!("{record}: {:?}", index.record_homes("pi", &record).unwrap())));
        }
    }
    for number in 0..60 {
        let native = format!("native-{number}");
        all.push(json!(format!("{:?}", index.find_native(Some("pi"), &native).unwrap())));
    }
    Value::Array(all)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn following_a_store_and_reading_it_at_once_give_the_same(steps in steps()) {
        let store = MemoryStore::new();
        let follower = index_of(&store);
        let mut made = 0;
        for step in &steps {
            apply(&store, step, &mut made);
            if matches!(step, Step::Refresh) {
                follower.refresh(&store).unwrap();
            }
        }
        follower.refresh(&store).unwrap();
        prop_assert_eq!(said(&follower, &store), said(&index_of(&store), &store));
        agrees_with_the_logs(&follower, &store)?;
    }
}

/// Lists say what reading the logs says.
fn agrees_with_the_logs(index: &Index, store: &MemoryStore) -> Result<(), TestCaseError> {
    for session in store.list_sessions().unwrap() {
        let row = index.summary(session).unwrap().unwrap();
        prop_assert_eq!(row.segment_id, current_leaf(store, session).unwrap());
        let shown = transcript(store, session, row.segment_id, &ShowOptions::default()).unwrap();
        let messages = shown.messages.iter().filter(|row| row.kind.is_message()).count();
        prop_assert_eq!(row.messages, messages as u64);
        prop_assert_eq!(row.cwd, shown.config.cwd);
        let state = restore(store, session, row.segment_id).unwrap();
        prop_assert_eq!(row.turns, state.turn_count);
        let entries: u64 = store
            .list_segments(session)
            .unwrap()
            .into_iter()
            .map(|id| store.read_entry_count(session, id).unwrap())
            .sum();
        prop_assert_eq!(row.entries, entries);
        let segments = index.segments(session).unwrap();
        let mut marked: Vec<SegmentId> = segments.iter().filter(|row| row.leaf).map(|row| row.segment_id).collect();
        marked.sort_unstable();
        prop_assert_eq!(marked, leaves(store, session).unwrap());
    }
    Ok(())
}

#[test]
fn a_store_that_is_read_in_several_transactions_is_read_whole() {
    let store = MemoryStore::new();
    for number in 1..=4 {
        let parent = (number > 1).then(|| origin(session(number - 1), segment(number - 1), 7_777));
        create(&store, session(number), segment(number), New { agent: "pi", forked_from: parent, ..New::default() });
        let told = (0..4_500).flat_map(|at| [(None, says(NOON + at, "again")), (None, ends(NOON + at, at))]);
        append(&store, segment(number), told.collect());
    }
    let index = index_of(&store);
    for number in 1..=4 {
        let row = index.summary(session(number)).unwrap().unwrap();
        let own = 4_500 + (number - 1) * 3_888;
        assert_eq!((row.entries, row.messages, row.turns), (9_001, own, own), "session {number}");
    }
}

#[test]
fn a_writer_has_what_it_wrote_brought_in_without_the_rest() {
    let store = MemoryStore::new();
    let index = index_of(&store);
    for number in 1..=3 {
        create(&store, session(number), segment(number), New { agent: "pi", ..New::default() });
        append(&store, segment(number), vec![(Some("rec#0".to_owned()), says(NOON, "hello"))]);
    }
    let written = SegmentLocation { session_id: session(2), segment_id: segment(2) };
    let done = index.refresh_segments(&store, &[written]).unwrap();
    assert_eq!(done, Refreshed { segments: 1, sessions: 1 });
    let homes = index.record_homes("pi", "rec").unwrap();
    assert_eq!(homes.iter().map(|home| home.segment_id).collect::<Vec<_>>(), [segment(2)]);
    index.refresh(&store).unwrap();
    assert_eq!(said(&index, &store), said(&index_of(&store), &store));
}
