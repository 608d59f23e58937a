//! Whose a provider request is, and where the records of agents' files stand.

use proptest::prelude::*;
use session_store::UsageTotals;
use session_store::index::{ArchivedFilter, Index, KindFilter, ListQuery};
use store_core::{LogEntry, MemoryStore, SegmentId, SessionId, Store};

use super::world::{NOON, New, append, create, index_of, moves, origin, segment, session, uses};

fn usage(index: &Index, number: u64) -> (u64, u64) {
    let row = index.summary(session(number)).unwrap().unwrap();
    (row.usage.output_tokens, row.usage_inherited.output_tokens)
}

fn begin(store: &MemoryStore, number: u64, entries: Vec<(Option<&str>, LogEntry)>) {
    create(store, session(number), segment(number), New { agent: "pi", ..New::default() });
    let keyed = entries.into_iter().map(|(key, entry)| (key.map(str::to_owned), entry)).collect();
    append(store, segment(number), keyed);
}

fn fork(store: &MemoryStore, number: u64, of: (SessionId, SegmentId), seq: u64, entries: Vec<LogEntry>) {
    let forked_from = Some(origin(of.0, of.1, seq));
    create(store, session(number), segment(number), New { agent: "pi", forked_from, ..New::default() });
    append(store, segment(number), entries.into_iter().map(|entry| (None, entry)).collect());
}

#[test]
fn input_is_told_apart_from_what_the_cache_gave_and_took() {
    let store = MemoryStore::new();
    begin(&store, 1, vec![(None, uses(NOON, Some("r"), 7, None))]);
    let row = index_of(&store).summary(session(1)).unwrap().unwrap();
    let expected = UsageTotals {
        input_tokens: 60,
        output_tokens: 7,
        cache_read_tokens: 30,
        cache_write_tokens: 10,
        reasoning_tokens: 0,
        total_tokens: 107,
    };
    assert_eq!(row.usage, expected);
    assert_eq!(row.cost_usd, None, "unknown is not nothing");
}

#[test]
fn of_a_requests_repeats_the_largest_counts_wherever_it_stands() {
    let store = MemoryStore::new();
    begin(&store, 1, vec![(None, uses(NOON, Some("r"), 7, None)), (None, uses(NOON, Some("r"), 3, None))]);
    begin(&store, 2, vec![(None, uses(NOON, Some("r"), 9, None))]);
    let index = index_of(&store);
    assert_eq!((usage(&index, 1), usage(&index, 2)), ((9, 0), (0, 9)));
}

#[test]
fn a_request_belongs_to_the_folder_that_was_worked_in_where_it_stands_first() {
    let store = MemoryStore::new();
    create(&store, session(1), segment(1), New { agent: "pi", cwd: Some("/web"), ..New::default() });
    let entries = [
        uses(NOON + 1, Some("a"), 1, None),
        moves(NOON + 2, "/api"),
        uses(NOON + 3, Some("a"), 9, None),
        uses(NOON + 4, Some("b"), 2, None),
        moves(NOON + 5, "/end"),
    ];
    append(&store, segment(1), entries.map(|entry| (None, entry)).into());
    // Who continues it elsewhere takes nothing along.
    fork(&store, 2, (session(1), segment(1)), 5, vec![moves(NOON + 6, "/far"), uses(NOON + 7, Some("c"), 4, None)]);
    let all = index_of(&store).uses().unwrap();
    let folders: Vec<_> = all.iter().map(|one| (one.request.as_str(), one.project.as_deref())).collect();
    assert_eq!(folders, [("r:a", Some("/web")), ("r:b", Some("/api")), ("r:c", Some("/far"))]);
}

#[test]
fn a_fork_inherits_what_stands_before_the_point_where_it_left() {
    let store = MemoryStore::new();
    begin(
        &store,
        1,
        vec![
            (None, uses(NOON, Some("a"), 1, None)),
            (None, uses(NOON, None, 2, None)),
            (None, uses(NOON, None, 4, None)),
        ],
    );
    fork(&store, 2, (session(1), segment(1)), 3, vec![uses(NOON, Some("b"), 8, None)]);
    fork(&store, 3, (session(2), segment(2)), 2, vec![uses(NOON, Some("a"), 1, None), uses(NOON, Some("c"), 16, None)]);
    let index = index_of(&store);
    assert_eq!((usage(&index, 1), usage(&index, 2), usage(&index, 3)), ((7, 0), (8, 3), (16, 11)));
}

#[test]
fn an_ancestor_owns_what_its_descendant_repeats_even_if_it_was_born_later() {
    let store = MemoryStore::new();
    begin(&store, 9, vec![(None, uses(NOON, Some("a"), 1, None))]);
    fork(&store, 3, (session(9), segment(9)), 1, vec![uses(NOON, Some("a"), 1, None)]);
    let index = index_of(&store);
    assert_eq!((usage(&index, 9), usage(&index, 3)), ((1, 0), (0, 1)));
    begin(&store, 2, vec![(None, uses(NOON, Some("a"), 1, None))]);
    index.refresh(&store).unwrap();
    assert_eq!(usage(&index, 2), (1, 0), "of those that continue no other holder the oldest");
    assert_eq!((usage(&index, 9), usage(&index, 3)), ((0, 1), (0, 1)));
    store.delete_session(session(2)).unwrap();
    index.refresh(&store).unwrap();
    assert_eq!((usage(&index, 9), usage(&index, 3)), ((1, 0), (0, 1)));
}

#[test]
fn without_an_id_the_record_counts_once_in_its_session_and_never_merges_with_another_session() {
    let store = MemoryStore::new();
    let recorded = || vec![(Some("rec#2"), uses(NOON, None, 5, None)), (Some("rec2#0"), uses(NOON, None, 5, None))];
    begin(&store, 1, recorded());
    begin(&store, 2, recorded());
    // The same record in a second segment of the session, as when one takes the place of the other.
    create(&store, session(1), segment(20), New { agent: "pi", ..New::default() });
    append(&store, segment(20), vec![(Some("rec#1".to_owned()), uses(NOON, None, 5, None))]);
    let index = index_of(&store);
    assert_eq!((usage(&index, 1), usage(&index, 2)), ((10, 0), (10, 0)));
    let segments = index.segments(session(1)).unwrap();
    assert_eq!(segments.iter().map(|row| row.usage.output_tokens).collect::<Vec<_>>(), [10, 0]);
}

#[test]
fn a_cost_is_known_if_every_request_of_the_session_has_one() {
    let store = MemoryStore::new();
    begin(
        &store,
        1,
        vec![(None, uses(NOON, Some("a"), 1, Some("0.1"))), (None, uses(NOON, Some("b"), 1, Some("2e-1")))],
    );
    begin(&store, 2, vec![(None, uses(NOON, Some("a"), 1, None)), (None, uses(NOON, Some("c"), 1, Some("1.50")))]);
    begin(&store, 3, vec![(None, uses(NOON, Some("d"), 1, Some("1"))), (None, uses(NOON, Some("e"), 1, None))]);
    let index = index_of(&store);
    let cost = |number| index.summary(session(number)).unwrap().unwrap().cost_usd;
    assert_eq!(cost(1).as_deref(), Some("0.3"));
    assert_eq!(cost(2).as_deref(), Some("1.5"), "what it inherits is another's cost");
    assert_eq!(cost(3), None);
}

#[test]
fn records_are_found_with_their_last_entry_oldest_conversation_first() {
    let store = MemoryStore::new();
    let uuid = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
    let upper = uuid.to_uppercase();
    let keys = [format!("{uuid}#0"), format!("{uuid}#1"), format!("{upper}#0"), "a#b#0".to_owned(), "plain".to_owned()];
    for number in [5, 2] {
        create(
            &store,
            session(number),
            segment(number),
            New { agent: "claude", native_id: Some(format!("n{number}")), ..New::default() },
        );
        append(
            &store,
            segment(number),
            keys.iter().map(|key| (Some(key.clone()), uses(NOON, None, 1, None))).collect(),
        );
    }
    create(&store, session(1), segment(1), New { agent: "pi", key: Some("a#b#0"), ..New::default() });
    let index = index_of(&store);
    let homes = |agent: &str, record: &str| -> Vec<(SegmentId, u64)> {
        index.record_homes(agent, record).unwrap().iter().map(|home| (home.segment_id, home.seq.0)).collect()
    };
    assert_eq!(homes("claude", uuid), [(segment(2), 3), (segment(5), 3)]);
    assert_eq!(homes("claude", &upper), [(segment(2), 4), (segment(5), 4)], "another text is another record");
    assert_eq!(homes("claude", "a#b"), [(segment(2), 5), (segment(5), 5)]);
    assert_eq!(homes("pi", "a#b"), [(segment(1), 1)], "agents do not share records");
    assert_eq!(homes("claude", "plain"), [], "a key without a counter is no record's");
    let home = &index.records_of(session(5), uuid).unwrap()[..];
    assert_eq!(home.len(), 1);
    assert_eq!((home[0].native_id.as_deref(), home[0].birth_ms), (Some("n5"), session(5).timestamp_ms()));

    store.delete_session(session(2)).unwrap();
    index.refresh(&store).unwrap();
    assert_eq!(index.record_homes("claude", uuid).unwrap().len(), 1);
}

#[test]
fn an_agents_own_id_finds_its_segments() {
    let store = MemoryStore::new();
    create(
        &store,
        session(1),
        segment(1),
        New { agent: "claude", native_id: Some("agent-1".into()), ..New::default() },
    );
    create(&store, session(2), segment(2), New { agent: "pi", native_id: Some("agent-1".into()), ..New::default() });
    let index = index_of(&store);
    let found = |agent| -> Vec<SegmentId> {
        index.find_native(agent, "agent-1").unwrap().iter().map(|home| home.segment_id).collect()
    };
    assert_eq!(
        (found(None), found(Some("pi")), found(Some("codex"))),
        (vec![segment(1), segment(2)], vec![segment(2)], vec![])
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the order in which copies and forks come, each request counts once in the whole store.
    #[test]
    fn the_sum_over_all_sessions_is_the_sum_over_all_requests(
        held in proptest::collection::vec((0..8_usize, 0..10_u64, any::<bool>()), 1..30),
    ) {
        let store = MemoryStore::new();
        let index = index_of(&store);
        let mut largest = [0_u64; 10];
        for (at, (number, request, refresh)) in held.iter().enumerate() {
            let number = *number as u64;
            if !store.exists(session(number)).unwrap() {
                let parent = store.list_sessions().unwrap().first().copied();
                let forked_from = parent.filter(|_| at % 2 == 0).map(|parent| origin(parent, store.list_segments(parent).unwrap()[0], 1));
                create(&store, session(number), segment(number), New { agent: "pi", forked_from, ..New::default() });
            }
            let output = (at as u64 * 7) % 11 + 1;
            let slot = usize::try_from(*request).unwrap();
            largest[slot] = largest[slot].max(output);
            append(&store, segment(number), vec![(None, uses(NOON, Some(&format!("r{request}")), output, None))]);
            if *refresh {
                index.refresh(&store).unwrap();
            }
        }
        index.refresh(&store).unwrap();
        let all = ListQuery { kind: KindFilter::All, archived: ArchivedFilter::All, ..ListQuery::default() };
        let page = index.list(&all).unwrap();
        let sum: u64 = page.rows.iter().map(|row| row.usage.output_tokens).sum();
        prop_assert_eq!(sum, largest.iter().sum::<u64>());
        prop_assert_eq!(page, index_of(&store).list(&all).unwrap());
    }
}
