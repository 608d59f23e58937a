//! The branch that a segment ends.

use std::collections::HashMap;

use session_store::{
    ForkPoint, LineageError, NewSegment, SegmentLocation, SessionError, ShowOptions, ShowScope,
    create_compacted_segment, current_leaf, fork, fork_at, leaves, lineage, lineage_through, restore, transcript,
};
use store_core::{HistoryItem, HistoryRef, LogEntry, Missing, SegmentOrigin, SegmentStart, Seq, Store, StoreError};

use crate::common::{LyingStore, NOW, branch, every_store, extend, prompt, root, segment, session, turn};

fn start(store: &LyingStore, location: SegmentLocation) -> SegmentStart {
    branch(store, location)[..].last().unwrap().start().unwrap().clone()
}

fn origin(location: SegmentLocation, seq: u64) -> SegmentOrigin {
    let SegmentLocation { session_id, segment_id } = location;
    SegmentOrigin { session_id, segment_id, seq: Seq(seq), at_turn_index: 0 }
}

fn blame(store: &dyn Store, location: SegmentLocation) -> LineageError {
    let errors = [
        lineage(store, location.session_id, location.segment_id).map(drop),
        restore(store, location.session_id, location.segment_id).map(drop),
    ];
    let mut blamed = errors.into_iter().map(|error| match error {
        Err(SessionError::Lineage(error)) => error,
        other => panic!("expected a lineage error, got {other:?}"),
    });
    let first = blamed.next().unwrap();
    assert_eq!(blamed.next().unwrap(), first);
    first
}

#[test]
fn a_fork_of_a_fork_has_its_root_first_and_each_prefix_cut() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [turn(1, "one", "r1"), turn(2, "two", "r2")].concat());
        let b = fork(&*store, NOW, a, ForkPoint::Turn(1)).unwrap();
        extend(&*store, b, turn(2, "other two", "r3"));
        let c = fork_at(&*store, NOW, b, ForkPoint::Seq(Seq(3))).unwrap();
        let parts = lineage(&*store, c.session_id, c.segment_id).unwrap();
        let seen: Vec<_> = parts.iter().map(|part| (part.segment_id, part.through.0)).collect();
        assert_eq!(seen, [(a.segment_id, 5), (b.segment_id, 3), (c.segment_id, 1)], "{scheme}");
        let cut = lineage_through(&*store, b.session_id, b.segment_id, Seq(2)).unwrap();
        let seen: Vec<_> = cut.iter().map(|part| (part.segment_id, part.through.0)).collect();
        assert_eq!(seen, [(a.segment_id, 5), (b.segment_id, 2)], "{scheme}");
        let loaded = branch(&*store, c);
        let counts: Vec<_> = loaded.iter().map(|part| (part.entries.len(), part.position.seq.0)).collect();
        assert_eq!(counts, [(5, 5), (3, 3), (1, 1)], "{scheme}");
    }
}

#[test]
fn each_ancestor_is_read_once() {
    let store = LyingStore::default();
    let mut last = root(&store, turn(1, "one", "r1"));
    let mut chain = vec![last.segment_id];
    for number in 2..8 {
        last = fork_at(&store, NOW, last, ForkPoint::End).unwrap();
        extend(&store, last, turn(number, "more", "r"));
        chain.push(last.segment_id);
    }
    let once: HashMap<_, _> = chain.into_iter().map(|segment| (segment, 1)).collect();
    store.take_reads();
    restore(&store, last.session_id, last.segment_id).unwrap();
    assert_eq!(store.take_reads(), once);
    lineage(&store, last.session_id, last.segment_id).unwrap();
    assert_eq!(store.take_reads(), once);
}

#[test]
fn a_cycle_is_an_error_that_names_a_segment_of_it() {
    let store = LyingStore::default();
    let a = root(&store, [prompt("hi")]);
    let b = fork_at(&store, NOW, a, ForkPoint::End).unwrap();
    let tampered = SegmentStart { forked_from: Some(origin(b, 1)), ..start(&store, a) };
    store.tamper(a.segment_id, tampered);
    assert_eq!(blame(&store, b), LineageError::Cycle { segment: b.segment_id });
    let own = SegmentStart { forked_from: Some(origin(a, 1)), ..start_of_root(a) };
    store.tamper(a.segment_id, own);
    assert_eq!(blame(&store, a), LineageError::Cycle { segment: a.segment_id });
}

fn start_of_root(location: SegmentLocation) -> SegmentStart {
    SegmentStart::new(location.session_id, NOW)
}

#[test]
fn a_missing_parent_is_named_with_the_segment_that_continues_it() {
    let store = LyingStore::default();
    let a = root(&store, [prompt("hi")]);
    let b = fork_at(&store, NOW, a, ForkPoint::End).unwrap();
    let gone = SegmentLocation { session_id: a.session_id, segment_id: segment("gone") };
    let tampered = SegmentStart { forked_from: Some(origin(gone, 1)), ..start(&store, b) };
    store.tamper(b.segment_id, tampered);
    assert_eq!(blame(&store, b), LineageError::MissingParent { segment: gone.segment_id, child: b.segment_id });
    let elsewhere = SegmentLocation { session_id: session("elsewhere"), segment_id: a.segment_id };
    let tampered = SegmentStart { forked_from: Some(origin(elsewhere, 1)), ..start_of_root(b) };
    store.tamper(b.segment_id, tampered);
    assert_eq!(blame(&store, b), LineageError::MissingParent { segment: a.segment_id, child: b.segment_id });
}

#[test]
fn an_origin_beyond_its_segments_end_is_named_with_its_length() {
    let store = LyingStore::default();
    let a = root(&store, [prompt("hi")]);
    let b = fork_at(&store, NOW, a, ForkPoint::End).unwrap();
    for seq in [0, 3, 99] {
        let tampered = SegmentStart { forked_from: Some(origin(a, seq)), ..start_of_root(b) };
        store.tamper(b.segment_id, tampered);
        let expected = LineageError::BeyondEnd { segment: a.segment_id, seq: Seq(seq), count: 2 };
        assert_eq!(blame(&store, b), expected);
    }
}

#[test]
fn a_start_that_this_version_cannot_read_is_an_error_that_names_the_segment() {
    let store = LyingStore::default();
    let a = root(&store, [prompt("hi")]);
    let b = fork_at(&store, NOW, a, ForkPoint::End).unwrap();
    let newer = r#"{"kind":"segment_start","ts":1,"session_id":7}"#;
    store.replace(a.segment_id, LogEntry::from_text(newer).unwrap());
    assert_eq!(blame(&store, b), LineageError::NoStart { segment: a.segment_id });
    let error = leaves(&store, a.session_id).unwrap_err();
    assert!(
        matches!(&error, SessionError::Lineage(LineageError::NoStart { segment }) if *segment == a.segment_id),
        "{error:?}"
    );
    assert_eq!(current_leaf(&store, a.session_id).unwrap(), b.segment_id, "a readable leaf was named");
}

#[test]
fn a_session_is_not_shown_whole_without_a_branch_that_cannot_be_followed() {
    let store = LyingStore::default();
    let a = root(&store, [prompt("hi")]);
    let b = fork_at(&store, NOW, a, ForkPoint::End).unwrap();
    let c = fork_at(&store, NOW, a, ForkPoint::End).unwrap();
    let options = ShowOptions { scope: ShowScope::All, ..ShowOptions::default() };
    for (tampered, expected) in [
        (origin(a, 9), LineageError::BeyondEnd { segment: a.segment_id, seq: Seq(9), count: 2 }),
        (origin(b, 1), LineageError::Cycle { segment: b.segment_id }),
    ] {
        store.tamper(b.segment_id, SegmentStart { forked_from: Some(tampered), ..start_of_root(b) });
        let error = transcript(&store, c.session_id, c.segment_id, &options).unwrap_err();
        assert!(matches!(&error, SessionError::Lineage(found) if *found == expected), "{error:?}");
    }
}

#[test]
fn a_history_that_refers_outside_its_branch_is_refused() {
    let store = LyingStore::default();
    let a = root(&store, [prompt("hi")]);
    let b = create_compacted_segment(&store, NOW, a, ForkPoint::End, NewSegment::default()).unwrap();
    let reference = HistoryRef { segment_id: a.segment_id, from: Seq(2), through: Seq(3) };
    let tampered = SegmentStart { history: vec![HistoryItem::Reference(reference)], ..start(&store, b) };
    store.tamper(b.segment_id, tampered);
    let error = restore(&store, b.session_id, b.segment_id).unwrap_err();
    assert!(
        matches!(
            &error,
            SessionError::Lineage(LineageError::HistoryOutside { segment, reference: found })
                if *segment == b.segment_id && *found == reference
        ),
        "{error:?}"
    );
}

#[test]
fn an_unknown_segment_is_the_callers_mistake_and_not_the_lineages() {
    for (scheme, store, _folder) in every_store() {
        let error = lineage(&*store, session("no"), segment("no")).unwrap_err();
        assert!(
            matches!(&error, SessionError::Store(StoreError::NotFound(Missing::Segment(id))) if *id == segment("no")),
            "{scheme}: {error:?}"
        );
    }
}

#[test]
fn what_is_wrong_with_a_lineage_reads_like_this() {
    let (a, b) = (segment("a"), segment("b"));
    let reference = HistoryRef { segment_id: a, from: Seq(2), through: Seq(9) };
    let errors = [
        LineageError::Cycle { segment: a },
        LineageError::MissingParent { segment: a, child: b },
        LineageError::BeyondEnd { segment: a, seq: Seq(9), count: 4 },
        LineageError::NoStart { segment: a },
        LineageError::HistoryOutside { segment: b, reference },
    ];
    let text = errors.map(|error| error.to_string()).join("\n");
    insta::assert_snapshot!(text.replace(&a.to_string(), "A").replace(&b.to_string(), "B"));
}
