//! A writer's place.

use std::sync::Arc;

use session_store::{
    NewSegment, SegmentState, SessionError, append_entry, create_segment, restore_by_segment, save_turn_end,
    save_user_input,
};
use store_core::{HistoryItem, Item, LogEntry, Part, Role, Seq, StoreError};

use crate::common::{NOW, every_store, prompt, root, said, turn};

#[test]
fn a_state_goes_on_where_its_segment_was_restored() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let restored = restore_by_segment(&*store, a.segment_id).unwrap();
        let state = SegmentState::from_restored(&restored).unwrap();
        assert_eq!(*state.head(), *SegmentState::open(&*store, a).unwrap().head(), "{scheme}");
        save_user_input(&*store, &state, NOW, vec![Part::text("two")]).unwrap();
        let end = save_turn_end(&*store, &state, NOW).unwrap();
        let written = store.read_tail(a.session_id, a.segment_id, 1).unwrap().remove(0);
        assert_eq!(written.position, end, "{scheme}");
        assert!(matches!(&written.entry, LogEntry::TurnEnd(end) if end.turn_count == 2), "{scheme}: {written:?}");
        assert!(SegmentState::from_restored(&session_store::collect_state(&[])).is_none());
    }
}

#[test]
fn who_was_overtaken_is_told_and_goes_on_in_a_branch_of_its_own() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let state = SegmentState::open(&*store, a).unwrap();
        append_entry(&*store, a, prompt("from elsewhere")).unwrap();
        let error = save_user_input(&*store, &state, NOW, vec![Part::text("mine")]).unwrap_err();
        assert!(matches!(&error, SessionError::Store(StoreError::Conflict { .. })), "{scheme}: {error:?}");
        let b = state.ensure_head_or_fork(&*store, NOW).unwrap();
        assert_eq!((b.session_id, b.segment_id != a.segment_id), (a.session_id, true), "{scheme}");
        assert_eq!(state.location(), b, "{scheme}");
        save_user_input(&*store, &state, NOW, vec![Part::text("mine")]).unwrap();
        assert_eq!(state.ensure_head_or_fork(&*store, NOW).unwrap(), b, "{scheme}");
        let restored = restore_by_segment(&*store, b.segment_id).unwrap();
        assert_eq!(said(&restored.history), ["User: one", "Assistant: re: one", "User: mine"], "{scheme}");
        assert_eq!(restored.turns, state.head().turns, "{scheme}");
        assert_eq!(store.read_entry_count(a.session_id, a.segment_id).unwrap(), 6, "{scheme}");
    }
}

#[test]
fn a_compaction_moves_the_writer_to_the_new_segment() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let state = SegmentState::open(&*store, a).unwrap();
        let history = vec![HistoryItem::Item(Item::message(Role::User, "summary"))];
        let b = state.compact(&*store, NOW, NewSegment { history, ..NewSegment::default() }).unwrap();
        assert_eq!((state.location(), state.head().position.seq), (b, Seq(1)), "{scheme}");
        save_user_input(&*store, &state, NOW, vec![Part::text("two")]).unwrap();
        let restored = restore_by_segment(&*store, b.segment_id).unwrap();
        assert_eq!((said(&restored.history).len(), restored.turn_count), (2, 2), "{scheme}");
        let overtaken = SegmentState::open(&*store, b).unwrap();
        append_entry(&*store, b, prompt("from elsewhere")).unwrap();
        let error = overtaken.compact(&*store, NOW, NewSegment::default()).unwrap_err();
        assert!(matches!(&error, SessionError::Store(StoreError::Conflict { .. })), "{scheme}: {error:?}");
        assert_eq!(store.list_segments(a.session_id).unwrap().len(), 2, "{scheme}");
    }
}

#[test]
fn threads_that_share_a_state_write_one_after_the_other_and_see_one_place() {
    const WRITERS: u64 = 4;
    const EACH: u64 = 25;
    for (scheme, store, _folder) in every_store() {
        let a = create_segment(&*store, NOW, NewSegment::default()).unwrap();
        let state = Arc::new(SegmentState::open(&*store, a).unwrap());
        std::thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        save_user_input(&*store, &state, NOW, vec![Part::text("x")]).unwrap();
                        save_turn_end(&*store, &state, NOW).unwrap();
                        let head = state.head();
                        assert_eq!(head.location, a);
                        // Start, and for each turn its prompt and perhaps its end.
                        assert!(head.position.seq.0 <= 1 + 2 * WRITERS * EACH);
                        assert!(head.turns.turn_count() < head.position.seq.0, "{head:?}");
                    }
                });
            }
        });
        let restored = restore_by_segment(&*store, a.segment_id).unwrap();
        assert_eq!(restored.entries_count, 1 + 2 * WRITERS * EACH, "{scheme}");
        assert_eq!((restored.position, &restored.turns), (state.head().position, &state.head().turns), "{scheme}");
    }
}
