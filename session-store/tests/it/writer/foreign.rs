//! Somebody else who writes to the same session.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use session_store::{
    NewSegment, OnLive, SegmentState, SessionError, SessionWriter, WriteError, WriterOptions, append_entry,
    create_segment, current_leaf, restore_by_segment,
};
use store_core::integrity::{MaintenanceOptions, NewCheckpoint};
use store_core::{Backend, Position, SegmentId, Seq, StoreError};

use super::gate::Gate;
use super::{options, origin_of, prompts, writer_at};
use crate::common::{NOW, every_store, prompt, root, turn};

fn refusing() -> WriterOptions {
    WriterOptions { on_live: OnLive::Refuse, ..options() }
}

#[test]
fn a_foreign_entry_makes_it_fork_at_exactly_what_it_had_seen() {
    for (scheme, store, _folder) in every_store() {
        let at = root(&*store, turn(1, "one", "r1"));
        let writer = writer_at(&store, at, options());
        let seen = writer.submit(prompt("mine")).unwrap().wait().unwrap().position;
        append_entry(&*store, at, prompt("theirs")).unwrap();
        let landed = writer.submit(prompt("mine too")).unwrap().wait().unwrap();
        assert_eq!((landed.location.session_id, writer.location()), (at.session_id, landed.location), "{scheme}");
        let origin = origin_of(&*store, landed.location);
        assert_eq!((origin.segment_id, origin.seq), (at.segment_id, seen.seq), "{scheme}");
        assert_eq!(origin.at_turn_index, 2, "{scheme}");
        assert_eq!(prompts(&*store, landed.location), ["one", "mine", "mine too"], "{scheme}");
        assert_eq!(prompts(&*store, at), ["one", "mine", "theirs"], "{scheme}: the source is as it was");
        assert_eq!(current_leaf(&*store, at.session_id).unwrap(), landed.location.segment_id, "{scheme}");
        let holder = |segment: SegmentId| store.watch().unwrap().leased(at.session_id, segment).unwrap();
        assert_eq!(holder(at.segment_id), None, "{scheme}");
        assert_eq!(holder(landed.location.segment_id).unwrap().holder, "the writer", "{scheme}");
    }
}

#[test]
fn who_refuses_stops_at_a_foreign_entry() {
    for (scheme, store, _folder) in every_store() {
        let at = root(&*store, turn(1, "one", "r1"));
        let writer = writer_at(&store, at, refusing());
        append_entry(&*store, at, prompt("theirs")).unwrap();
        let told = writer.submit(prompt("mine")).unwrap().wait().unwrap_err();
        assert_conflict(scheme, &told);
        let again = writer.submit(prompt("mine too")).unwrap_err();
        assert_conflict(scheme, &again.why);
        assert_eq!(again.entries, [prompt("mine too").into()], "{scheme}: it is given back");
        let unfinished = writer.close().unwrap_err();
        assert_conflict(scheme, &unfinished.why);
        assert_eq!(unfinished.unwritten.len(), 1, "{scheme}");
        assert_eq!(unfinished.unwritten[0].entry, prompt("mine"), "{scheme}");
        assert_eq!(store.list_segments(at.session_id).unwrap().len(), 1, "{scheme}");
    }
}

fn assert_conflict(scheme: &str, error: &WriteError) {
    let WriteError::Stopped(cause) = error else { panic!("{scheme}: {error}") };
    assert!(matches!(&**cause, SessionError::Store(StoreError::Conflict { .. })), "{scheme}: {cause}");
}

#[test]
fn a_segment_with_a_live_writer_is_refused_or_left_to_it() {
    for (scheme, store, _folder) in every_store() {
        let at = root(&*store, turn(1, "one", "r1"));
        let first = writer_at(&store, at, WriterOptions { holder: "the first".into(), ..options() });
        let state = SegmentState::open(&*store, at).unwrap();
        let error = SessionWriter::start(Arc::clone(&store), state, refusing()).unwrap_err();
        let SessionError::Store(StoreError::Busy { holder, since, .. }) = &error else { panic!("{scheme}: {error}") };
        assert_eq!((holder.as_str(), *since), ("the first", Some(NOW)), "{scheme}");

        let second = writer_at(&store, at, options());
        assert_eq!(store.list_segments(at.session_id).unwrap().len(), 1, "{scheme}: nothing was said yet");
        let landed = second.submit(prompt("second")).unwrap().wait().unwrap();
        let origin = origin_of(&*store, landed.location);
        assert_eq!((origin.segment_id, origin.seq), (at.segment_id, Seq(5)), "{scheme}");
        let kept = first.submit(prompt("first")).unwrap().wait().unwrap();
        assert_eq!(kept.location, at, "{scheme}: who was there stays");
        assert_eq!(prompts(&*store, landed.location), ["one", "second"], "{scheme}");
    }
}

#[test]
fn who_was_left_to_it_and_has_gone_makes_no_fork() {
    for (scheme, store, _folder) in every_store() {
        let at = root(&*store, turn(1, "one", "r1"));
        let first = writer_at(&store, at, options());
        let second = writer_at(&store, at, options());
        first.close().unwrap();
        assert_eq!(second.submit(prompt("second")).unwrap().wait().unwrap().location, at, "{scheme}");
        assert_eq!(store.list_segments(at.session_id).unwrap().len(), 1, "{scheme}");
    }
}

#[test]
fn without_leases_the_end_of_the_log_decides() {
    for (scheme, inner, _folder) in every_store() {
        let store: Arc<dyn Backend> = Arc::new(Gate::without_watch(&inner));
        let at = root(&*store, turn(1, "one", "r1"));
        let (first, second) = (writer_at(&store, at, options()), writer_at(&store, at, options()));
        assert_eq!(first.submit(prompt("first")).unwrap().wait().unwrap().location, at, "{scheme}");
        let landed = second.submit(prompt("second")).unwrap().wait().unwrap();
        assert_ne!(landed.location, at, "{scheme}");
        assert_eq!(origin_of(&*store, landed.location).seq, Seq(5), "{scheme}");
        assert_eq!(prompts(&*store, landed.location), ["one", "second"], "{scheme}");
    }
}

#[test]
fn a_session_that_was_deleted_under_it_stops_it() {
    for (scheme, inner, _folder) in every_store() {
        // Who holds a lease cannot lose the session; a store without leases may.
        let store: Arc<dyn Backend> = Arc::new(Gate::without_watch(&inner));
        let at = root(&*store, turn(1, "one", "r1"));
        let writer = writer_at(&store, at, options());
        store.delete_session(at.session_id).unwrap();
        let told = writer.submit(prompt("gone")).unwrap().wait().unwrap_err();
        let WriteError::Stopped(cause) = &told else { panic!("{scheme}: {told}") };
        assert!(matches!(&**cause, SessionError::Store(StoreError::NotFound(_))), "{scheme}: {cause}");
        assert_eq!(writer.close().unwrap_err().unwritten.len(), 1, "{scheme}");
        assert!(!store.exists(at.session_id).unwrap(), "{scheme}: nothing was made anew");
    }
}

#[test]
fn a_session_with_a_live_writer_is_not_deleted() {
    for (scheme, store, _folder) in every_store() {
        let at = root(&*store, turn(1, "one", "r1"));
        let writer = writer_at(&store, at, options());
        let error = store.delete_session(at.session_id).unwrap_err();
        assert!(matches!(&error, StoreError::Busy { .. }), "{scheme}: {error}");
        writer.close().unwrap();
        store.delete_session(at.session_id).unwrap();
    }
}

#[test]
fn a_segment_that_was_rolled_back_under_it_stops_it() {
    for (scheme, inner, _folder) in every_store() {
        let store: Arc<dyn Backend> = Arc::new(Gate::without_watch(&inner));
        let at = root(&*store, turn(1, "one", "r1"));
        let integrity = inner.integrity().unwrap();
        let new = NewCheckpoint { reason: String::new(), name: None, now: NOW };
        let checkpoint = integrity.checkpoint(at.session_id, at.segment_id, &new).unwrap();
        let writer = writer_at(&store, at, options());
        writer.submit(prompt("taken back")).unwrap().wait().unwrap();
        let how = MaintenanceOptions { now: NOW, dry_run: false, correlation_id: None };
        integrity.rollback(at.session_id, at.segment_id, checkpoint.number, &how).unwrap();
        append_entry(&*store, at, prompt("grown again")).unwrap();
        let told = writer.submit(prompt("lost its ground")).unwrap().wait().unwrap_err();
        assert_conflict(scheme, &told);
        assert_eq!(prompts(&*store, at), ["one", "grown again"], "{scheme}");
        assert_eq!(store.list_segments(at.session_id).unwrap().len(), 1, "{scheme}: there is nothing to continue");
    }
}

#[test]
fn readers_of_the_place_never_see_half_a_swap() {
    for (scheme, store, _folder) in every_store() {
        let at = create_segment(&*store, NOW, NewSegment::default()).unwrap();
        let writer = writer_at(&store, at, options());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        let head = writer.head();
                        let Position { seq, .. } = head.position;
                        let (session, segment) = (head.location.session_id, head.location.segment_id);
                        let there = store.read_range(session, segment, Seq(seq.0 - 1), 1).unwrap();
                        assert_eq!(there[0].position, head.position, "{scheme}: place and position of two moments");
                    }
                });
            }
            for n in 0..20 {
                append_entry(&*store, writer.location(), prompt("theirs")).unwrap();
                writer.submit(prompt(&n.to_string())).unwrap().wait().unwrap();
            }
            done.store(true, Ordering::SeqCst);
        });
        assert_eq!(store.list_segments(at.session_id).unwrap().len(), 21, "{scheme}");
        assert_eq!(prompts(&*store, writer.location()).len(), 20, "{scheme}");
        let restored = restore_by_segment(&*store, writer.location().segment_id).unwrap();
        assert_eq!(restored.turns, writer.head().turns, "{scheme}");
    }
}
