//! What lists say, and in which order.

use serde_json::{Value, json};
use session_store::index::{ArchivedFilter, Index, KindFilter, ListQuery, Page, SortBy};
use session_store::{CurrentLeaf, SessionFact, TitleBy};
use store_core::{Content, LogEntry, MemoryStore, Part, Seq, SessionId, SessionKind, Store, UserInput};

use super::super::common::every_store;
use super::world::{
    NOON, New, answers, append, calls, create, ends, index_of, moves, origin, put, says, segment, session, title, uses,
};

/// A conversation that was compacted, a fork of it, a sub-agent, one in the archive and one in the trash.
fn a_store() -> MemoryStore {
    let store = MemoryStore::new();
    fill(&store);
    store
}

fn fill(store: &dyn Store) {
    let main =
        New { agent: "claude", native_id: Some("0b9f-main".into()), cwd: Some("/home/ann/app/"), ..New::default() };
    create(store, session(1), segment(1), main);
    let told = vec![
        (None, says(NOON + 2_000, "\n  Fix   the build\nplease")),
        (None, answers(NOON + 3_000, "Looking.")),
        (None, calls(NOON + 3_500, "call-1")),
        (None, uses(NOON + 4_000, Some("r-1"), 50, Some("0.012"))),
        (None, ends(NOON + 5_000, 1)),
        (None, moves(NOON + 5_500, "/home/ann/lib")),
        (None, says(NOON + 6_000, "and now?")),
        (None, uses(NOON + 6_500, Some("r-2"), 7, Some("0.0005"))),
    ];
    append(store, segment(1), told);
    let compacted_from = Some(origin(session(1), segment(1), 9));
    let compacted = New { compacted_from, summary: Some("The build was fixed."), ..New::default() };
    create(store, session(1), segment(9), compacted);
    append(store, segment(9), vec![(None, answers(NOON + 9_500, "Done.")), (None, ends(NOON + 9_700, 2))]);
    put(store, session(1), &title("made up", TitleBy::Agent));
    put(store, session(1), &SessionFact::Tags(vec!["ci".to_owned()]));

    let forked_from = Some(origin(session(1), segment(1), 6));
    create(store, session(2), segment(2), New { agent: "claude", forked_from, ..New::default() });
    append(
        store,
        segment(2),
        vec![(None, says(NOON + 12_000, "another way")), (None, uses(NOON + 12_500, None, 1, None))],
    );

    let kind = SessionKind::Subagent;
    let native_id = Some("agent-7f3a".to_owned());
    create(
        store,
        session(3),
        segment(3),
        New { agent: "claude", native_id, kind, parent: Some(session(1)), ..New::default() },
    );
    append(store, segment(3), vec![(None, says(NOON + 3_100, "Search it"))]);

    create(store, session(4), segment(4), New { agent: "pi", cwd: Some("/home/ann/app"), ..New::default() });
    put(store, session(4), &SessionFact::Archived(true));
    create(store, session(5), segment(5), New { agent: "codex", ..New::default() });
    put(store, session(5), &SessionFact::Trashed(true));
    put(store, session(5), &SessionFact::Archived(true));
}

fn sessions(page: &Page) -> Vec<SessionId> {
    page.rows.iter().map(|row| row.session_id).collect()
}

fn ask(index: &Index, query: &ListQuery) -> (Vec<SessionId>, Value) {
    let page = index.list(query).unwrap();
    assert_eq!(page.total, page.rows.len() as u64);
    (sessions(&page), json!(page.hidden))
}

#[test]
fn the_form_of_a_list() {
    let index = index_of(&a_store());
    insta::assert_json_snapshot!(index.list(&ListQuery { limit: Some(2), ..ListQuery::default() }).unwrap());
}

#[test]
fn the_form_of_segments() {
    let index = index_of(&a_store());
    insta::assert_json_snapshot!(index.segments(session(1)).unwrap());
    assert_eq!(index.segments(session(77)).unwrap(), []);
}

#[test]
fn the_rows_of_a_list_are_read_back_from_their_form() {
    let page = index_of(&a_store()).list(&ListQuery::default()).unwrap();
    let text = serde_json::to_string(&page).unwrap();
    assert_eq!(serde_json::from_str::<Page>(&text).unwrap(), page);
}

#[test]
fn what_filters_by_kind_archive_and_trash_leave_out_is_counted_once() {
    let index = index_of(&a_store());
    let all = ListQuery { kind: KindFilter::All, archived: ArchivedFilter::All, ..ListQuery::default() };
    let hidden = |subagent, archived, trashed| json!({"subagent": subagent, "archived": archived, "trashed": trashed});
    let by_update = [session(2), session(1), session(4), session(3)];
    assert_eq!(ask(&index, &ListQuery::default()), (vec![session(2), session(1)], hidden(1, 1, 1)));
    assert_eq!(ask(&index, &all), (by_update.to_vec(), hidden(0, 0, 1)));
    let archived = ListQuery { archived: ArchivedFilter::Only, ..ListQuery::default() };
    assert_eq!(ask(&index, &archived), (vec![session(4)], hidden(0, 0, 1)));
    let subagents = ListQuery { kind: KindFilter::Only(SessionKind::Subagent), ..ListQuery::default() };
    assert_eq!(ask(&index, &subagents), (vec![session(3)], hidden(0, 1, 1)));
    let of_pi = ListQuery { agent: Some("pi".to_owned()), ..ListQuery::default() };
    assert_eq!(ask(&index, &of_pi), (vec![], hidden(0, 1, 0)), "only what the other filters would let through");
    let since = ListQuery { since: Some(NOON + 12_500), ..all };
    assert_eq!(ask(&index, &since), (vec![session(2)], hidden(0, 0, 0)));
}

#[test]
fn every_folder_that_a_conversation_ever_had_finds_it() {
    let index = index_of(&a_store());
    let within = |folder: &str| {
        let query = ListQuery { cwd: Some(folder.to_owned()), archived: ArchivedFilter::All, ..ListQuery::default() };
        sessions(&index.list(&query).unwrap())
    };
    assert_eq!(within("/home/ann/app"), [session(2), session(1), session(4)]);
    assert_eq!(within("/home/ann/lib/"), [session(1)], "moved to later; the fork left before that");
    assert_eq!(within("/home//ann/."), [session(2), session(1), session(4)]);
    assert_eq!(within("/"), [session(2), session(1), session(4)]);
    assert_eq!(within("/home/an"), [], "paths compare by component");
    assert_eq!(within("/home/ann/app/src"), [], "a folder does not find what worked above it");
}

#[test]
fn pages_follow_each_other_without_gaps_also_among_equals() {
    let store = MemoryStore::new();
    for number in 1..=9 {
        create(&store, session(number), segment(number), New::default());
        // Three of each time, and titles that differ in case alone.
        append(&store, segment(number), vec![(None, says(NOON + 60_000 + number / 3, "t"))]);
        put(&store, session(number), &title(["b", "B", "a"][usize::try_from(number % 3).unwrap()], TitleBy::Person));
    }
    let index = index_of(&store);
    for sort in [SortBy::Updated, SortBy::Created, SortBy::Title] {
        let whole = index.list(&ListQuery { sort, ..ListQuery::default() }).unwrap();
        assert_eq!((whole.rows.len(), &whole.next_cursor), (9, &None));
        for limit in [1, 2, 3, 8, 9] {
            let mut found = Vec::new();
            let mut cursor = None;
            loop {
                let page = index.list(&ListQuery { sort, limit: Some(limit), cursor, ..ListQuery::default() }).unwrap();
                assert_eq!(page.total, 9);
                assert!(page.rows.len() == limit || page.next_cursor.is_none());
                found.extend(page.rows);
                cursor = page.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(found, whole.rows, "{sort:?}, {limit} a page");
        }
    }
    let titles = index.list(&ListQuery { sort: SortBy::Title, ..ListQuery::default() }).unwrap();
    assert_eq!(sessions(&titles)[..3], [session(2), session(5), session(8)]);
}

#[test]
fn a_title_is_the_persons_else_the_agents_else_the_first_prompt() {
    let store = a_store();
    let index = index_of(&store);
    let titled = |number| {
        index.refresh(&store).unwrap();
        index.summary(session(number)).unwrap().unwrap().title
    };
    assert_eq!(titled(2).as_deref(), Some("Fix the build"), "a fork begins with what it continues");
    assert_eq!(titled(4), None);
    put(&store, session(1), &title("mine", TitleBy::Person));
    put(&store, session(1), &title("made up later", TitleBy::Agent));
    assert_eq!(titled(1).as_deref(), Some("mine"));
    put(&store, session(1), &title("", TitleBy::Person));
    assert_eq!(titled(1).as_deref(), Some("made up later"));

    let guard = store.put_blob("\nA long paste\n".repeat(9_000).as_bytes()).unwrap();
    let content = vec![Part::Text { text: Content::Blob(guard.reference().clone()) }];
    append(&store, segment(4), vec![(None, LogEntry::UserInput(UserInput { ts: NOON, content }))]);
    assert_eq!(titled(4).as_deref(), Some("A long paste"), "a prompt that stands beside the log");
}

#[test]
fn the_current_leaf_is_the_named_one_and_where_that_went_on() {
    let store = a_store();
    let index = index_of(&store);
    let current = || {
        index.refresh(&store).unwrap();
        let rows = index.segments(session(1)).unwrap();
        let leaves: Vec<_> = rows.iter().filter(|row| row.leaf).map(|row| row.segment_id).collect();
        let current: Vec<_> = rows.iter().filter(|row| row.current).map(|row| row.segment_id).collect();
        assert_eq!(current, [index.summary(session(1)).unwrap().unwrap().segment_id]);
        (leaves, current[0])
    };
    assert_eq!(current(), (vec![segment(9)], segment(9)));
    let forked_from = Some(origin(session(1), segment(1), 2));
    create(&store, session(1), segment(20), New { forked_from, ..New::default() });
    assert_eq!(current(), (vec![segment(9), segment(20)], segment(20)), "the latest");
    let leaf = CurrentLeaf { segment_id: segment(1), seq: Seq(9) };
    put(&store, session(1), &SessionFact::CurrentLeaf(leaf));
    assert_eq!(current(), (vec![segment(9), segment(20)], segment(9)), "the named one was continued at its end");
    put(&store, session(1), &SessionFact::Superseded(segment(9)));
    assert_eq!(current(), (vec![segment(1), segment(20)], segment(1)), "nothing that counts continues it now");
}

#[test]
fn every_backend_is_served_alike_and_followed_from_process_to_process() {
    for (scheme, store, _folder) in every_store() {
        let reference = a_store();
        let said = |index: &Index| {
            let all = ListQuery { kind: KindFilter::All, archived: ArchivedFilter::All, ..ListQuery::default() };
            json!([index.list(&all).unwrap(), index.segments(session(1)).unwrap(), index.segments(session(2)).unwrap()])
        };
        fill(&*store);
        let first = index_of(&*store);
        assert_eq!(said(&first), said(&index_of(&reference)), "{scheme}");
        assert_eq!(first.is_kept(), scheme != "memory", "{scheme}");
        let grow = |store: &dyn Store| {
            append(
                store,
                segment(9),
                vec![(None, says(NOON + 20_000, "more")), (None, uses(NOON + 20_001, None, 3, None))],
            );
            store.delete_session(session(2)).unwrap();
            put(store, session(3), &title("found", TitleBy::Agent));
        };
        grow(&*store);
        grow(&reference);
        let second = Index::open(&*store).unwrap();
        second.refresh(&*store).unwrap();
        assert_eq!(said(&second), said(&index_of(&reference)), "{scheme}");
    }
}
