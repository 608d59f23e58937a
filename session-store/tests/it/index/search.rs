//! Full text: what is found, in which order, and that it stays true to the logs.

use serde_json::json;
use session_store::index::{
    ArchivedFilter, Index, KindFilter, ListQuery, SearchHit, SearchHits, SearchProgress, SearchQuery, check,
};
use session_store::query::Query;
use session_store::{SessionError, SessionFact, TitleBy};
use store_core::integrity::{MaintenanceOptions, NewCheckpoint};
use store_core::{
    Backend, Content, Item, ItemEntry, LogEntry, MemoryStore, Part, SessionKind, Store, UserInput, Watch as _,
};

use super::file::Disk;
use super::world::{NOON, New, answers, append, create, ends, index_of, origin, put, says, segment, session, title};

fn query(text: &str) -> SearchQuery {
    let query = Query::parse(text, &|_| Ok(NOON));
    let among = ListQuery { kind: KindFilter::All, archived: ArchivedFilter::All, ..ListQuery::default() };
    SearchQuery { query, among, ..SearchQuery::default() }
}

fn read_all(index: &Index, store: &dyn Backend) -> SearchProgress {
    index.refresh(store).unwrap();
    let mut progress = SearchProgress::default();
    while index.read_texts(store, &mut progress).unwrap() {}
    progress
}

fn search(index: &Index, store: &dyn Backend, text: &str) -> SearchHits {
    read_all(index, store);
    index.search(store, &query(text)).unwrap()
}

/// The session's number and seq of each hit.
fn places(hits: &SearchHits) -> Vec<(u64, u64)> {
    let number = |hit: &SearchHit| (0..20).find(|number| session(*number) == hit.session_id).unwrap();
    hits.hits.iter().map(|hit| (number(hit), hit.seq.0)).collect()
}

/// A conversation with one entry of each sort that can be searched.
fn talk(store: &MemoryStore, number: u64) {
    create(
        store,
        session(number),
        segment(number),
        New { agent: "codex", cwd: Some("/home/dev/web"), ..New::default() },
    );
    let at = NOON + number * 60_000;
    let call =
        Item::ToolCall { call_id: "c".into(), name: "shell".into(), arguments: json!({"cmd": ["ls\n-Kamel"], "n": 7}) };
    let result = Item::ToolResult { call_id: "c".into(), parts: vec![Part::text("Élan.txt")], is_error: false };
    let thought = Item::Reasoning { text: "perhaps a mongoose".into(), signature: None, encrypted: None };
    let entries = [
        says(at, "Where is the zebra?"),
        LogEntry::AssistantItem(ItemEntry { ts: at + 1, item: thought }),
        LogEntry::AssistantItem(ItemEntry { ts: at + 2, item: call }),
        LogEntry::ToolResult(ItemEntry { ts: at + 3, item: result }),
        answers(at + 4, "The zebra is behind the house."),
        ends(at + 5, 1),
    ];
    append(store, segment(number), entries.into_iter().map(|entry| (None, entry)).collect());
}

#[test]
fn everything_that_a_person_can_read_is_found_whoever_said_it() {
    let store = MemoryStore::new();
    talk(&store, 1);
    let index = index_of(&store);
    let said = |text: &str| {
        let hits = search(&index, &store, text).hits;
        hits.into_iter().map(|hit| (hit.seq.0, serde_json::to_value(hit.role).unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(said("ZEBRA"), [(6, json!("assistant")), (2, json!("user"))]);
    assert_eq!(said("mongoose"), [(3, json!("assistant"))]);
    assert_eq!(said("kamel"), [(4, json!("assistant"))], "arguments are texts, not their escapes");
    assert_eq!(said("shell 7"), [(4, json!("assistant"))]);
    assert_eq!(said("elan"), [(5, json!("tool"))]);
    assert_eq!(said("\"the house\""), [(6, json!("assistant"))]);
    assert_eq!(said("\"house the\""), []);
    assert_eq!(said("zeb"), []);
    assert_eq!(said("zeb*"), [(6, json!("assistant")), (2, json!("user"))]);
    assert_eq!(said("zebra -house"), [(2, json!("user"))]);
}

#[test]
fn the_newest_conversation_comes_first_and_limits_keep_the_total() {
    let store = MemoryStore::new();
    (1..=3).for_each(|number| talk(&store, number));
    let index = index_of(&store);
    assert_eq!(places(&search(&index, &store, "zebra")), [(3, 6), (3, 2), (2, 6), (2, 2), (1, 6), (1, 2)]);
    let few = SearchQuery { limit: Some(2), per_session: Some(1), ..query("zebra") };
    let few = index.search(&store, &few).unwrap();
    assert_eq!((places(&few), few.total, few.sessions), (vec![(3, 6), (2, 6)], 6, 3));
}

#[test]
fn filters_and_operators_hold_of_the_conversation() {
    let store = MemoryStore::new();
    (1..=3).for_each(|number| talk(&store, number));
    create(&store, session(4), segment(4), New { agent: "pi", kind: SessionKind::Subagent, ..New::default() });
    append(&store, segment(4), vec![(None, says(NOON, "a zebra"))]);
    put(&store, session(1), &SessionFact::Trashed(true));
    put(&store, session(2), &SessionFact::Archived(true));
    put(&store, session(3), &title("Animals", TitleBy::Person));
    let index = index_of(&store);
    let found = |text: &str| {
        let mut sessions: Vec<u64> =
            places(&search(&index, &store, text)).into_iter().map(|(number, _)| number).collect();
        sessions.dedup();
        sessions
    };
    assert_eq!(found("zebra"), [3, 2, 4], "what is in the trash is not searched");
    assert_eq!(found("zebra agent:codex"), [3, 2]);
    assert_eq!(found("zebra -agent:codex"), [4]);
    assert_eq!(found("zebra is:archived"), [2]);
    assert_eq!(found("zebra cwd:WEB -is:archived"), [3]);
    let among = ListQuery { cwd: Some("/home/dev".into()), ..ListQuery::default() };
    let hits = index.search(&store, &SearchQuery { among, ..query("zebra") }).unwrap();
    assert_eq!(places(&hits), [(3, 6), (3, 2)]);
    assert_eq!(hits.hits[0].title.as_deref(), Some("Animals"));
    assert_eq!(found("zebra is:live"), [0; 0]);
    let lease = store.lease(session(2), segment(2), "an agent", NOON).unwrap();
    assert_eq!((found("zebra is:live"), found("zebra -is:live")), (vec![2], vec![3, 4]));
    drop(lease);
    assert_eq!((found("zebra is:compacted"), found("zebra -is:compacted")), (vec![], vec![3, 2, 4]));
    let from = origin(session(2), segment(2), 2);
    create(&store, session(2), segment(5), New { compacted_from: Some(from), ..New::default() });
    index.refresh(&store).unwrap();
    assert_eq!((found("zebra is:compacted"), found("zebra -is:compacted")), (vec![2], vec![3, 4]));
}

#[test]
fn what_is_new_is_read_and_nothing_else() {
    let store = MemoryStore::new();
    talk(&store, 1);
    talk(&store, 2);
    let index = index_of(&store);
    assert_eq!(read_all(&index, &store), SearchProgress { segments: 2, segments_total: 2, entries: 14 });
    assert_eq!(read_all(&index, &store), SearchProgress::default());
    append(&store, segment(1), vec![(None, says(NOON, "and the giraffe?"))]);
    assert_eq!(read_all(&index, &store), SearchProgress { segments: 1, segments_total: 1, entries: 1 });
    assert_eq!(places(&search(&index, &store, "giraffe")), [(1, 8)]);
    assert_eq!(search(&index, &store, "zebra").total, 4, "nothing is found twice");
}

#[test]
fn a_fork_says_only_what_is_its_own() {
    let store = MemoryStore::new();
    talk(&store, 1);
    let forked_from = Some(origin(session(1), segment(1), 6));
    create(&store, session(2), segment(2), New { agent: "codex", forked_from, ..New::default() });
    append(&store, segment(2), vec![(None, says(NOON + 600_000, "another zebra"))]);
    let index = index_of(&store);
    assert_eq!(places(&search(&index, &store, "zebra")), [(2, 2), (1, 6), (1, 2)]);
}

#[test]
fn a_summary_is_found_and_a_superseded_segment_is_not() {
    let store = MemoryStore::new();
    talk(&store, 1);
    let compacted_from = Some(origin(session(1), segment(1), 7));
    create(
        &store,
        session(1),
        segment(2),
        New { agent: "codex", compacted_from, summary: Some("We looked for okapis."), ..New::default() },
    );
    let index = index_of(&store);
    assert_eq!(search(&index, &store, "okapis").hits[0].segment_id, segment(2));
    put(&store, session(1), &SessionFact::Superseded(segment(1)));
    assert_eq!(search(&index, &store, "zebra").total, 0);
    assert_eq!(search(&index, &store, "okapis").total, 1);
}

#[test]
fn what_is_gone_is_not_found() {
    let store = MemoryStore::new();
    talk(&store, 1);
    talk(&store, 2);
    let index = index_of(&store);
    assert_eq!(search(&index, &store, "zebra").total, 4);
    store.delete_session(session(2)).unwrap();
    assert_eq!(places(&search(&index, &store, "zebra")), [(1, 6), (1, 2)]);
}

#[test]
fn a_log_that_was_rolled_back_is_read_anew() {
    let store = MemoryStore::new();
    talk(&store, 1);
    let integrity = store.integrity().unwrap();
    let checkpoint = integrity.checkpoint(session(1), segment(1), &NewCheckpoint::default()).unwrap().number;
    append(&store, segment(1), vec![(None, says(NOON, "the gnu"))]);
    let index = index_of(&store);
    assert_eq!(places(&search(&index, &store, "gnu")), [(1, 8)]);
    integrity.rollback(session(1), segment(1), checkpoint, &MaintenanceOptions::default()).unwrap();
    append(&store, segment(1), vec![(None, says(NOON, "the emu"))]);
    assert_eq!(search(&index, &store, "gnu").total, 0);
    assert_eq!(places(&search(&index, &store, "emu")), [(1, 8)]);
    assert_eq!(search(&index, &store, "zebra").total, 2);
}

#[test]
fn a_text_that_stands_beside_the_log_is_found() {
    let store = MemoryStore::new();
    create(&store, session(1), segment(1), New::default());
    let long = format!("{} needle {}", "hay ".repeat(40_000), "hay ".repeat(40_000));
    let blob = store.put_blob(long.as_bytes()).unwrap();
    let content = vec![Part::Text { text: Content::Blob(blob.reference().clone()) }];
    append(&store, segment(1), vec![(None, LogEntry::UserInput(UserInput { ts: NOON, content }))]);
    let index = index_of(&store);
    let hits = search(&index, &store, "needle").hits;
    assert_eq!(hits.len(), 1);
    assert!(hits[0].snippet.contains("hay needle hay"), "{}", hits[0].snippet);
}

#[test]
fn a_query_without_a_word_is_refused() {
    let store = MemoryStore::new();
    let index = index_of(&store);
    for text in ["", "-zebra", "agent:pi", "…"] {
        let error = index.search(&store, &query(text)).unwrap_err();
        assert!(matches!(error, SessionError::NothingToSearch), "{text}: {error}");
    }
}

#[test]
fn words_that_are_damaged_are_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.db");
    let memory = MemoryStore::new();
    talk(&memory, 1);
    let store = Disk::new(memory, Some(path.clone()));
    let first = search(&Index::open(&store).unwrap(), &store, "zebra");
    assert_eq!(first.total, 2);
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute("UPDATE words_data SET block = x'00' WHERE id > 1000", []).unwrap();
    drop(db);
    assert_eq!(search(&Index::open(&store).unwrap(), &store, "zebra"), first);
}

#[test]
fn words_that_are_not_those_of_the_logs_are_found_by_a_deep_look() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.db");
    let memory = MemoryStore::new();
    talk(&memory, 1);
    let store = Disk::new(memory, Some(path.clone()));
    search(&Index::open(&store).unwrap(), &store, "zebra");
    assert_eq!(check(&store, true).unwrap().unwrap().findings, Vec::<String>::new());
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute("DELETE FROM words WHERE rowid % 4294967296 = 6", []).unwrap();
    drop(db);
    let findings = check(&store, true).unwrap().unwrap().findings;
    assert_eq!(findings, ["the index says something else than the logs do: word \"behind\""]);
    assert_eq!(search(&Index::open(&store).unwrap(), &store, "zebra").total, 2, "it was made anew");
}
