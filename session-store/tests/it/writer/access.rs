//! Submitting, tickets, flushing, closing.

use std::sync::Arc;

use serde_json::json;
use session_store::{
    Clock, NewSegment, SegmentState, SessionWriter, Submission, WriteError, create_segment, restore_by_segment,
};
use store_core::{Extension, HistoryItem, Item, LogEntry, Role, SegmentId, Seq, StoreError};

use super::{entry_at, options, prompts, writer_at};
use crate::common::{NOW, answer, every_store, injected, prompt, root, said, turn};

#[test]
fn entries_are_written_in_the_order_of_submission_and_tickets_say_where() {
    for (scheme, store, _folder) in every_store() {
        let at = create_segment(&*store, NOW, NewSegment::default()).unwrap();
        let writer = writer_at(&store, at, options());
        let tickets: Vec<_> = (0..300).map(|n| (n, writer.submit(prompt(&format!("{n}"))).unwrap())).collect();
        for (n, ticket) in tickets {
            let landed = ticket.wait().unwrap();
            assert_eq!((landed.location, landed.position.seq), (at, Seq(n + 2)), "{scheme}");
            assert_eq!(entry_at(&*store, landed), prompt(&format!("{n}")), "{scheme}");
        }
        let head = writer.close().unwrap();
        assert_eq!(head.position.seq, Seq(301), "{scheme}");
        assert_eq!(head.turns, restore_by_segment(&*store, at.segment_id).unwrap().turns, "{scheme}");
    }
}

#[test]
fn a_ticket_can_be_awaited_without_a_runtime() {
    for (scheme, store, _folder) in every_store() {
        let at = root(&*store, turn(1, "one", "r1"));
        let writer = writer_at(&store, at, options());
        let landed = futures_lite::future::block_on(async {
            let (prompted, answered) = futures_lite::future::zip(
                writer.submit(prompt("two")).unwrap(),
                writer.submit(answer("re: two")).unwrap(),
            )
            .await;
            assert_eq!(prompted.unwrap().position.seq.0 + 1, answered.unwrap().position.seq.0, "{scheme}");
            writer.room(1).await.unwrap();
            writer.flush().await.unwrap()
        });
        assert_eq!(entry_at(&*store, landed), answer("re: two"), "{scheme}");
    }
}

#[test]
fn turns_are_counted_over_what_was_submitted() {
    for (scheme, store, _folder) in every_store() {
        let at = root(&*store, turn(1, "one", "r1"));
        let writer = writer_at(&store, at, options());
        writer.submit(prompt("two")).unwrap();
        let ended = writer.submit_turn_end(NOW).unwrap().wait().unwrap();
        let LogEntry::TurnEnd(end) = entry_at(&*store, ended) else { panic!("{scheme}: no end") };
        assert_eq!((end.ts, end.turn_count), (NOW, 2), "{scheme}");
    }
}

#[test]
fn what_is_submitted_together_stands_side_by_side() {
    for (scheme, store, _folder) in every_store() {
        let at = root(&*store, []);
        let writer = writer_at(&store, at, options());
        let step = [answer("a"), answer("b"), answer("c")].map(Submission::from);
        let last = writer.submit_all(step).unwrap().wait().unwrap();
        assert_eq!((last.position.seq, entry_at(&*store, last)), (Seq(4), answer("c")), "{scheme}");
        assert_eq!(writer.submit_all([]).unwrap().wait().unwrap(), last, "{scheme}: nothing is written for nothing");
    }
}

#[test]
fn dropping_a_writer_writes_what_it_was_given() {
    for (scheme, store, _folder) in every_store() {
        let at = root(&*store, []);
        let writer = writer_at(&store, at, options());
        for n in 0..100 {
            writer.submit(prompt(&n.to_string())).unwrap();
        }
        drop(writer);
        let expected: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        assert_eq!(prompts(&*store, at), expected, "{scheme}");
        let watch = store.watch().unwrap();
        assert_eq!(watch.leased(at.session_id, at.segment_id).unwrap(), None, "{scheme}: the lease is given up");
    }
}

#[test]
fn large_texts_go_into_blobs() {
    for (scheme, store, _folder) in every_store() {
        let at = root(&*store, []);
        let writer = writer_at(&store, at, options());
        let large = "ä".repeat(session_store::blob::INLINE_BYTES_MAX);
        let landed = writer.submit(prompt(&large)).unwrap().wait().unwrap();
        let record = store.read_range(at.session_id, at.segment_id, Seq(1), 1).unwrap().remove(0);
        assert_eq!(record.position, landed.position, "{scheme}");
        assert!(record.text.len() < 1000 && record.text.contains("$blob"), "{scheme}: {}", record.text.len());
        let restored = restore_by_segment(&*store, at.segment_id).unwrap();
        assert_eq!(said(&restored.history), [format!("User: {large}")], "{scheme}");
    }
}

#[test]
fn what_a_store_refuses_is_left_out_alone_and_the_next_flush_tells() {
    for (scheme, store, _folder) in every_store() {
        let at = root(&*store, []);
        let writer = writer_at(&store, at, options());
        let mut deep = json!(1);
        for _ in 0..200 {
            deep = json!([deep]);
        }
        let too_deep = LogEntry::Extension(Extension { ts: NOW, domain: "deep".into(), payload: deep });
        let before = writer.submit(prompt("before")).unwrap();
        let refused = writer.submit(too_deep).unwrap();
        let behind = writer.submit(prompt("behind")).unwrap();
        assert!(before.wait().is_ok() && behind.wait().is_ok(), "{scheme}");
        let error = refused.wait().unwrap_err();
        assert!(matches!(&error, WriteError::Refused(_)), "{scheme}: {error}");
        let told = writer.flush().wait().unwrap_err();
        assert!(matches!(&told, WriteError::Refused(_)), "{scheme}: {told}");
        assert_eq!(writer.flush().wait().unwrap().position, writer.head().position, "{scheme}: told once");
        assert_eq!(prompts(&*store, at), ["before", "behind"], "{scheme}");
        writer.close().unwrap();
    }
}

#[test]
fn a_compaction_goes_where_it_was_asked_for() {
    for (scheme, store, _folder) in every_store() {
        let at = root(&*store, turn(1, "one", "r1"));
        let writer = writer_at(&store, at, options());
        let before = writer.submit(prompt("two")).unwrap();
        let history = vec![HistoryItem::Item(Item::message(Role::User, "summary"))];
        let begun = writer.compact(NewSegment { history, ..NewSegment::default() });
        let behind = writer.submit(injected("three")).unwrap();
        assert_eq!(before.wait().unwrap().location, at, "{scheme}");
        let begun = begun.wait().unwrap();
        assert_ne!(begun.location.segment_id, at.segment_id, "{scheme}");
        assert_eq!(behind.wait().unwrap().location, begun.location, "{scheme}");
        let watch = store.watch().unwrap();
        let leased = |segment: SegmentId| watch.leased(at.session_id, segment).unwrap().is_some();
        assert_eq!((leased(at.segment_id), leased(begun.location.segment_id)), (false, true), "{scheme}");
        let restored = restore_by_segment(&*store, begun.location.segment_id).unwrap();
        assert_eq!(said(&restored.history), ["User: summary", "Developer: three"], "{scheme}");
        let outside = store_core::HistoryRef { segment_id: begun.location.segment_id, from: Seq(9), through: Seq(9) };
        let wrong = NewSegment { history: vec![HistoryItem::Reference(outside)], ..NewSegment::default() };
        let error = writer.compact(wrong).wait().unwrap_err();
        assert!(matches!(&error, WriteError::Refused(_)), "{scheme}: {error}");
        assert!(writer.submit(prompt("four")).unwrap().wait().is_ok(), "{scheme}: it goes on");
    }
}

#[test]
fn a_writer_of_what_is_not_there_does_not_start() {
    for (scheme, store, _folder) in every_store() {
        let at = root(&*store, []);
        let state = SegmentState::open(&*store, at).unwrap();
        store.delete_session(at.session_id).unwrap();
        let error = SessionWriter::start(Arc::clone(&store), state, options()).unwrap_err();
        assert!(matches!(&error, session_store::SessionError::Store(StoreError::NotFound(_))), "{scheme}: {error}");
    }
}

#[test]
fn a_clock_that_goes_back_changes_no_order() {
    for (scheme, store, _folder) in every_store() {
        let at = root(&*store, turn(1, "one", "r1"));
        let ticks = std::sync::atomic::AtomicU64::new(NOW);
        let back = Clock::new(move || ticks.fetch_sub(1000, std::sync::atomic::Ordering::SeqCst));
        let mut last = at;
        let writer = writer_at(&store, at, session_store::WriterOptions::new("w", back));
        for n in 0..4 {
            session_store::append_entry(&*store, last, injected("foreign")).unwrap();
            let landed = writer.submit(prompt(&n.to_string())).unwrap().wait().unwrap();
            assert!(landed.location.segment_id > last.segment_id, "{scheme}: ids never go back");
            last = landed.location;
            assert_eq!(session_store::current_leaf(&*store, at.session_id).unwrap(), last.segment_id, "{scheme}");
        }
        assert_eq!(prompts(&*store, last), ["one", "0", "1", "2", "3"], "{scheme}");
    }
}
