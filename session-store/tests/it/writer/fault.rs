//! Stores that fail, and what is told of it to whom.

use std::sync::Arc;

use session_store::{SegmentLocation, SessionError, Submission, WriteError, append_entry};
use store_core::{Backend, LogEntry, StoreError};

use super::gate::{Fate, Gate};
use super::keys::keyed;
use super::{options, prompts, writer_at};
use crate::common::{answer, every_store, prompt, root};

#[test]
fn a_failed_sync_is_told_by_its_ticket_and_by_every_later_call() {
    for (scheme, inner, _folder) in every_store() {
        let at = root(&*inner, []);
        let gate = Arc::new(Gate::of(&inner).meets([Fate::FailBefore]).shut());
        let store: Arc<dyn Backend> = Arc::clone(&gate) as _;
        let writer = writer_at(&store, at, options());
        let tickets = [writer.submit(prompt("0")).unwrap(), writer.submit(prompt("1")).unwrap(), writer.flush()];
        gate.open();
        for ticket in tickets {
            assert_failed_sync(scheme, &ticket.wait().unwrap_err());
        }
        let refused = writer.submit(prompt("2")).unwrap_err();
        assert_failed_sync(scheme, &refused.why);
        assert_eq!(refused.entries, [prompt("2").into()], "{scheme}");
        assert_failed_sync(scheme, &writer.submit_waiting(prompt("3")).unwrap_err().why);
        assert_failed_sync(scheme, &writer.submit_turn_end(0).unwrap_err().why);
        assert_failed_sync(scheme, &writer.flush().wait().unwrap_err());
        assert_failed_sync(scheme, &writer.room(1).wait().unwrap_err());
        assert_failed_sync(scheme, &writer.failure().unwrap());
        let calls = gate.calls().len();
        let unfinished = writer.close().unwrap_err();
        assert_failed_sync(scheme, &unfinished.why);
        let given_back: Vec<_> = unfinished.unwritten.into_iter().map(|one| one.entry).collect();
        assert_eq!(given_back, [prompt("0"), prompt("1")], "{scheme}");
        assert_eq!(gate.calls().len(), calls, "{scheme}: nothing is tried behind a failed sync");
    }
}

fn assert_failed_sync(scheme: &str, error: &WriteError) {
    let WriteError::Stopped(cause) = error else { panic!("{scheme}: {error}") };
    assert!(matches!(&**cause, SessionError::Store(StoreError::Io { .. })), "{scheme}: {cause}");
}

#[test]
fn what_was_given_back_is_never_there_twice() {
    for (scheme, inner, _folder) in every_store() {
        for fate in [Fate::FailBefore, Fate::FailAfter] {
            for foreign in [false, true] {
                let at = root(&*inner, []);
                let store: Arc<dyn Backend> = Arc::new(Gate::of(&inner).meets([Fate::Pass, fate]));
                let writer = writer_at(&store, at, options());
                writer.submit(prompt("0")).unwrap().wait().unwrap();
                let _ = writer.submit_all([prompt("1").into(), answer("re: 1").into()]).unwrap().wait();
                let unwritten = writer.close().unwrap_err().unwritten;
                assert_eq!(unwritten.len(), 2, "{scheme} {fate:?}");
                if foreign {
                    append_entry(&*store, at, prompt("theirs")).unwrap();
                }
                let again = writer_at(&store, at, options());
                let last = again.submit_all(unwritten).unwrap().wait().unwrap();
                again.submit(prompt("2")).unwrap().wait().unwrap();
                let mut written = prompts(&*store, last.location);
                written.retain(|text| text != "theirs");
                assert_eq!(written, ["0", "1", "2"], "{scheme} {fate:?}");
            }
        }
    }
}

#[test]
fn turns_that_stand_there_already_are_not_counted_again() {
    for (scheme, inner, _folder) in every_store() {
        for fate in [Fate::FailBefore, Fate::FailAfter] {
            let at = root(&*inner, []);
            let gate = Arc::new(Gate::of(&inner).meets([fate]).shut());
            let store: Arc<dyn Backend> = Arc::clone(&gate) as _;
            let writer = writer_at(&store, at, options());
            // Turns of two entries each; what the gate lets through first may hold any number of them.
            for turn in ["0", "1", "2"] {
                writer.submit_all([prompt(turn).into(), answer("yes").into()]).unwrap();
                writer.submit_turn_end(0).unwrap();
            }
            gate.open();
            let unwritten = writer.close().unwrap_err().unwritten;
            assert_eq!(unwritten.len(), 9, "{scheme} {fate:?}");

            let again = writer_at(&store, at, options());
            again.submit_all(unwritten).unwrap();
            again.submit_all([prompt("3").into(), answer("yes").into()]).unwrap();
            again.submit_turn_end(0).unwrap();
            again.close().unwrap();
            assert_eq!(turn_counts(&*store, at), [1, 2, 3, 4], "{scheme} {fate:?}");
        }
    }
}

#[test]
fn a_turn_is_not_counted_whose_prompt_was_refused() {
    for (scheme, store, _folder) in every_store() {
        let at = root(&*store, []);
        let gate = Arc::new(Gate::of(&store).shut());
        let writer = writer_at(&(Arc::clone(&gate) as Arc<dyn Backend>), at, options());
        writer.submit_all([keyed("0"), answer("yes").into()]).unwrap();
        writer.submit_turn_end(0).unwrap();
        writer.submit(Submission::from(prompt("other")).with_key("key of 0")).unwrap();
        writer.submit_turn_end(0).unwrap();
        gate.open();
        let unfinished = writer.close().unwrap_err();
        assert_eq!((unfinished.unwritten.len(), unfinished.refused), (0, 1), "{scheme}");
        assert!(unfinished.to_string().starts_with("refused: 1: "), "{scheme}: {unfinished}");
        assert_eq!(turn_counts(&*store, at), [1, 1], "{scheme}");
    }
}

fn turn_counts(store: &dyn Backend, at: SegmentLocation) -> Vec<u64> {
    let entries = store.read_all(at.session_id, at.segment_id).unwrap();
    let counts = entries.iter().filter_map(|entry| match entry {
        LogEntry::TurnEnd(end) => Some(end.turn_count),
        _ => None,
    });
    counts.collect()
}

#[test]
fn a_failed_sync_of_a_flush_stops_the_writer() {
    for (scheme, inner, _folder) in every_store() {
        let at = root(&*inner, []);
        let store: Arc<dyn Backend> = Arc::new(Gate::of(&inner).meets([Fate::Pass, Fate::FailBefore]));
        let writer = writer_at(&store, at, options());
        writer.submit(answer("buffered")).unwrap().wait().unwrap();
        assert_failed_sync(scheme, &writer.flush().wait().unwrap_err());
        assert_failed_sync(scheme, &writer.submit(prompt("behind")).unwrap_err().why);
        assert_failed_sync(scheme, &writer.close().unwrap_err().why);
    }
}

#[test]
fn closing_tells_of_a_sync_that_nobody_asked_for() {
    for (scheme, inner, _folder) in every_store() {
        let at = root(&*inner, []);
        let store: Arc<dyn Backend> = Arc::new(Gate::of(&inner).meets([Fate::Pass, Fate::FailBefore]));
        let writer = writer_at(&store, at, options());
        writer.submit(answer("buffered")).unwrap();
        let unfinished = writer.close().unwrap_err();
        assert_failed_sync(scheme, &unfinished.why);
        assert_eq!(unfinished.unwritten, [], "{scheme}");
    }
}

#[test]
fn a_store_that_is_busy_is_asked_again() {
    for (scheme, inner, _folder) in every_store() {
        let at = root(&*inner, []);
        let busy_twice = [Fate::Busy, Fate::Busy, Fate::Pass];
        let gate = Arc::new(Gate::of(&inner).meets(busy_twice.repeat(2)));
        let store: Arc<dyn Backend> = Arc::clone(&gate) as _;
        let writer = writer_at(&store, at, options());
        assert_eq!(writer.submit(prompt("0")).unwrap().wait().unwrap().location, at, "{scheme}");
        assert_eq!(writer.flush().wait().unwrap().location, at, "{scheme}");
        assert_eq!((prompts(&*store, at).len(), gate.calls().len()), (1, 6), "{scheme}");
    }
}

#[test]
fn a_store_that_stays_busy_stops_the_writer() {
    for (scheme, inner, _folder) in every_store() {
        let at = root(&*inner, []);
        let store: Arc<dyn Backend> = Arc::new(Gate::of(&inner).meets([Fate::Busy; 100]));
        let writer = writer_at(&store, at, options());
        let told = writer.submit(prompt("0")).unwrap().wait().unwrap_err();
        let WriteError::Stopped(cause) = &told else { panic!("{scheme}: {told}") };
        assert!(matches!(&**cause, SessionError::Store(StoreError::Busy { .. })), "{scheme}: {cause}");
        assert_eq!(inner.list_segments(at.session_id).unwrap().len(), 1, "{scheme}: being busy is no reason to fork");
    }
}

#[test]
fn a_store_that_panics_leaves_nobody_waiting() {
    for (scheme, inner, _folder) in every_store() {
        let at = root(&*inner, []);
        let store: Arc<dyn Backend> = Arc::new(Gate::of(&inner).meets([Fate::Panic]));
        let writer = writer_at(&store, at, options());
        let told = writer.submit(prompt("0")).unwrap().wait().unwrap_err();
        assert!(matches!(&told, WriteError::Stopped(_)), "{scheme}: {told}");
        assert_eq!(writer.close().unwrap_err().unwritten.len(), 1, "{scheme}");
    }
}
