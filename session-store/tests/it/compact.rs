//! Compactions.

use session_store::{
    ForkPoint, NewSegment, SessionError, SessionFacts, create_compacted_segment, create_segment, restore_by_segment,
};
use store_core::{
    HistoryItem, HistoryRef, Item, LogEntry, Role, SegmentMeta, Seq, SessionConfig, SessionKind, StoreError,
};

use crate::common::{NOW, branch, every_store, extend, prompt, root, said, turn};

fn with_history(history: Vec<HistoryItem>) -> NewSegment {
    NewSegment { history, ..NewSegment::default() }
}

fn summary() -> HistoryItem {
    HistoryItem::Item(Item::message(Role::User, "summary"))
}

#[test]
fn a_compaction_inherits_the_session_and_becomes_its_current_leaf() {
    for (scheme, store, _folder) in every_store() {
        let meta = SegmentMeta {
            agent: Some("codex".into()),
            native_id: Some("n1".into()),
            source: Some("a.jsonl".into()),
            kind: SessionKind::Subagent,
            ..SegmentMeta::default()
        };
        let config = SessionConfig { model: Some("m1".into()), ..SessionConfig::default() };
        let a = create_segment(&*store, NOW, NewSegment { meta, config, ..NewSegment::default() }).unwrap();
        extend(&*store, a, turn(1, "one", "r1"));
        let before = store.read_range(a.session_id, a.segment_id, Seq(0), 99).unwrap();
        let b = create_compacted_segment(&*store, NOW, a, ForkPoint::End, with_history(vec![summary()])).unwrap();
        assert_eq!(b.session_id, a.session_id, "{scheme}");
        let start = branch(&*store, b).last().unwrap().start().unwrap().clone();
        let origin = start.compacted_from.unwrap();
        assert_eq!((origin.segment_id, origin.seq, origin.at_turn_index), (a.segment_id, Seq(5), 1), "{scheme}");
        assert_eq!((start.meta.agent.as_deref(), start.meta.kind), (Some("codex"), SessionKind::Subagent), "{scheme}");
        assert_eq!((start.meta.native_id, start.meta.source), (None, None), "{scheme}");
        let facts = SessionFacts::read(&*store, a.session_id).unwrap();
        assert_eq!(facts.current_leaf.map(|leaf| leaf.segment_id), Some(b.segment_id), "{scheme}");
        let state = restore_by_segment(&*store, b.segment_id).unwrap();
        assert_eq!((said(&state.history), state.turn_count), (vec!["User: summary".to_owned()], 1), "{scheme}");
        assert_eq!(state.config.model.as_deref(), Some("m1"), "{scheme}");
        assert_eq!(store.read_range(a.session_id, a.segment_id, Seq(0), 99).unwrap(), before, "{scheme}");
    }
}

#[test]
fn a_compaction_of_an_earlier_point_leaves_out_what_came_after() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [turn(1, "one", "r1"), turn(2, "two", "r2")].concat());
        let reference = HistoryRef { segment_id: a.segment_id, from: Seq(2), through: Seq(3) };
        let new = with_history(vec![summary(), HistoryItem::Reference(reference)]);
        let b = create_compacted_segment(&*store, NOW, a, ForkPoint::Turn(1), new).unwrap();
        let state = restore_by_segment(&*store, b.segment_id).unwrap();
        assert_eq!(said(&state.history), ["User: summary", "User: one", "Assistant: re: one"], "{scheme}");
        assert_eq!(state.turn_count, 1, "{scheme}");
    }
}

#[test]
fn a_history_that_refers_beyond_the_compacted_point_is_refused() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [turn(1, "one", "r1"), turn(2, "two", "r2")].concat());
        let reference = HistoryRef { segment_id: a.segment_id, from: Seq(2), through: Seq(6) };
        let new = with_history(vec![HistoryItem::Reference(reference)]);
        let error = create_compacted_segment(&*store, NOW, a, ForkPoint::Turn(1), new).unwrap_err();
        assert!(matches!(&error, SessionError::Store(StoreError::InvalidOrigin { .. })), "{scheme}: {error:?}");
        assert_eq!(store.list_segments(a.session_id).unwrap(), [a.segment_id], "{scheme}");
        assert_eq!(SessionFacts::read(&*store, a.session_id).unwrap().current_leaf, None, "{scheme}");
    }
}

#[test]
fn a_large_summary_stands_beside_the_log_and_is_read_back() {
    for (scheme, store, _folder) in every_store() {
        let a = root(&*store, [prompt("one")]);
        let text = "long ".repeat(20_000);
        let new = with_history(vec![HistoryItem::Item(Item::message(Role::User, text.clone()))]);
        let b = create_compacted_segment(&*store, NOW, a, ForkPoint::End, new).unwrap();
        let stored = store.read_range(b.session_id, b.segment_id, Seq(0), 1).unwrap().remove(0);
        assert!(stored.text.len() < 2_000, "{scheme}: {} bytes", stored.text.len());
        assert!(matches!(stored.entry, LogEntry::SegmentStart(_)), "{scheme}");
        let state = restore_by_segment(&*store, b.segment_id).unwrap();
        assert_eq!(state.history, [Item::message(Role::User, text)], "{scheme}");
    }
}
