//! Forks, into another session and within one.

use session_store::{
    CurrentLeaf, ForkPoint, LineageError, NewSegment, SessionError, SessionFacts, create_compacted_segment,
    ensure_head_or_fork, fork, fork_at, fork_origin, restore_by_segment,
};
use store_core::{ConfigChanged, LogEntry, Position, SegmentOrigin, Seq, SessionConfig, StoreError};

use crate::common::{
    LyingStore, NOW, answer, branch, call, every_store, extend, injected, prompt, result, root, said, turn, turn_end,
    usage,
};

fn config_changed() -> LogEntry {
    LogEntry::ConfigChanged(ConfigChanged { ts: NOW, config: SessionConfig::default() })
}

#[test]
fn a_fork_is_a_session_of_its_own_and_copies_nothing() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [turn(1, "one", "r1"), turn(2, "two", "r2")].concat());
        let b = fork(&*store, NOW, a, ForkPoint::End).unwrap();
        assert_ne!(b.session_id, a.session_id, "{scheme}");
        assert_eq!(store.read_entry_count(b.session_id, b.segment_id).unwrap(), 1, "{scheme}");
        let start = branch(&*store, b).last().unwrap().start().unwrap().clone();
        let SegmentOrigin { session_id, segment_id, seq, at_turn_index } = start.forked_from.unwrap();
        assert_eq!((session_id, segment_id, seq, at_turn_index), (a.session_id, a.segment_id, Seq(9), 2), "{scheme}");
        let (of_a, of_b) = (restore_by_segment(&*store, a.segment_id), restore_by_segment(&*store, b.segment_id));
        assert_eq!(of_a.unwrap().history, of_b.unwrap().history, "{scheme}");
        assert_eq!(SessionFacts::read(&*store, b.session_id).unwrap(), SessionFacts::default(), "{scheme}");
    }
}

#[test]
fn a_fork_within_the_session_becomes_its_current_leaf() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let b = fork_at(&*store, NOW, a, ForkPoint::Turn(1)).unwrap();
        assert_eq!(b.session_id, a.session_id, "{scheme}");
        let facts = SessionFacts::read(&*store, a.session_id).unwrap();
        let expected = CurrentLeaf { segment_id: b.segment_id, seq: Seq(1) };
        assert_eq!(facts.current_leaf, Some(expected), "{scheme}");
    }
}

#[test]
fn a_turn_ends_behind_what_was_recorded_about_it_and_before_what_prepares_the_next() {
    for (scheme, store, _folder) in every_store() {
        let a = root(
            &*store,
            [
                injected("env"),     // 2
                prompt("one"),       // 3
                answer("1"),         // 4
                turn_end(1),         // 5
                config_changed(),    // 6
                usage("r1", 10, 10), // 7
                config_changed(),    // 8
                injected("env"),     // 9
                prompt("two"),       // 10
                call("c1"),          // 11
                config_changed(),    // 12
                result("c1", "ok"),  // 13
            ],
        );
        let parts = branch(&*store, a);
        let seq_of =
            |turn| fork_origin(&parts, ForkPoint::Turn(turn)).map(|origin| (origin.seq.0, origin.at_turn_index));
        assert_eq!(seq_of(0).unwrap(), (2, 0), "{scheme}");
        assert_eq!(seq_of(1).unwrap(), (7, 1), "{scheme}");
        assert_eq!(seq_of(2).unwrap(), (13, 2), "{scheme}");
        let error = seq_of(3).unwrap_err();
        assert!(matches!(error, SessionError::InvalidTurn { at: 3, turns: 2 }), "{scheme}: {error:?}");
    }
}

#[test]
fn settings_changed_within_a_turn_belong_to_it() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [prompt("one"), call("c1"), injected("note"), config_changed()]);
        let origin = fork_origin(&branch(&*store, a), ForkPoint::Turn(1)).unwrap();
        assert_eq!(origin.seq, Seq(5), "{scheme}");
    }
}

#[test]
fn a_turn_of_the_inherited_prefix_is_forked_where_it_stands() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [turn(1, "one", "r1"), turn(2, "two", "r2")].concat());
        let b = fork(&*store, NOW, a, ForkPoint::End).unwrap();
        extend(&*store, b, turn(3, "three", "r3"));
        let c = fork_at(&*store, NOW, b, ForkPoint::Turn(1)).unwrap();
        assert_eq!(c.session_id, b.session_id, "{scheme}");
        let parts = branch(&*store, c);
        let origin = parts.last().unwrap().start().unwrap().forked_from.unwrap();
        assert_eq!(
            (origin.session_id, origin.segment_id, origin.seq),
            (a.session_id, a.segment_id, Seq(5)),
            "{scheme}"
        );
        let state = restore_by_segment(&*store, c.segment_id).unwrap();
        assert_eq!((said(&state.history).len(), state.turn_count), (2, 1), "{scheme}");
    }
}

#[test]
fn a_compaction_between_two_turns_belongs_to_neither() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let b = create_compacted_segment(&*store, NOW, a, ForkPoint::End, NewSegment::default()).unwrap();
        extend(&*store, b, [usage("compaction", 5, 5)]);
        extend(&*store, b, turn(2, "two", "r2"));
        let parts = branch(&*store, b);
        let origin = fork_origin(&parts, ForkPoint::Turn(1)).unwrap();
        assert_eq!((origin.segment_id, origin.seq), (a.segment_id, Seq(5)), "{scheme}");
        let origin = fork_origin(&parts, ForkPoint::Turn(2)).unwrap();
        assert_eq!((origin.segment_id, origin.at_turn_index), (b.segment_id, 2), "{scheme}");
    }
}

#[test]
fn a_turn_that_went_on_behind_a_compaction_ends_there() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [prompt("one"), call("c1"), result("c1", "ok")]);
        let b = create_compacted_segment(&*store, NOW, a, ForkPoint::End, NewSegment::default()).unwrap();
        extend(&*store, b, [answer("done"), turn_end(1)]);
        let origin = fork_origin(&branch(&*store, b), ForkPoint::Turn(1)).unwrap();
        assert_eq!((origin.segment_id, origin.seq), (b.segment_id, Seq(3)), "{scheme}");
    }
}

#[test]
fn a_seq_that_the_segment_does_not_have_is_refused() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [prompt("one")]);
        for seq in [0, 3] {
            let error = fork(&*store, NOW, a, ForkPoint::Seq(Seq(seq))).unwrap_err();
            let expected = LineageError::BeyondEnd { segment: a.segment_id, seq: Seq(seq), count: 2 };
            assert!(matches!(&error, SessionError::Lineage(found) if *found == expected), "{scheme}: {error:?}");
        }
        assert_eq!(store.list_sessions().unwrap(), [a.session_id], "{scheme}");
    }
}

#[test]
fn a_fork_of_a_fork_that_wrote_nothing_continues_its_start() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let b = fork(&*store, NOW, a, ForkPoint::End).unwrap();
        let c = fork(&*store, NOW, b, ForkPoint::End).unwrap();
        let origin = branch(&*store, c).last().unwrap().start().unwrap().forked_from.unwrap();
        assert_eq!((origin.segment_id, origin.seq, origin.at_turn_index), (b.segment_id, Seq(1), 1), "{scheme}");
        assert_eq!(restore_by_segment(&*store, c.segment_id).unwrap().history.len(), 2, "{scheme}");
    }
}

#[test]
fn who_is_alone_goes_on_in_the_same_segment() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let end = branch(&*store, a).last().unwrap().position;
        assert_eq!(ensure_head_or_fork(&*store, NOW, a, end).unwrap(), a, "{scheme}");
        assert_eq!(store.list_segments(a.session_id).unwrap(), [a.segment_id], "{scheme}");
    }
}

#[test]
fn who_was_overtaken_goes_on_from_what_it_saw() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let seen = branch(&*store, a).last().unwrap().position;
        extend(&*store, a, turn(2, "by somebody else", "r2"));
        let b = ensure_head_or_fork(&*store, NOW, a, seen).unwrap();
        assert_eq!(b.session_id, a.session_id, "{scheme}");
        let origin = branch(&*store, b).last().unwrap().start().unwrap().forked_from.unwrap();
        assert_eq!((origin.segment_id, origin.seq, origin.at_turn_index), (a.segment_id, Seq(5), 1), "{scheme}");
        assert_eq!(
            said(&restore_by_segment(&*store, b.segment_id).unwrap().history),
            ["User: one", "Assistant: re: one"]
        );
    }
}

#[test]
fn what_was_seen_and_is_gone_is_a_conflict_and_nothing_is_written() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, turn(1, "one", "r1"));
        let end = branch(&*store, a).last().unwrap().position;
        let regrown = Position { seq: Seq(3), crc32c: end.crc32c ^ 1 };
        let beyond = Position { seq: Seq(6), ..end };
        let rewritten = Position { crc32c: end.crc32c ^ 1, ..end };
        for seen in [regrown, beyond, rewritten] {
            let error = ensure_head_or_fork(&*store, NOW, a, seen).unwrap_err();
            assert!(
                matches!(&error, SessionError::Store(StoreError::Conflict { actual, .. }) if *actual == end),
                "{scheme}: {error:?}"
            );
        }
        assert_eq!(store.list_segments(a.session_id).unwrap(), [a.segment_id], "{scheme}");
    }
}

#[test]
fn looking_whether_one_is_alone_reads_one_entry() {
    let store = LyingStore::default();
    let a = root(&store, turn(1, "one", "r1"));
    let end = branch(&store, a).last().unwrap().position;
    store.take_reads();
    ensure_head_or_fork(&store, NOW, a, end).unwrap();
    assert_eq!(store.take_reads().into_iter().collect::<Vec<_>>(), [(a.segment_id, 1)]);
}
