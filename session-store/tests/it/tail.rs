//! Following a conversation, and seeing who writes it.

use std::sync::Arc;
use std::time::Duration;

use session_store::{
    BranchTail, Following, ForkPoint, Live, NewSegment, SegmentLocation, SessionError, append_entry,
    create_compacted_segment, create_segment, fork, fork_at, live,
};
use store_core::integrity::{MaintenanceOptions, NewCheckpoint};
use store_core::{Backend, SegmentId, StoreError, TailFrom};

use crate::common::{LyingStore, NOW, every_store, extend, prompt, root, turn};

/// Everything that the tail has to tell, as segments and seqs.
fn told(tail: &mut BranchTail) -> Vec<(SegmentId, u64)> {
    let mut told = Vec::new();
    while let Some((segment, records)) = tail.next(Duration::ZERO).unwrap() {
        told.extend(records.iter().map(|record| (segment, record.position.seq.0)));
    }
    told
}

fn follow(store: &Arc<dyn Backend>, at: SegmentLocation, following: Following) -> BranchTail {
    BranchTail::start(Arc::clone(store), at, TailFrom::End, following).unwrap()
}

#[test]
fn a_tail_goes_along_into_whatever_continues_what_it_follows() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let before = fork_at(&*store, NOW, a, ForkPoint::End).unwrap();
        let mut tail = follow(&store, a, Following::Branch);
        assert_eq!(told(&mut tail), [], "{scheme}");
        append_entry(&*store, a, prompt("two")).unwrap();
        assert_eq!(told(&mut tail), [(a.segment_id, 6)], "{scheme}");

        // At the end, in the middle, and behind one that is new itself.
        let b = fork_at(&*store, NOW, a, ForkPoint::End).unwrap();
        let c = fork_at(&*store, NOW, a, ForkPoint::Turn(1)).unwrap();
        let d = create_compacted_segment(&*store, NOW, b, ForkPoint::End, NewSegment::default()).unwrap();
        extend(&*store, d, [prompt("three")]);
        let mut found = told(&mut tail);
        found.sort_unstable();
        let mut expected = vec![(b.segment_id, 1), (c.segment_id, 1), (d.segment_id, 1), (d.segment_id, 2)];
        expected.sort_unstable();
        assert_eq!(found, expected, "{scheme}");

        // Who was continued may go on; other branches, other sessions and forks into them are somebody else's.
        extend(&*store, a, [prompt("four")]);
        extend(&*store, before, [prompt("another branch")]);
        extend(&*store, root(&*store, []), [prompt("another session")]);
        extend(&*store, fork(&*store, NOW, d, ForkPoint::End).unwrap(), [prompt("a fork into another session")]);
        extend(&*store, c, [prompt("five")]);
        let mut found = told(&mut tail);
        found.sort_unstable();
        let mut expected = vec![(a.segment_id, 7), (c.segment_id, 2)];
        expected.sort_unstable();
        assert_eq!(found, expected, "{scheme}");
        assert_eq!(tail.followed().count(), 4, "{scheme}");
    }
}

#[test]
fn one_segment_alone_is_followed_if_that_is_what_was_asked() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, []);
        let mut tail = follow(&store, a, Following::Segment);
        let b = fork_at(&*store, NOW, a, ForkPoint::End).unwrap();
        extend(&*store, b, [prompt("elsewhere")]);
        extend(&*store, a, [prompt("here")]);
        assert_eq!(told(&mut tail), [(a.segment_id, 2)], "{scheme}");
    }
}

#[test]
fn a_tail_waits_for_what_is_written_meanwhile() {
    for (scheme, store, _folder) in every_store() {
        let a = create_segment(&*store, NOW, NewSegment::default()).unwrap();
        let mut tail = follow(&store, a, Following::Branch);
        std::thread::scope(|scope| {
            scope.spawn(|| extend(&*store, fork_at(&*store, NOW, a, ForkPoint::End).unwrap(), [prompt("late")]));
            let (segment, records) = tail.next(Duration::from_secs(60)).unwrap().unwrap();
            assert_ne!(segment, a.segment_id, "{scheme}");
            assert_eq!(records[0].position.seq.0, 1, "{scheme}");
        });
    }
}

#[test]
fn what_was_rolled_back_is_diverged_and_what_was_deleted_is_not_found() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let integrity = store.integrity().unwrap();
        let new = NewCheckpoint { reason: String::new(), name: None, now: NOW };
        let checkpoint = integrity.checkpoint(a.session_id, a.segment_id, &new).unwrap();
        extend(&*store, a, [prompt("two")]);
        let mut tail = follow(&store, a, Following::Branch);
        let how = MaintenanceOptions { now: NOW, dry_run: false, correlation_id: None };
        integrity.rollback(a.session_id, a.segment_id, checkpoint.number, &how).unwrap();
        let error = tail.next(Duration::ZERO).unwrap_err();
        assert!(matches!(&error, SessionError::Store(StoreError::Diverged { .. })), "{scheme}: {error}");
        let mut tail = follow(&store, a, Following::Branch);
        store.delete_session(a.session_id).unwrap();
        let error = tail.next(Duration::ZERO).unwrap_err();
        assert!(matches!(&error, SessionError::Store(StoreError::NotFound(_))), "{scheme}: {error}");
    }
}

#[test]
fn a_store_that_cannot_follow_says_so() {
    let store: Arc<dyn Backend> = Arc::new(LyingStore::default());
    let a = root(&*store, []);
    let error = BranchTail::start(Arc::clone(&store), a, TailFrom::Start, Following::Branch).err().unwrap();
    assert!(matches!(&error, SessionError::Store(StoreError::Unsupported { .. })), "{error}");
    assert_eq!(live(&*store, a.session_id, [a.segment_id]), Live::Unknown);
}

#[test]
fn who_writes_is_known_from_the_leases() {
    for (scheme, store, _folder) in every_store() {
        let (a, b) = (root(&*store, []), segment_of_the_same(&*store));
        assert_eq!(live(&*store, a.session_id, [a.segment_id]), Live::Nobody, "{scheme}");
        let lease = store.watch().unwrap().lease(b.1.session_id, b.1.segment_id, "an agent", NOW).unwrap();
        let found = live(&*store, b.0.session_id, [b.0.segment_id, b.1.segment_id]);
        assert_eq!(found.writer(), Some(lease.holder()), "{scheme}");
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["holder"], "an agent", "{scheme}");
        assert_eq!(json["since"], "2025-11-24T16:00:00Z", "{scheme}");
        assert_eq!(json["host"].is_string(), lease.holder().host.is_some(), "{scheme}");
        drop(lease);
        assert_eq!(live(&*store, b.0.session_id, [b.0.segment_id, b.1.segment_id]), Live::Nobody, "{scheme}");
        let gone = live(&*store, a.session_id, [b.0.segment_id]);
        assert_eq!(serde_json::to_value(gone).unwrap(), serde_json::Value::Null, "{scheme}");
    }
}

/// Two segments of one session.
fn segment_of_the_same(store: &dyn Backend) -> (SegmentLocation, SegmentLocation) {
    let first = root(store, []);
    (first, fork_at(store, NOW, first, ForkPoint::End).unwrap())
}

#[cfg(feature = "index")]
#[test]
fn a_row_says_who_writes_to_any_segment_of_its_session() {
    use session_store::index::{Index, ListQuery};

    for (scheme, store, _folder) in every_store() {
        let (first, _) = segment_of_the_same(&*store);
        let index = Index::open(&*store).unwrap();
        index.refresh(&*store).unwrap();
        let mut row = index.list(&ListQuery::default()).unwrap().rows.remove(0);
        assert_eq!(row.live, Live::Unknown, "{scheme}: nobody has asked");
        row.look_for_writer(&*store);
        assert_eq!(row.live, Live::Nobody, "{scheme}");
        // Not the current leaf.
        let lease = store.watch().unwrap().lease(first.session_id, first.segment_id, "an agent", NOW).unwrap();
        row.look_for_writer(&*store);
        assert_eq!(row.live.writer(), Some(lease.holder()), "{scheme}");
    }
}
