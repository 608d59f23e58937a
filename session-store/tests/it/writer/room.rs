//! A queue that is full, and a store that keeps it so.

use std::sync::Arc;

use session_store::{NotQueued, Submission, WriteError, WriterOptions};
use store_core::Backend;

use super::gate::Gate;
use super::{options, prompts, writer_at};
use crate::common::{every_store, prompt, root};

fn small() -> WriterOptions {
    WriterOptions { queue_entries_max: 3, ..options() }
}

#[test]
fn a_full_queue_gives_the_entry_back_and_never_waits() {
    for (scheme, inner, _folder) in every_store() {
        let at = root(&*inner, []);
        let gate = Arc::new(Gate::of(&inner).shut());
        let store: Arc<dyn Backend> = Arc::clone(&gate) as _;
        let writer = writer_at(&store, at, small());
        // The store takes nothing, and still each of these returns.
        let tickets: Vec<_> = (0..3).map(|n| writer.submit(prompt(&n.to_string())).unwrap()).collect();
        let NotQueued { why, entries } = writer.submit(prompt("too many")).unwrap_err();
        assert!(matches!(why, WriteError::Full { entries_max: 3 }), "{scheme}: {why}");
        assert_eq!(entries, [prompt("too many").into()], "{scheme}");
        assert!(tickets.iter().all(|ticket| ticket.outcome().is_none()), "{scheme}");
        assert!(writer.failure().is_none(), "{scheme}: nothing is wrong");
        gate.open();
        writer.room(1).wait().unwrap();
        writer.submit(prompt("fits")).unwrap().wait().unwrap();
        assert_eq!(prompts(&*store, at), ["0", "1", "2", "fits"], "{scheme}");
    }
}

#[test]
fn who_waits_for_room_is_slowed_down_and_loses_nothing() {
    for (scheme, inner, _folder) in every_store() {
        let at = root(&*inner, []);
        let writer = writer_at(&inner, at, small());
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let writer = &writer;
                scope.spawn(move || {
                    for n in 0..50 {
                        writer.submit_waiting(prompt(&format!("{thread}-{n}"))).unwrap();
                    }
                });
            }
        });
        writer.close().unwrap();
        let written = prompts(&*inner, at);
        for thread in 0..4 {
            let own: Vec<&String> = written.iter().filter(|text| text.starts_with(&format!("{thread}-"))).collect();
            let expected: Vec<String> = (0..50).map(|n| format!("{thread}-{n}")).collect();
            assert_eq!(own, expected.iter().collect::<Vec<_>>(), "{scheme}");
        }
    }
}

#[test]
fn a_task_that_awaits_room_is_woken() {
    for (scheme, inner, _folder) in every_store() {
        let at = root(&*inner, []);
        let gate = Arc::new(Gate::of(&inner).shut());
        let store: Arc<dyn Backend> = Arc::clone(&gate) as _;
        let writer = writer_at(&store, at, small());
        writer.submit_all((0..3).map(|n| prompt(&n.to_string()).into())).unwrap();
        let mut opened = false;
        futures_lite::future::block_on(futures_lite::future::or(writer.room(3), async {
            opened = true;
            gate.open();
            std::future::pending().await
        }))
        .unwrap();
        assert!(opened, "{scheme}: there was no room before");
        assert_eq!(prompts(&*store, at).len(), 3, "{scheme}");
    }
}

#[test]
fn what_is_larger_than_the_queue_goes_in_alone() {
    for (scheme, inner, _folder) in every_store() {
        let at = root(&*inner, []);
        let writer = writer_at(&inner, at, small());
        let many = || (0..400).map(|n| Submission::from(prompt(&n.to_string())));
        writer.room(400).wait().unwrap();
        writer.submit_all(many()).unwrap().wait().unwrap();
        assert_eq!(prompts(&*inner, at).len(), 400, "{scheme}");
    }
}

#[test]
fn what_comes_in_while_a_call_is_written_is_written_together() {
    for (scheme, inner, _folder) in every_store() {
        let at = root(&*inner, []);
        let gate = Arc::new(Gate::of(&inner).shut());
        let store: Arc<dyn Backend> = Arc::clone(&gate) as _;
        let writer = writer_at(&store, at, options());
        let first = writer.submit(prompt("first")).unwrap();
        gate.let_one_pass();
        first.wait().unwrap();
        let rest: Vec<_> = (0..600).map(|n| writer.submit(prompt(&n.to_string())).unwrap()).collect();
        gate.open();
        assert!(rest.iter().all(|ticket| ticket.wait().is_ok()), "{scheme}");
        let calls = gate.calls();
        assert_eq!(calls.iter().sum::<usize>(), 601, "{scheme}");
        // One that was taken as soon as it came, and the others in calls as long as they may be.
        assert!(calls.len() <= 6 && calls.iter().max() == Some(&256), "{scheme}: {calls:?}");
    }
}
