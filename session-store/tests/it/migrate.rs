//! Migrating: what goes over, what stays, and what a migration that is cut off or run again does.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::{Value, json};
use session_store::{
    CurrentLeaf, ForkPoint, MigrateFailureKind, MigrateOptions, MigrateReport, NewSegment, OpenMode, OpenOptions,
    SegmentLocation, SegmentState, SessionError, SessionFact, Title, TitleBy, create_compacted_segment, fork, migrate,
    open, put_session_fact, restore, save_user_input,
};
use store_core::integrity::{EventKind, NewCheckpoint, Outcome};
use store_core::{
    AppendOptions, Backend, Fact, FactScope, HistoryItem, Item, MemoryStore, NewEntry, Part, Role, SegmentId, Seq,
    SessionId, Store, StoreError, TraceEntry,
};

use crate::common::{LyingStore, NOW, every_store, extend, prompt, root, turn};

fn options() -> MigrateOptions {
    MigrateOptions { now: NOW, correlation_id: Some("c-1".to_owned()), ..MigrateOptions::default() }
}

fn migrated(source: &dyn Backend, target: &dyn Backend) -> MigrateReport {
    migrate(source, target, &options(), &mut |_| ControlFlow::Continue(())).unwrap()
}

/// The entries of a log: key and text.
type Log = Vec<(Option<String>, String)>;

/// All that a store holds, as far as it is the same on every backend.
#[derive(Debug, PartialEq)]
struct Holds {
    logs: BTreeMap<(SessionId, SegmentId), Log>,
    facts: BTreeMap<Option<SessionId>, Vec<Fact>>,
    traces: BTreeMap<SegmentId, Vec<TraceEntry>>,
}

fn holds(store: &dyn Store) -> Holds {
    let mut all = Holds { logs: BTreeMap::new(), facts: BTreeMap::new(), traces: BTreeMap::new() };
    all.facts.insert(None, store.facts(FactScope::Store).unwrap());
    for session in store.list_sessions().unwrap() {
        all.facts.insert(Some(session), store.facts(FactScope::Session(session)).unwrap());
        for segment in store.list_segments(session).unwrap() {
            let records = store.read_range(session, segment, Seq::START, usize::MAX).unwrap();
            let log = records.into_iter().map(|record| (record.key, record.text)).collect();
            all.logs.insert((session, segment), log);
            all.traces.insert(segment, store.read_traces(session, segment).unwrap());
        }
    }
    all
}

fn fact(domain: &str, value: Value) -> Fact {
    Fact { ts: NOW, domain: domain.to_owned(), value }
}

fn append(store: &dyn Store, at: SegmentLocation, entry: NewEntry) {
    store.append_with(at.session_id, at.segment_id, &[entry], &AppendOptions::default()).unwrap();
}

/// Where the parts of [`fill`] are.
struct Filled {
    trunk: SegmentLocation,
    fork: SegmentLocation,
    alone: SegmentLocation,
}

/// Conversations with everything that one can have.
fn fill(store: &dyn Backend) -> Filled {
    let trunk = root(store, turn(1, "one", "r1"));
    append(store, trunk, NewEntry::text(r#"{"kind":"of_tomorrow","ts":9,  "x":1.50}"#).with_key("k#1"));
    let state = SegmentState::open(store, trunk).unwrap();
    save_user_input(store, &state, NOW, vec![Part::text("long ".repeat(20_000))]).unwrap();
    let history = vec![HistoryItem::Item(Item::message(Role::User, "before: one"))];
    let new = NewSegment { history, ..NewSegment::default() };
    let compacted = create_compacted_segment(store, NOW, trunk, ForkPoint::End, new).unwrap();
    extend(store, compacted, turn(2, "two", "r2"));
    let title = SessionFact::Title(Title { text: "A title".to_owned(), by: TitleBy::Person });
    put_session_fact(store, NOW, trunk.session_id, &title).unwrap();
    let leaf = SessionFact::CurrentLeaf(CurrentLeaf { segment_id: compacted.segment_id, seq: Seq(5) });
    put_session_fact(store, NOW, trunk.session_id, &leaf).unwrap();
    store.put_fact(FactScope::Store, &fact("source./some/path", json!({"agent": "pi"}))).unwrap();
    let trace = TraceEntry { ts: NOW, event: "spawned".to_owned(), payload: json!({"pid": 7}) };
    store.append_trace(trunk.session_id, trunk.segment_id, &trace).unwrap();
    store.append_trace(trunk.session_id, trunk.segment_id, &trace).unwrap();
    let other = fork(store, NOW, compacted, ForkPoint::End).unwrap();
    extend(store, other, turn(3, "three", "r3"));
    let alone = root(store, turn(1, "alone", "r4"));
    Filled { trunk, fork: other, alone }
}

#[test]
fn everything_goes_from_any_store_to_any_other_and_stays_there() {
    for (from, source, _folder) in every_store() {
        let filled = fill(&*source);
        let before = holds(&*source);
        for (to, target, _folder) in every_store() {
            let report = migrated(&*source, &*target);
            let counts = (report.sessions, report.segments, report.migrated, report.already, report.failed);
            assert_eq!(counts, (3, 4, 3, 0, 0), "{from} to {to}: {report:?}");
            assert_eq!((report.entries, report.new_entries, report.new_segments), (22, 22, 4), "{from} to {to}");
            assert!(report.verification.entry_count_match && report.verification.hash_chain_match);
            assert_eq!(holds(&*target), before, "{from} to {to}");
            assert_eq!(holds(&*source), before, "{from} to {to}: the source is only read");
            let at = filled.fork;
            let restored = |store: &dyn Store| restore(store, at.session_id, at.segment_id).unwrap().history;
            assert_eq!(restored(&*target), restored(&*source), "{from} to {to}: blobs went, too");

            let again = migrated(&*source, &*target);
            assert_eq!((again.migrated, again.already, again.new_entries), (0, 3, 0), "{from} to {to}");
            assert_eq!(holds(&*target), before, "{from} to {to}: nothing is there twice");
        }
    }
}

#[test]
fn heads_are_equal_there_and_back() {
    for (from, source, _folder) in every_store() {
        let Some(proved) = source.integrity() else { continue };
        fill(&*source);
        let heads = |store: &dyn store_core::Integrity| {
            let report = store_core::integrity::verify(
                store,
                &store_core::integrity::VerifyOptions { deep: true, ..Default::default() },
                &|_| ControlFlow::Continue(()),
            )
            .unwrap();
            assert!(report.ok, "{from}: {:?}", report.damage);
            report.heads
        };
        let before = heads(proved);
        for (_, target, _folder) in every_store() {
            let Some(there) = target.integrity() else { continue };
            migrated(&*source, &*target);
            assert_eq!(heads(there), before);
            let back = MemoryStore::new();
            migrated(&*target, &back);
            assert_eq!(heads(&back), before);
        }
    }
}

#[test]
fn a_migration_that_is_cut_off_anywhere_is_gone_on_with() {
    for (to, _, _folder) in every_store() {
        let source = MemoryStore::new();
        let filled = fill(&source);
        for number in 0..3000 {
            append(&source, filled.alone, NewEntry::typed(prompt(&format!("line {number}"))));
        }
        for calls in 1.. {
            let (_, target, _folder) = every_store().into_iter().find(|(name, ..)| *name == to).unwrap();
            let mut left = calls;
            let report = migrate(&source, &*target, &options(), &mut |_| {
                left -= 1;
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .unwrap();
            if !report.stopped {
                assert!(calls > 8, "{to}: it was cut off {calls} times");
                break;
            }
            let rest = migrated(&source, &*target);
            assert_eq!(rest.failed, 0, "{to} after {calls}: {rest:?}");
            assert!(!rest.stopped && rest.new_entries + report.new_entries == rest.entries, "{to} after {calls}");
            assert_eq!(holds(&*target), holds(&source), "{to} after {calls}");
        }
    }
}

/// Whoever is quicker with a log writes what the other would have written.
#[test]
fn migrations_beside_each_other_lose_nothing_and_call_nothing_different() {
    for (name, target, _folder) in every_store() {
        let source = MemoryStore::new();
        let long = root(&source, (0..1500).flat_map(|n| turn(n, "a part of a long conversation", &format!("l{n}"))));
        for n in 0..20 {
            root(&source, turn(1, "short", &format!("s{n}")));
        }
        // In the middle of the long one the other comes and does everything.
        let mut has_come = false;
        let report = migrate(&source, &*target, &options(), &mut |far| {
            if far.entries > 0 && !has_come {
                has_come = true;
                assert_eq!(migrated(&source, &*target).failed, 0, "{name}");
            }
            ControlFlow::Continue(())
        });
        let report = report.unwrap();
        assert!(has_come && report.failed == 0 && report.failures.is_empty(), "{name}: {report:?}");
        assert!(report.verification.entry_count_match && report.verification.hash_chain_match, "{name}");
        assert_eq!(holds(&*target).logs, holds(&source).logs, "{name}");
        assert_eq!(target.read_entry_count(long.session_id, long.segment_id).unwrap(), 6001);
    }
    // The same with threads, which meet anywhere.
    for (name, target, _folder) in every_store() {
        let source = MemoryStore::new();
        for n in 0..40 {
            root(&source, turn(1, "short", &format!("s{n}")));
        }
        let reports: Vec<MigrateReport> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| migrated(&source, &*target))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(reports.iter().all(|report| report.failures.is_empty()), "{name}: {reports:?}");
        assert_eq!(holds(&*target).logs, holds(&source).logs, "{name}");
    }
}

#[test]
fn what_came_later_is_taken_by_running_again() {
    for (name, target, _folder) in every_store() {
        let source = MemoryStore::new();
        let filled = fill(&source);
        migrated(&source, &*target);
        extend(&source, filled.alone, turn(2, "more", "r9"));
        put_session_fact(&source, NOW + 1, filled.alone.session_id, &SessionFact::Pinned(true)).unwrap();
        let report = migrated(&source, &*target);
        assert_eq!((report.migrated, report.already, report.new_entries), (1, 2, 4), "{name}: {report:?}");
        assert_eq!(holds(&*target), holds(&source), "{name}");
    }
}

#[test]
fn a_target_that_went_on_keeps_what_it_has() {
    for (name, target, _folder) in every_store() {
        let source = MemoryStore::new();
        let filled = fill(&source);
        migrated(&source, &*target);
        extend(&*target, filled.alone, turn(2, "there", "r9"));
        let before = holds(&*target);
        let report = migrated(&source, &*target);
        assert_eq!((report.already, report.failed), (3, 0), "{name}: {report:?}");
        assert_eq!(holds(&*target), before, "{name}");
    }
}

#[test]
fn a_segment_that_differs_is_told_and_left_alone_with_what_continues_it() {
    for (name, target, _folder) in every_store() {
        let source = MemoryStore::new();
        let filled = fill(&source);
        migrated(&source, &*target);
        extend(&source, filled.trunk, turn(2, "here", "r8"));
        extend(&*target, filled.trunk, turn(2, "there", "r9"));
        let before = holds(&*target);
        let report = migrated(&source, &*target);
        let kinds: Vec<_> = report.failures.iter().map(|failure| (failure.segment_id, failure.kind)).collect();
        assert_eq!(kinds[0], (Some(filled.trunk.segment_id), MigrateFailureKind::Differs), "{name}");
        assert!(report.failures[0].message.contains("entry 8 says something else there"), "{name}: {report:?}");
        assert_eq!(kinds.len(), 3, "{name}: {report:?}");
        assert!(kinds[1..].iter().all(|(_, kind)| *kind == MigrateFailureKind::Ancestor), "{name}: {report:?}");
        assert_eq!((report.failed, report.already), (2, 1), "{name}");
        assert_eq!(holds(&*target), before, "{name}");
    }
}

#[test]
fn a_key_that_differs_is_a_difference() {
    let (source, target) = (MemoryStore::new(), MemoryStore::new());
    let at = root(&source, []);
    migrated(&source, &target);
    append(&source, at, NewEntry::typed(prompt("the same")).with_key("a"));
    append(&target, at, NewEntry::typed(prompt("the same")).with_key("b"));
    let report = migrated(&source, &target);
    assert_eq!(report.failures[0].kind, MigrateFailureKind::Differs, "{report:?}");
}

#[test]
fn a_segment_that_another_session_has_there_differs() {
    let (source, target) = (MemoryStore::new(), MemoryStore::new());
    let at = root(&source, []);
    let other = root(&target, []);
    let start = format!(r#"{{"kind":"segment_start","ts":1,"session_id":"{}"}}"#, other.session_id);
    target.create_segment(other.session_id, at.segment_id, &[NewEntry::text(start)], &Default::default()).unwrap();
    let report = migrated(&source, &target);
    assert_eq!(report.failures[0].kind, MigrateFailureKind::Differs, "{report:?}");
    assert!(report.failures[0].message.contains(&other.session_id.to_string()), "{report:?}");
}

#[cfg(feature = "fs")]
#[test]
fn a_damaged_log_keeps_nothing_else_from_going() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("fs:{}", folder.path().join("store").display());
    let source = open(&url, &OpenOptions::at(NOW)).unwrap();
    let filled = fill(&*source);
    let at = filled.alone;
    let log = folder.path().join(format!("store/{}/{}.jsonl", at.session_id, at.segment_id));
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, text.replace("re: alone", "re: a1one")).unwrap();
    let target = MemoryStore::new();
    let report = migrated(&*source, &target);
    assert_eq!((report.migrated, report.failed), (2, 1), "{report:?}");
    assert_eq!(report.failures[0].kind, MigrateFailureKind::Damaged, "{report:?}");
    assert_eq!(report.failures[0].segment_id, Some(at.segment_id));
    assert!(target.exists(filled.fork.session_id).unwrap());
}

#[test]
fn a_store_is_not_migrated_into_itself() {
    let store = MemoryStore::new();
    let go = |source: &dyn Backend, target: &dyn Backend| {
        migrate(source, target, &options(), &mut |_| ControlFlow::Continue(()))
    };
    assert!(matches!(go(&store, &store), Err(SessionError::SameStore { .. })));
    let folder = tempfile::tempdir().unwrap();
    for scheme in session_store::schemes().iter().filter(|scheme| ["fs", "sqlite"].contains(&scheme.as_str())) {
        let path = folder.path().join(scheme);
        let again = folder.path().join(".").join(scheme);
        let stores = [path, again].map(|path| open(&format!("{scheme}:{}", path.display()), &OpenOptions::at(NOW)));
        let [Ok(one), Ok(other)] = stores else { panic!("{scheme}: both handles open") };
        assert!(matches!(go(&*one, &*other), Err(SessionError::SameStore { .. })), "{scheme}");
    }
}

#[test]
fn a_dry_run_says_what_would_be_copied_and_writes_nothing() {
    for (name, target, _folder) in every_store() {
        let source = MemoryStore::new();
        let filled = fill(&source);
        let dry = MigrateOptions { dry_run: true, ..options() };
        let go = || migrate(&source, &*target, &dry, &mut |_| ControlFlow::Continue(())).unwrap();
        let report = go();
        assert_eq!((report.migrated, report.new_entries, report.dry_run), (3, 22, true), "{name}: {report:?}");
        assert_eq!(target.list_sessions().unwrap(), [], "{name}");
        assert_eq!(target.facts(FactScope::Store).unwrap(), [], "{name}");
        migrated(&source, &*target);
        extend(&source, filled.alone, turn(2, "more", "r9"));
        let before = holds(&*target);
        let report = go();
        assert_eq!((report.migrated, report.already, report.new_entries), (1, 2, 4), "{name}: {report:?}");
        assert_eq!(holds(&*target), before, "{name}");
    }
}

#[test]
fn a_session_brings_those_that_it_continues_and_no_others() {
    let (source, target) = (MemoryStore::new(), MemoryStore::new());
    let filled = fill(&source);
    let only = |session| MigrateOptions { sessions: Some(vec![session]), ..options() };
    let go = |session| migrate(&source, &target, &only(session), &mut |_| ControlFlow::Continue(()));
    assert_eq!(go(filled.fork.session_id).unwrap().migrated, 2);
    let mut sessions = target.list_sessions().unwrap();
    sessions.sort_unstable();
    let mut expected = [filled.trunk.session_id, filled.fork.session_id];
    expected.sort_unstable();
    assert_eq!(sessions, expected);
    assert_eq!(target.facts(FactScope::Store).unwrap(), [], "what is said about the store stays");
    let unknown = go(SessionId::derive(NOW, b"unknown"));
    assert!(matches!(unknown, Err(SessionError::Store(StoreError::NotFound(_)))), "{unknown:?}");
}

#[test]
fn what_was_copied_is_recorded_in_the_target() {
    for (name, target, _folder) in every_store() {
        let Some(integrity) = target.integrity() else { continue };
        let source = MemoryStore::new();
        fill(&source);
        migrated(&source, &*target);
        migrated(&source, &*target);
        let events = integrity.events().unwrap();
        let [event] = events.as_slice() else {
            panic!("{name}: one of what was done, none of what was there: {events:?}")
        };
        let EventKind::Migrated { source, sessions, segments, entries, verification, .. } = &event.what else {
            panic!("{name}: {event:?}")
        };
        assert_eq!((source.as_str(), *sessions, *segments, *entries), ("memory:", 3, 4, 22), "{name}");
        assert!(verification.is_some_and(store_core::integrity::Verification::holds), "{name}");
        assert_eq!((event.outcome, event.correlation_id.as_deref()), (Outcome::Ok, Some("c-1")), "{name}");
    }
}

#[test]
fn checkpoints_go_over_where_they_were_made() {
    for (name, target, _folder) in every_store() {
        let Some(there) = target.integrity() else { continue };
        let source = MemoryStore::new();
        let at = root(&source, []);
        let here = source.integrity().unwrap();
        for number in 1..=3 {
            extend(&source, at, turn(number, "more", "r"));
            let name = Some(format!("after turn {number}"));
            let new = NewCheckpoint { reason: "to be sure".to_owned(), name, now: NOW + number };
            here.checkpoint(at.session_id, at.segment_id, &new).unwrap();
        }
        extend(&source, at, turn(4, "last", "r"));
        migrated(&source, &*target);
        let listed = |of: &dyn store_core::Integrity| {
            let listed = of.checkpoints(at.session_id, at.segment_id).unwrap();
            let listed = listed.into_iter().map(|one| one.checkpoint);
            listed.map(|one| (one.number, one.seq, one.head, one.name, one.reason, one.created_at)).collect::<Vec<_>>()
        };
        assert_eq!(listed(there), listed(here), "{name}");
        let new = NewCheckpoint { reason: "later".to_owned(), name: None, now: NOW };
        here.checkpoint(at.session_id, at.segment_id, &new).unwrap();
        assert_eq!(migrated(&source, &*target).migrated, 1, "{name}");
        assert_eq!(listed(there), listed(here), "{name}");
        assert_eq!(migrated(&source, &*target).already, 1, "{name}: not made twice");
        extend(&*target, at, turn(5, "there", "r"));
        here.checkpoint(at.session_id, at.segment_id, &NewCheckpoint { now: 1, ..NewCheckpoint::default() }).unwrap();
        let report = migrated(&source, &*target);
        assert!(report.warnings[0].contains("checkpoint 5 was left behind"), "{name}: {report:?}");
    }
}

/// Who noted the number would go back to another state.
#[test]
fn a_checkpoint_that_has_another_number_in_the_target_is_told() {
    for (name, target, _folder) in every_store() {
        let Some(there) = target.integrity() else { continue };
        let source = MemoryStore::new();
        let at = root(&source, []);
        let here = source.integrity().unwrap();
        let make = |turns: u64| {
            extend(&source, at, turn(turns, "more", "r"));
            let new = NewCheckpoint { reason: "r".to_owned(), name: Some(format!("turn {turns}")), now: NOW };
            here.checkpoint(at.session_id, at.segment_id, &new).unwrap().number
        };
        let numbers = [make(1), make(2)];
        here.rollback(at.session_id, at.segment_id, numbers[0], &Default::default()).unwrap();
        assert_eq!(make(3), 3);
        let report = migrated(&source, &*target);
        let listed = there.checkpoints(at.session_id, at.segment_id).unwrap();
        let named: Vec<_> = listed.iter().map(|one| (one.checkpoint.number, one.checkpoint.name.as_deref())).collect();
        assert_eq!(named, [(1, Some("turn 1")), (2, Some("turn 3"))], "{name}");
        assert!(report.warnings.iter().any(|one| one.contains("checkpoint 3 is number 2 there")), "{name}: {report:?}");
    }
}

#[test]
fn a_store_that_keeps_logs_and_nothing_else_takes_part() {
    let source = MemoryStore::new();
    let filled = fill(&source);
    let plain = LyingStore::default();
    let report = migrated(&source, &plain);
    assert_eq!((report.migrated, report.failed), (3, 0), "{report:?}");
    assert_eq!(holds(&plain), holds(&source));
    let new = NewCheckpoint { now: NOW, ..NewCheckpoint::default() };
    source.integrity().unwrap().checkpoint(filled.alone.session_id, filled.alone.segment_id, &new).unwrap();
    let report = migrated(&source, &plain);
    assert!(report.warnings[0].contains("the target keeps none"), "{report:?}");
    let back = MemoryStore::new();
    assert_eq!(migrated(&plain, &back).migrated, 3);
    assert_eq!(holds(&back), holds(&source));
}

#[test]
fn a_target_that_takes_nothing_fails_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    for scheme in session_store::schemes().iter().filter(|scheme| ["fs", "sqlite"].contains(&scheme.as_str())) {
        let url = format!("{scheme}:{}", folder.path().join(scheme).display());
        drop(open(&url, &OpenOptions::at(NOW)).unwrap());
        let target: Arc<dyn Backend> = open(&url, &OpenOptions::at(NOW).with_mode(OpenMode::ReadOnly)).unwrap();
        let source = MemoryStore::new();
        fill(&source);
        let refused = migrate(&source, &*target, &options(), &mut |_| ControlFlow::Continue(()));
        assert!(matches!(refused, Err(SessionError::Store(StoreError::ReadOnly))), "{scheme}: {refused:?}");
    }
}

#[test]
fn a_reference_to_nothing_goes_over_as_it_is() {
    let (source, target) = (MemoryStore::new(), MemoryStore::new());
    let at = root(&source, []);
    let address = "ab".repeat(32);
    let text = format!(r#"{{"kind":"extension","ts":1,"domain":"d","payload":{{"$blob":"{address}","bytes":3}}}}"#);
    append(&source, at, NewEntry::text(text));
    let report = migrated(&source, &target);
    assert_eq!((report.migrated, report.failed), (1, 0), "{report:?}");
    assert!(report.warnings[0].contains(&address), "{report:?}");
    assert_eq!(holds(&target), holds(&source));
}

#[cfg(all(feature = "index", feature = "fs", feature = "sqlite"))]
mod samples {
    use std::collections::BTreeSet;

    use store_core::chain::ChainHead;
    use store_core::integrity::{Head, VerifyOptions, verify};

    use super::*;
    use crate::import::world::{World, sample};

    /// Verifies a store deeply, and that every one of these heads was seen in it.
    fn proved(store: &dyn Backend, expected: &[ChainHead]) -> Vec<Head> {
        let options = VerifyOptions { deep: true, expected: expected.to_vec(), ..VerifyOptions::default() };
        let report = verify(store.integrity().unwrap(), &options, &|_| ControlFlow::Continue(())).unwrap();
        assert!(report.ok, "{:?}", report.damage);
        let found: BTreeSet<ChainHead> = report.expected.iter().map(|head| head.head).collect();
        assert!(expected.iter().all(|head| found.contains(head)), "a head that was seen earlier is not found");
        report.heads
    }

    /// The head of every log after each of its entries.
    fn every_head(store: &dyn Store) -> Vec<ChainHead> {
        let mut heads = Vec::new();
        for log in holds(store).logs.values() {
            let mut head = ChainHead::ROOT;
            for (_, text) in log {
                head = head.next(text);
                heads.push(head);
            }
        }
        heads
    }

    #[test]
    fn all_samples_go_there_and_back_with_equal_heads_and_every_earlier_head_is_found() {
        for kind in ["fs", "sqlite"] {
            let other = if kind == "fs" { "sqlite" } else { "fs" };
            let world = World::new(kind);
            world.import(&[sample("")]);
            let moments = every_head(&*world.store);
            assert!(moments.len() > 1000, "the samples are gone: {}", moments.len());
            let before = proved(&*world.store, &moments);
            let (there, back) = (World::new(other), World::new(kind));
            for (source, target) in [(&world, &there), (&there, &back)] {
                let report = migrated(&*source.store, &*target.store);
                assert_eq!((report.failed, report.migrated), (0, report.sessions), "{kind}: {report:?}");
                assert_eq!(proved(&*target.store, &moments), before, "{kind}");
                assert_eq!(holds(&*target.store), holds(&*source.store), "{kind}");
            }
            let rows = |world: &World| {
                world.index.refresh(&*world.store).unwrap();
                world.rows()
            };
            assert_eq!(rows(&world), rows(&there), "{kind}");
            assert_eq!(rows(&world), rows(&back), "{kind}");
        }
    }
}
