//! What an id means.

use session_store::index::{Index, Resolution, Target};
use session_store::{SessionFact, TitleBy};
use store_core::{MemoryStore, SegmentId, SessionId, SessionKind, Store};

use super::world::{NOON, New, append, create, index_of, origin, put, says, segment, session, title};

/// Two conversations in folders of their own; the first has two segments, the second is the newer one.
fn a_store() -> MemoryStore {
    let store = MemoryStore::new();
    let first = New { agent: "claude", native_id: Some("native-one".into()), cwd: Some("/a"), ..New::default() };
    create(&store, session(1), segment(1), first);
    append(&store, segment(1), vec![(None, says(NOON + 1, "hello"))]);
    let forked_from = Some(origin(session(1), segment(1), 2));
    create(&store, session(1), segment(2), New { agent: "claude", forked_from, ..New::default() });
    let second = New { agent: "codex", native_id: Some("native-two".into()), cwd: Some("/b"), ..New::default() };
    create(&store, session(600), segment(600), second);
    append(&store, segment(600), vec![(None, says(NOON + 2, "world"))]);
    store
}

fn found(store: &dyn Store, index: &Index, text: &str, folder: Option<&str>) -> Option<(SessionId, SegmentId, bool)> {
    match index.resolve(store, text, folder).unwrap() {
        Resolution::Found(Target { session, segment, exact_segment }) => Some((session, segment, exact_segment)),
        Resolution::NotFound => None,
        Resolution::Ambiguous(candidates) => panic!("{text:?} is ambiguous: {candidates:?}"),
    }
}

fn candidates(store: &dyn Store, index: &Index, text: &str, folder: Option<&str>) -> Vec<(SessionId, SegmentId)> {
    match index.resolve(store, text, folder).unwrap() {
        Resolution::Ambiguous(candidates) => candidates.iter().map(|one| (one.session_id, one.segment_id)).collect(),
        other => panic!("{text:?} is {other:?}"),
    }
}

#[test]
fn a_session_is_its_current_leaf_and_a_segment_is_itself() {
    let store = a_store();
    let index = index_of(&store);
    assert_eq!(found(&store, &index, &session(1).to_string(), None), Some((session(1), segment(2), false)));
    assert_eq!(found(&store, &index, "native-one", None), Some((session(1), segment(2), false)));
    assert_eq!(found(&store, &index, &segment(1).to_string(), None), Some((session(1), segment(1), true)));
    assert_eq!(found(&store, &index, &segment(2).to_string(), None), Some((session(1), segment(2), true)));
}

#[test]
fn part_of_an_id_will_do_if_it_is_the_beginning_or_the_end_of_one() {
    let store = a_store();
    let index = index_of(&store);
    let text = segment(1).to_string();
    assert_eq!(found(&store, &index, &text[..30], None), Some((session(1), segment(1), true)));
    assert_eq!(found(&store, &index, &text[text.len() - 4..], None), Some((session(1), segment(1), true)));
    assert_eq!(found(&store, &index, &text[text.len() - 3..], None), None, "too short");
    assert_eq!(found(&store, &index, &text[10..30], None), None, "the middle names nothing");
    assert_eq!(found(&store, &index, "-two", None), Some((session(600), segment(600), false)));
    assert_eq!(found(&store, &index, "", None), None);
    assert_eq!(found(&store, &index, "%%%%", None), None);
    assert_eq!(found(&store, &index, "____", None), None);
}

#[test]
fn an_id_or_a_part_of_one_may_be_in_upper_case_or_without_hyphens() {
    let store = a_store();
    create(&store, session(5), segment(5), New { agent: "pi", native_id: Some("ABCD-Ef".into()), ..New::default() });
    let index = index_of(&store);
    let text = segment(600).to_string();
    let here = Some((session(600), segment(600), true));
    for part in [&text[..], &text[..30], &text[26..], &text[24..]] {
        assert_eq!(found(&store, &index, &part.to_uppercase(), None), here, "{part}");
    }
    for part in [&text[..], &text[..30], &text[..22]] {
        assert_eq!(found(&store, &index, &part.replace('-', ""), None), here, "{part}");
        assert_eq!(found(&store, &index, &part.replace('-', "").to_uppercase(), None), here, "{part}");
    }
    assert_eq!(found(&store, &index, "ABCD", None), Some((session(5), segment(5), false)), "as it stands");
    assert_eq!(found(&store, &index, "abcd", None), None, "another agent's id is what it is");
    assert_eq!(found(&store, &index, "NATIVE-ONE", None), None);
    assert_eq!(found(&store, &index, &format!("{text}0").to_uppercase(), None), None);
}

#[test]
fn several_targets_are_ambiguous_and_several_names_of_one_target_are_not() {
    let store = a_store();
    let index = index_of(&store);
    assert_eq!(candidates(&store, &index, "native-", None), [(session(600), segment(600)), (session(1), segment(2))]);
    // A session and its only segment begin alike, because they began at the same time.
    let prefix = &session(600).to_string()[..13];
    assert!(segment(600).to_string().starts_with(prefix));
    assert_eq!(found(&store, &index, prefix, None), Some((session(600), segment(600), false)));
    // A session and an older segment of it are two targets.
    let prefix = &session(1).to_string()[..13];
    assert_eq!(candidates(&store, &index, prefix, None), [(session(1), segment(2)), (session(1), segment(1))]);
}

#[test]
fn an_exact_id_wins_over_what_begins_with_it() {
    let store = a_store();
    create(
        &store,
        session(3),
        segment(3),
        New { agent: "pi", native_id: Some("native-one-more".into()), ..New::default() },
    );
    put(&store, session(3), &title("native-one", TitleBy::Person));
    let index = index_of(&store);
    assert_eq!(found(&store, &index, "native-one", None), Some((session(1), segment(2), false)));
    // The same id of two agents is two conversations.
    create(&store, session(4), segment(4), New { agent: "pi", native_id: Some("native-one".into()), ..New::default() });
    index.refresh(&store).unwrap();
    assert_eq!(candidates(&store, &index, "native-one", None), [(session(4), segment(4)), (session(1), segment(2))]);
}

/// It was ambiguous as soon as the session had a second segment.
#[test]
fn an_id_that_a_session_shares_with_its_first_segment_means_the_session() {
    let store = MemoryStore::new();
    let shared = SegmentId::from_bytes(*session(1).as_bytes());
    create(&store, session(1), shared, New::default());
    append(&store, shared, vec![(None, says(NOON, "hello"))]);
    let text = session(1).to_string();
    let (ending, index) = (&text[text.len() - 6..], index_of(&store));
    for name in [&text[..], &text[..30], ending] {
        assert_eq!(found(&store, &index, name, None), Some((session(1), shared, false)));
    }
    let forked_from = Some(origin(session(1), shared, 1));
    create(&store, session(1), segment(2), New { forked_from, ..New::default() });
    let index = index_of(&store);
    for name in [&text[..], &text[..30], ending] {
        let (of, _, exact) = found(&store, &index, name, None).unwrap();
        assert_eq!((of, exact), (session(1), false));
    }
    assert_eq!(found(&store, &index, &segment(2).to_string(), None), Some((session(1), segment(2), true)));
}

#[test]
fn a_title_counts_in_the_folder_first_and_in_full_only() {
    let store = a_store();
    put(&store, session(1), &title("The plan", TitleBy::Person));
    put(&store, session(600), &title("The plan", TitleBy::Person));
    let index = index_of(&store);
    assert_eq!(found(&store, &index, "The plan", Some("/a")), Some((session(1), segment(2), false)));
    assert_eq!(found(&store, &index, "The plan", Some("/b/")), Some((session(600), segment(600), false)));
    assert_eq!(candidates(&store, &index, "The plan", Some("/elsewhere")).len(), 2);
    assert_eq!(candidates(&store, &index, "The plan", None).len(), 2);
    assert_eq!(found(&store, &index, "The pla", Some("/a")), None);
    put(&store, session(600), &SessionFact::Trashed(true));
    index.refresh(&store).unwrap();
    assert_eq!(found(&store, &index, "The plan", Some("/elsewhere")), Some((session(1), segment(2), false)));
    assert_eq!(
        found(&store, &index, "native-two", None),
        Some((session(600), segment(600), false)),
        "an id names it still"
    );
}

#[test]
fn last_is_the_newest_message_of_a_main_conversation_that_is_not_put_away() {
    let store = a_store();
    let index = index_of(&store);
    let last = || {
        index.refresh(&store).unwrap();
        found(&store, &index, "@last", Some("/a")).map(|(session, ..)| session)
    };
    assert_eq!(last(), Some(session(600)));
    create(&store, session(700), segment(700), New { kind: SessionKind::Subagent, ..New::default() });
    append(&store, segment(700), vec![(None, says(NOON + 9, "newer"))]);
    assert_eq!(last(), Some(session(600)));
    put(&store, session(600), &SessionFact::Archived(true));
    assert_eq!(last(), Some(session(1)));
    store.delete_session(session(1)).unwrap();
    assert_eq!(last(), None);
}

#[test]
fn what_several_candidates_say_is_enough_to_choose() {
    let store = a_store();
    let index = index_of(&store);
    let Resolution::Ambiguous(candidates) = index.resolve(&store, "native-", None).unwrap() else {
        panic!("two native ids begin so");
    };
    insta::assert_json_snapshot!(candidates);
}
