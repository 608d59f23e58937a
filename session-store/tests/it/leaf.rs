//! Leaves, and which of them is the current one.

use std::collections::BTreeSet;

use proptest::prelude::*;
use session_store::{
    CurrentLeaf, ForkPoint, NewSegment, SegmentLocation, SegmentNode, SegmentTree, SessionError, SessionFact,
    Undecided, append_entry, create_segment_with_ids, current_leaf, fork, fork_at, leaves, put_session_fact,
};
use store_core::{LogEntry, SegmentId, SegmentOrigin, Seq, SessionId, StoreError, UserInput};

use crate::common::{NOW, every_store, extend, prompt, root, session, turn};

fn id(number: u64) -> SegmentId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    SegmentId::from_bytes(bytes)
}

/// Segment, entries, time of the last one, continued segment and seq.
type Node = (u64, u64, u64, Option<(u64, u64)>);

fn tree(session: SessionId, nodes: &[Node]) -> SegmentTree {
    SegmentTree::new(
        session,
        nodes.iter().map(|(segment, entry_count, last_ts, origin)| SegmentNode {
            segment_id: id(*segment),
            entry_count: *entry_count,
            last_ts: *last_ts,
            origin: origin.map(|(parent, seq)| SegmentOrigin {
                session_id: session,
                segment_id: id(parent),
                seq: Seq(seq),
                at_turn_index: 0,
            }),
        }),
    )
}

fn named(number: u64) -> Option<CurrentLeaf> {
    Some(CurrentLeaf { segment_id: id(number), seq: Seq(1) })
}

fn current(tree: &SegmentTree, named: Option<CurrentLeaf>, superseded: &[u64]) -> Option<SegmentId> {
    decide(tree, named, superseded).unwrap()
}

fn decide(tree: &SegmentTree, named: Option<CurrentLeaf>, superseded: &[u64]) -> Result<Option<SegmentId>, Undecided> {
    tree.current(named.as_ref(), &superseded.iter().copied().map(id).collect())
}

#[test]
fn a_leaf_is_a_segment_whose_last_entry_nothing_of_the_session_continues() {
    let tree = tree(session("s"), &[(1, 5, 10, None), (2, 3, 20, Some((1, 5))), (3, 3, 30, Some((2, 2)))]);
    assert_eq!(tree.leaves(), [id(2), id(3)]);
    assert!(!tree.is_leaf(id(1)) && !tree.is_leaf(id(9)));
}

#[test]
fn a_fork_into_another_session_takes_no_leaf_away() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let b = fork(&*store, NOW, a, ForkPoint::End).unwrap();
        assert_eq!(leaves(&*store, a.session_id).unwrap(), [a.segment_id], "{scheme}");
        assert_eq!(current_leaf(&*store, a.session_id).unwrap(), a.segment_id, "{scheme}");
        assert_eq!(leaves(&*store, b.session_id).unwrap(), [b.segment_id], "{scheme}");
    }
}

#[test]
fn a_segment_that_grows_on_behind_a_fork_is_a_leaf_again() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let b = fork_at(&*store, NOW, a, ForkPoint::End).unwrap();
        assert_eq!(leaves(&*store, a.session_id).unwrap(), [b.segment_id], "{scheme}");
        extend(&*store, a, [prompt("on")]);
        assert_eq!(leaves(&*store, a.session_id).unwrap(), [a.segment_id, b.segment_id], "{scheme}");
        assert_eq!(current_leaf(&*store, a.session_id).unwrap(), b.segment_id, "{scheme}");
    }
}

#[test]
fn the_named_leaf_is_current_even_if_others_are_younger() {
    let tree = tree(session("s"), &[(1, 5, 10, None), (2, 3, 20, Some((1, 2))), (3, 3, 30, Some((1, 3)))]);
    assert_eq!(current(&tree, named(2), &[]), Some(id(2)));
    assert_eq!(current(&tree, named(1), &[]), Some(id(1)));
}

#[test]
fn a_named_segment_that_was_continued_at_its_end_passes_it_on() {
    let nodes = [
        (1, 5, 10, None),
        (2, 3, 20, Some((1, 5))),
        (3, 3, 30, Some((1, 4))),
        (4, 1, 25, Some((2, 3))),
        (5, 1, 24, Some((2, 3))),
    ];
    let tree = tree(session("s"), &nodes);
    assert_eq!(current(&tree, named(1), &[]), Some(id(4)));
    assert_eq!(current(&tree, named(1), &[4]), Some(id(5)));
    assert_eq!(current(&tree, named(5), &[]), Some(id(5)));
}

#[test]
fn without_a_name_the_latest_last_entry_decides_and_then_the_greater_id() {
    let nodes = [(1, 5, 99, None), (2, 3, 20, Some((1, 5))), (3, 3, 30, Some((1, 4))), (4, 9, 30, Some((1, 2)))];
    let tree = tree(session("s"), &nodes);
    assert_eq!(current(&tree, None, &[]), Some(id(4)));
    assert_eq!(current(&tree, named(77), &[77]), Some(id(4)), "a superseded segment is not gone on from");
    assert_eq!(current(&tree, None, &[4]), Some(id(3)));
}

#[test]
fn superseded_segments_are_current_only_where_there_is_nothing_else() {
    let tree = tree(session("s"), &[(1, 5, 50, None), (2, 3, 20, None)]);
    assert_eq!(current(&tree, named(1), &[1]), Some(id(2)));
    assert_eq!(current(&tree, None, &[1, 2]), Some(id(1)));
    assert_eq!(current(&SegmentTree::new(session("s"), []), None, &[]), None);
}

#[test]
fn a_superseded_segment_takes_nothing_from_what_it_continues() {
    let tree = tree(session("s"), &[(1, 5, 50, None), (2, 3, 60, Some((1, 5))), (3, 3, 20, Some((1, 2)))]);
    let superseded = BTreeSet::from([id(2)]);
    let counted = tree.without(&superseded);
    assert_eq!(counted.leaves(), [id(1), id(3)]);
    assert_eq!(counted.current(named(1).as_ref(), &superseded), Ok(Some(id(1))));
    assert_eq!(counted.current(None, &superseded), Ok(Some(id(1))));
    let all = BTreeSet::from([id(1), id(2), id(3)]);
    assert_eq!(tree.without(&all).leaves(), [id(2), id(3)], "where nothing else is left they count");
}

#[test]
fn a_segment_that_cannot_be_read_is_never_passed_over_in_silence() {
    // 3 was written first, 2 is where somebody went back and said something else; 9 cannot be read.
    let known = tree(session("s"), &[(1, 5, 10, None), (2, 3, 20, Some((1, 5))), (3, 3, 15, Some((1, 4)))]);
    let damaged = known.clone().with_unreadable([id(9)]);
    assert_eq!(decide(&damaged, None, &[]), Err(Undecided::Unreadable(id(9))), "it could be the leaf");
    assert_eq!(decide(&damaged, named(9), &[]), Err(Undecided::Unreadable(id(9))), "it is the leaf");
    assert_eq!(decide(&damaged, named(3), &[]), Ok(Some(id(3))), "another one is");
    assert_eq!(decide(&damaged, None, &[9]), Ok(Some(id(2))), "it does not count");
    assert_eq!(decide(&known, named(9), &[]), Err(Undecided::Missing(id(9))));
    let alone = SegmentTree::new(session("s"), []).with_unreadable([id(9)]);
    assert_eq!(decide(&alone, None, &[9]), Err(Undecided::Unreadable(id(9))), "there is nothing else");
}

#[test]
fn the_current_leaf_of_a_stored_session_follows_facts_and_times() {
    for (scheme, store, _folder) in every_store() {
        let session_id = session("s");
        let at = |ts: u64| LogEntry::UserInput(UserInput { ts, content: vec![] });
        let [a, b] = [1, 2].map(|number| SegmentLocation { session_id, segment_id: id(number) });
        for (location, ts) in [(a, 50), (b, 40)] {
            create_segment_with_ids(&*store, NOW, location, NewSegment::default()).unwrap();
            append_entry(&*store, location, at(ts)).unwrap();
        }
        assert_eq!(current_leaf(&*store, session_id).unwrap(), a.segment_id, "{scheme}");
        let fact = SessionFact::CurrentLeaf(CurrentLeaf { segment_id: b.segment_id, seq: Seq(2) });
        put_session_fact(&*store, NOW, session_id, &fact).unwrap();
        assert_eq!(current_leaf(&*store, session_id).unwrap(), b.segment_id, "{scheme}");
        put_session_fact(&*store, NOW, session_id, &SessionFact::Superseded(b.segment_id)).unwrap();
        assert_eq!(current_leaf(&*store, session_id).unwrap(), a.segment_id, "{scheme}");
        let error = current_leaf(&*store, session("unknown")).unwrap_err();
        assert!(matches!(&error, SessionError::Store(StoreError::NotFound(_))), "{scheme}: {error:?}");
    }
}

proptest! {
    #[test]
    fn the_current_leaf_is_always_one_of_the_leaves(
        origins in proptest::collection::vec((0_u64..12, 1_u64..5, 0_u64..40), 1..12),
        name in proptest::option::of(0_u64..12),
        superseded in proptest::collection::btree_set(0_u64..12, 0..3),
    ) {
        let nodes: Vec<_> = origins
            .iter()
            .enumerate()
            .map(|(at, (parent, seq, ts))| (at as u64, 4, *ts, (*parent < at as u64).then_some((*parent, *seq))))
            .collect();
        let tree = tree(session("s"), &nodes);
        let superseded: BTreeSet<SegmentId> = superseded.into_iter().map(id).collect();
        let named = name.and_then(named);
        match tree.current(named.as_ref(), &superseded) {
            Ok(current) => prop_assert!(tree.without(&superseded).leaves().contains(&current.unwrap())),
            Err(undecided) => {
                let missing = named.unwrap().segment_id;
                prop_assert_eq!(undecided, Undecided::Missing(missing));
                prop_assert!(tree.segments().all(|node| node.segment_id != missing));
            }
        }
    }
}
