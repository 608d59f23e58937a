//! What verifying and manifests say, on the reference and on stores that lie about what they hold.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use store_core::chain::{Chain, ChainHead};
use store_core::integrity::{
    FindingKind, Manifest, ManifestOptions, NewCheckpoint, Progress, Report, Scope, VerifyOptions, manifest, verify,
};
use store_core::{
    AppendOptions, CreateOptions, Integrity as _, LogEntry, MemoryStore, NewEntry, SegmentId, SegmentOrigin,
    SegmentStart, Seq, SessionId, Store as _, StoreError,
};

const TIME: u64 = 1_764_000_000_000;

fn session(n: u64) -> SessionId {
    SessionId::derive(TIME + n, b"session")
}

fn segment(n: u64) -> SegmentId {
    SegmentId::derive(TIME + n, b"segment")
}

fn note(n: u64) -> NewEntry {
    NewEntry::text(format!(r#"{{"kind":"note","ts":{},"n":{n}}}"#, TIME + n))
}

/// A segment of `count` entries that may continue a point.
fn create(store: &MemoryStore, session: SessionId, id: SegmentId, count: u64, origin: Option<SegmentOrigin>) {
    let start = SegmentStart { forked_from: origin, ..SegmentStart::new(session, TIME) };
    let mut entries = vec![NewEntry::typed(LogEntry::SegmentStart(Box::new(start)))];
    entries.extend((2..=count).map(note));
    store.create_segment(session, id, &entries, &CreateOptions::default()).unwrap();
}

fn point(session: SessionId, segment_id: SegmentId, seq: u64) -> SegmentOrigin {
    SegmentOrigin { session_id: session, segment_id, seq: Seq(seq), at_turn_index: 0 }
}

fn run(store: &MemoryStore, options: &VerifyOptions) -> Report {
    verify(store, options, &|_| ControlFlow::Continue(())).unwrap()
}

fn head_after(store: &MemoryStore, session: SessionId, segment: SegmentId, seq: u64) -> ChainHead {
    let mut chain = Chain::START;
    let count = usize::try_from(seq).unwrap();
    store.read_range(session, segment, Seq::START, count).unwrap().iter().for_each(|record| chain.push(&record.text));
    chain.head
}

/// Three sessions, of which the second forks the first and the third forks the second.
fn lineage() -> MemoryStore {
    let store = MemoryStore::new();
    create(&store, session(1), segment(1), 5, None);
    create(&store, session(2), segment(2), 3, Some(point(session(1), segment(1), 4)));
    create(&store, session(3), segment(3), 2, Some(point(session(2), segment(2), 2)));
    store
}

fn made(store: &MemoryStore, of: SessionId) -> Manifest {
    manifest(store, of, &ManifestOptions::default(), &|_| ControlFlow::Continue(())).unwrap().unwrap()
}

#[test]
fn a_report_does_not_depend_on_how_many_threads_made_it() {
    let store = lineage();
    for n in 4..40 {
        create(&store, session(n), segment(n), n, None);
        if n % 3 == 0 {
            store.damage(session(n), segment(n), Seq(n / 2)).unwrap();
        }
    }
    let with = |threads| run(&store, &VerifyOptions { threads, deep: true, ..VerifyOptions::default() });
    let one = with(1);
    assert_eq!(one.damage.len(), 12);
    assert_eq!((one.sessions, one.segments), (39, 39));
    for threads in [0, 2, 7] {
        assert_eq!(with(threads), one);
    }
}

#[test]
fn the_form_of_a_report_is_the_documented_one() {
    let store = lineage();
    store.damage(session(3), segment(3), Seq(2)).unwrap();
    insta::assert_json_snapshot!(run(&store, &VerifyOptions::default()));
}

#[test]
fn a_lineage_is_verified_back_to_its_root() {
    let store = lineage();
    let scope = Scope::Sessions(vec![session(3)]);
    let options = VerifyOptions { scope, ..VerifyOptions::default() };
    let report = run(&store, &options);
    assert!(report.ok && report.segments == 3 && report.sessions == 3, "{report:?}");
    store.damage(session(1), segment(1), Seq(2)).unwrap();
    let report = run(&store, &options);
    assert!(!report.ok);
    assert_eq!(report.damage[0].segment_id, Some(segment(1)));
}

#[test]
fn an_expected_head_is_somewhere_or_told() {
    let store = lineage();
    let seen = head_after(&store, session(1), segment(1), 3);
    let with = |expected| run(&store, &VerifyOptions { expected, ..VerifyOptions::default() });
    let report = with(vec![seen]);
    assert!(report.ok);
    assert_eq!((report.expected[0].segment_id, report.expected[0].seq), (segment(1), Seq(3)));
    let report = with(vec![seen, seen.next("{}")]);
    assert!(!report.ok);
    assert_eq!(report.damage.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [FindingKind::Chain]);
}

#[test]
fn what_is_not_there_cannot_be_verified() {
    let store = lineage();
    for scope in [Scope::Sessions(vec![session(9)]), Scope::Segments(vec![(session(1), segment(2))])] {
        let options = VerifyOptions { scope, ..VerifyOptions::default() };
        let answer = verify(&store, &options, &|_| ControlFlow::Continue(()));
        assert!(matches!(answer, Err(StoreError::NotFound(_))), "{answer:?}");
    }
}

#[test]
fn a_verification_tells_how_far_it_is_and_can_be_stopped() {
    let store = lineage();
    let calls = AtomicU64::new(0);
    let options = VerifyOptions { threads: 1, ..VerifyOptions::default() };
    let tell = |progress: Progress| {
        calls.fetch_add(1, Ordering::Relaxed);
        assert!(progress.segments == 3 && progress.segments_done <= 3, "{progress:?}");
        ControlFlow::Continue(())
    };
    assert!(!verify(&store, &options, &tell).unwrap().stopped);
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    let stopped = verify(&store, &options, &|_| ControlFlow::Break(())).unwrap();
    assert!(stopped.stopped && !stopped.ok, "{stopped:?}");
    assert!(stopped.segments < 3);
    let answer = manifest(&store, session(1), &ManifestOptions::default(), &|_| ControlFlow::Break(())).unwrap();
    assert_eq!(answer, None);
}

#[test]
fn findings_of_one_segment_are_counted_past_the_first_thousand() {
    let store = MemoryStore::new();
    create(&store, session(1), segment(1), 1, None);
    let entries: Vec<_> = (0..1100).map(note).collect();
    store.append_with(session(1), segment(1), &entries, &AppendOptions::default()).unwrap();
    (2..=1101).for_each(|seq| store.damage(session(1), segment(1), Seq(seq)).unwrap());
    let report = run(&store, &VerifyOptions::default());
    assert_eq!((report.damage.len(), report.damage_omitted, report.ok), (1000, 100, false));
}

#[test]
fn a_checkpoint_that_saw_another_history_is_told() {
    let store = lineage();
    store.checkpoint(session(1), segment(1), &NewCheckpoint::default()).unwrap();
    assert!(run(&store, &VerifyOptions::default()).ok);
    // Its last entry is lost: behind the checkpoint nothing can be compared, and the damage itself is told.
    store.damage(session(1), segment(1), Seq(5)).unwrap();
    let kinds: Vec<_> = run(&store, &VerifyOptions::default()).damage.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::Checksum]);
}

#[test]
fn a_manifest_names_the_head_of_everything_that_a_session_stands_on() {
    let store = lineage();
    let made = made(&store, session(3));
    let heads: Vec<_> = made.chain_heads.iter().map(|head| (head.segment_id, head.seq.0, head.head)).collect();
    let expected = [(1, 4), (2, 2), (3, 2)];
    assert_eq!(
        heads,
        expected.map(|(n, seq)| (segment(n), seq, Some(head_after(&store, session(n), segment(n), seq)))),
        "its own segment whole, the others as far as they are continued"
    );
    assert_eq!(made.head, heads[2].2);
    insta::assert_json_snapshot!(made);
}

#[test]
fn a_manifests_hash_is_that_of_its_sorted_json() {
    let store = lineage();
    let made = made(&store, session(1));
    assert_eq!(made.manifest_hash, made.compute_hash().unwrap());
    let mut value = serde_json::to_value(&made).unwrap();
    value.as_object_mut().unwrap().remove("manifest_hash");
    value.sort_all_objects();
    assert_eq!(made.manifest_hash, store_core::chain::sha256_hex(value.to_string().as_bytes()));
    let changed = Manifest { updated_at: "2025-11-24T16:00:00Z".to_owned(), ..made.clone() };
    assert_ne!(changed.compute_hash().unwrap(), made.manifest_hash);
}

#[test]
fn a_manifest_says_what_does_not_hold() {
    let store = lineage();
    store.damage(session(1), segment(1), Seq(2)).unwrap();
    // The session that stands on the damaged one is not whole either.
    for of in [session(1), session(2)] {
        let made = made(&store, of);
        assert!(!made.invariants.checksums_valid, "{made:?}");
        assert!(made.invariants.origins_valid && made.invariants.blobs_present, "{made:?}");
    }
    assert_eq!(made(&store, session(1)).head, None, "nobody knows it any more");
}
