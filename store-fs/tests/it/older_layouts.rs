//! Logs of the older layouts: read where they are, written anew before the first append, and lost by no crash in between.
//!
//! The fixtures are what programs of those layouts wrote. What each line says is held against the file itself, by splitting it at its
//! newlines.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store_core::codec::{LineFields, LogContext, decode_line, encode_line};
use store_core::integrity::{
    EventKind, Finding, FindingKind, Integrity as _, MaintenanceOptions, NewCheckpoint, VerifyOptions, verify,
};
use store_core::{
    AppendOptions, Backend as _, CreateOptions, Expected, Fact, FactScope, NewEntry, Position, Result, SegmentId,
    SegmentOrigin, Seq, SessionId, Store as _, StoreError, TailEvent, TailFrom, TraceEntry, Watch as _,
};
use store_fs::{FsStore, OpenAs};

use crate::faults::{FaultyDisk, Plan, open_without_syncs};
use crate::support::{Folder, NOW, create, names, note, note_text, options, session, start, tree};

/// The layouts, by the names of their fixtures.
const LAYOUTS: [&str; 2] = ["older-flat", "older-lines"];

fn fixture(layout: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(layout)
}

/// A log that a fixture holds.
#[derive(Clone, Debug)]
struct Log {
    session: SessionId,
    segment: SegmentId,
    /// Its path relative to the root.
    name: String,
    bytes: Vec<u8>,
}

impl Log {
    fn texts(&self) -> Vec<String> {
        String::from_utf8(self.bytes.clone()).unwrap().lines().map(str::to_owned).collect()
    }

    fn today(&self, folder: &Folder) -> PathBuf {
        folder.root().join(self.session.to_string()).join(format!("{}.jsonl", self.segment))
    }

    fn quarantined(&self, folder: &Folder) -> Vec<Vec<u8>> {
        let quarantine = folder.root().join(self.session.to_string()).join("quarantine");
        names(&quarantine).iter().map(|name| std::fs::read(quarantine.join(name)).unwrap()).collect()
    }

    fn line(&self, seq: u64, text: &str) -> Vec<u8> {
        let mut line = Vec::new();
        let fields = LineFields { seq: Seq(seq), ..LineFields::default() };
        encode_line(&mut line, &LogContext::segment(self.segment), &fields, text);
        line
    }
}

/// The logs of a fixture: the one that begins a conversation, and the one that continues it.
fn logs(layout: &str) -> [Log; 2] {
    let log = |(name, bytes): (String, Vec<u8>)| {
        let segment = name.strip_suffix(".jsonl").unwrap();
        let (session, segment) = segment.rsplit_once('/').unwrap_or((segment, segment));
        Log { session: session.parse().unwrap(), segment: segment.parse().unwrap(), name, bytes }
    };
    let logs: Vec<Log> = tree(&fixture(layout)).into_iter().map(log).collect();
    logs.try_into().unwrap()
}

fn write(folder: &Folder, log: &Log, bytes: &[u8]) {
    let path = folder.root().join(&log.name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    set_modes(&path, 0o700, 0o600);
}

/// Gives a log, and the folder that it lies in, its permissions.
fn set_modes(log: &Path, of_folder: u32, of_log: u32) {
    std::fs::set_permissions(log, Permissions::from_mode(of_log)).unwrap();
    std::fs::set_permissions(log.parent().unwrap(), Permissions::from_mode(of_folder)).unwrap();
}

/// A folder with the logs of a layout, the first of them with these bytes.
fn folder_with(layout: &str, bytes: &[u8]) -> (Folder, Log) {
    let folder = Folder::new();
    let [first, second] = logs(layout);
    write(&folder, &second, &second.bytes);
    write(&folder, &first, bytes);
    let log = Log { bytes: bytes.to_vec(), ..first };
    (folder, log)
}

fn folder_of(layout: &str) -> (Folder, Log) {
    let bytes = logs(layout)[0].bytes.clone();
    folder_with(layout, &bytes)
}

fn texts(store: &FsStore, log: &Log) -> Result<Vec<String>> {
    let records = store.read_range(log.session, log.segment, Seq::START, usize::MAX)?;
    Ok(records.into_iter().map(|record| record.text).collect())
}

fn append(store: &FsStore, log: &Log, n: u64) -> Result<Position> {
    let entries = [note(n)];
    Ok(store.append_with(log.session, log.segment, &entries, &AppendOptions::default())?[0])
}

fn findings(store: &FsStore) -> Vec<Finding> {
    verify(store, &VerifyOptions::default(), &|_| std::ops::ControlFlow::Continue(())).unwrap().damage
}

fn found(store: &FsStore, log: &Log) -> Vec<FindingKind> {
    let of_log = |finding: &Finding| finding.segment_id == Some(log.segment);
    findings(store).into_iter().filter(of_log).map(|finding| finding.kind).collect()
}

#[test]
fn logs_of_each_older_layout_are_read_where_they_are_and_not_a_byte_is_written() {
    for layout in LAYOUTS {
        let (folder, log) = folder_of(layout);
        let [first, second] = logs(layout);
        let before = tree(&folder.root());
        for store in [folder.open(), folder.open_read_only()] {
            assert_eq!(store.info().format_version, 0);
            assert_eq!(store.info().projection_path, None);
            assert_eq!(store.list_sessions().unwrap(), [second.session, first.session]);
            for log in [&first, &second] {
                let all = log.texts();
                assert_eq!(store.list_segments(log.session).unwrap(), [log.segment]);
                assert_eq!(store.lookup_session_of(log.segment).unwrap(), Some(log.session));
                assert!(store.exists(log.session).unwrap());
                assert_eq!(texts(&store, log).unwrap(), all);
                assert_eq!(store.read_entry_count(log.session, log.segment).unwrap(), all.len() as u64);
                let tail = store.read_tail(log.session, log.segment, 1).unwrap();
                assert_eq!((tail[0].position.seq, &tail[0].text), (Seq(all.len() as u64), all.last().unwrap()));
                let behind = store.read_range(log.session, log.segment, Seq(1), 1).unwrap();
                assert_eq!((behind[0].position.seq, &behind[0].text), (Seq(2), &all[1]));
                assert_eq!(store.facts(FactScope::Session(log.session)).unwrap(), []);
                assert_eq!(store.read_traces(log.session, log.segment).unwrap(), []);
                assert_eq!(found(&store, log), [FindingKind::Unproved]);
            }
            let changes = store.changes(None).unwrap();
            assert_eq!(changes.segments.len(), 2);
            assert_eq!(store.changes(Some(&changes.cursor)).unwrap().segments.len(), 2, "nobody lists what is written");
            let report = verify(&store, &VerifyOptions::default(), &|_| std::ops::ControlFlow::Continue(())).unwrap();
            assert!(report.ok && report.heads.len() == 2 && report.entries == 7, "{report:?}");
            let dry = MaintenanceOptions { now: NOW, dry_run: true, ..MaintenanceOptions::default() };
            if !store.info().read_only {
                assert_eq!(store.repair(log.session, log.segment, &dry).unwrap().kept, 5);
                store.collect(true).unwrap();
            }
            drop(store);
            assert_eq!(tree(&folder.root()), before, "{layout}");
        }
    }
}

#[test]
fn the_first_append_writes_the_log_anew_and_keeps_the_original() {
    for layout in LAYOUTS {
        let (folder, log) = folder_of(layout);
        let second = &logs(layout)[1];
        let store = folder.open();
        let before = store.read_tail(log.session, log.segment, 9).unwrap();
        let heads = |store: &FsStore| {
            let report = verify(store, &VerifyOptions::default(), &|_| std::ops::ControlFlow::Continue(())).unwrap();
            report.heads.into_iter().map(|head| (head.segment_id, head.head)).collect::<Vec<_>>()
        };
        let heads_before = heads(&store);
        let expected = Some(Expected::At(before[4].position));
        let empty = AppendOptions { expected, ..AppendOptions::default() };
        let at = store.append_with(log.session, log.segment, &[note(1)], &empty).unwrap();
        assert_eq!(at[0].seq, Seq(6), "what was remembered of the older log still holds");
        let after = store.read_tail(log.session, log.segment, 9).unwrap();
        assert_eq!(after[..5], before, "{layout}");
        assert_eq!(after[5].text, note_text(1));

        let context = LogContext::segment(log.segment);
        let bytes = std::fs::read(log.today(&folder)).unwrap();
        let lines =
            bytes.split_inclusive(|byte| *byte == b'\n').map(|line| decode_line(&context, line.trim_ascii_end()));
        let seqs: Vec<u64> = lines.map(|line| line.unwrap().seq.0).collect();
        assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
        assert_eq!(log.quarantined(&folder), std::slice::from_ref(&log.bytes));
        assert_eq!(std::fs::read(folder.root().join(&second.name)).unwrap(), second.bytes, "others stay as they are");
        assert!(layout != "older-flat" || !folder.root().join(&log.name).exists());

        let events = store.events().unwrap();
        let EventKind::LayoutRewritten { session, segment, log: name, kept, bytes, after, verification, .. } =
            &events[0].what
        else {
            panic!("{events:?}")
        };
        assert_eq!((*session, *segment, name, *bytes), (log.session, log.segment, &log.name, log.bytes.len() as u64));
        assert_eq!(std::fs::read(folder.root().join(kept)).unwrap(), log.bytes);
        assert_eq!(heads_before.iter().find(|(of, _)| *of == log.segment).map(|(_, head)| *head), after.head);
        assert!(verification.unwrap().holds() && events.len() == 1, "{events:?}");
        assert_eq!(found(&store, &log), []);
        assert_eq!(found(&store, second), [FindingKind::Unproved]);
        assert_eq!(store.info().format_version, 1);
        drop(store);
        let again = folder.open();
        append(&again, &log, 2).unwrap();
        assert_eq!(again.events().unwrap().len(), 1, "it is written anew once");
        append(&again, second, 3).unwrap();
        assert_eq!(findings(&again), []);
        assert_eq!(again.lookup_session_of(second.segment).unwrap(), Some(second.session));
    }
}

#[test]
fn a_process_that_dies_in_any_call_of_the_first_append_loses_nothing() {
    let torn = br#"{"kind":"turn_end","ts":17640"#.as_slice();
    for layout in LAYOUTS {
        for tail in [b"".as_slice(), torn] {
            let bytes = [&logs(layout)[0].bytes, tail].concat();
            let mut deaths = 0;
            for calls in 1.. {
                let (folder, log) = folder_with(layout, &bytes);
                let was = texts(&folder.open_read_only(), &log).unwrap();
                let disk = Arc::new(FaultyDisk(Plan::dies_after(calls)));
                let dying = FsStore::open_on(disk, &folder.root(), OpenAs::Shared, &options()).unwrap();
                let done = append(&dying, &log, 1).is_ok();
                drop(dying);
                let is = texts(&folder.open_read_only(), &log).unwrap();
                let grown = [was.clone(), vec![note_text(1)]].concat();
                assert!(is == grown || (!done && is == was), "death in call {calls}: {is:?}");
                let store = open_without_syncs(&folder);
                assert_eq!(texts(&store, &log).unwrap(), is, "death in call {calls}");
                assert_eq!(store.list_sessions().unwrap().len(), 2, "death in call {calls}");
                append(&store, &log, 2).unwrap();
                assert_eq!(texts(&store, &log).unwrap(), [is, vec![note_text(2)]].concat(), "death in call {calls}");
                assert!(log.quarantined(&folder).contains(&bytes), "death in call {calls}");
                assert_eq!(store.lookup_session_of(log.segment).unwrap(), Some(log.session));
                assert_eq!(found(&store, &log), [], "death in call {calls}");
                drop(store);
                // What a stopped call left goes before the next creation.
                create(&folder.open(), 77);
                let left: Vec<String> = tree(&folder.root()).into_iter().map(|(name, _)| name).collect();
                let is_left = |name: &String| name.contains(".new") || (layout == "older-flat" && *name == log.name);
                assert!(!left.iter().any(is_left), "death in call {calls}: {left:?}");
                if done {
                    break;
                }
                deaths += 1;
            }
            assert!(deaths > 20, "{layout}: {deaths}");
        }
    }
}

/// What a log of an older layout may end with or hold, how many entries are counted, and which can be read.
#[test]
fn damage_in_a_log_of_an_older_layout_is_told_from_what_a_crash_leaves() {
    let whole = note_text(7);
    for layout in LAYOUTS {
        let good = logs(layout)[0].bytes.clone();
        let ends: [(&str, Vec<u8>, u64); 4] = [
            ("a torn tail", whole.as_bytes()[..20].to_vec(), 5),
            (
                "a tail that lacks its brace, whose last number may be cut",
                whole.as_bytes()[..whole.len() - 1].to_vec(),
                5,
            ),
            ("a line that lacks its newline", whole.clone().into_bytes(), 6),
            ("zeros that a power loss left", [&[0; 100][..], b"\n"].concat(), 5),
        ];
        for (what, end, count) in ends {
            let (folder, log) = folder_with(layout, &[&good[..], &end].concat());
            let store = folder.open();
            assert_eq!(store.read_entry_count(log.session, log.segment).unwrap(), count, "{what}");
            let mut all = texts(&store, &log).unwrap();
            assert_eq!(all.len() as u64, count, "{what}");
            assert_eq!(append(&store, &log, 8).unwrap().seq, Seq(count + 1), "{what}");
            all.push(note_text(8));
            assert_eq!(texts(&store, &log).unwrap(), all, "{what}");
            let is_taken_out = count == 5;
            assert!(!is_taken_out || log.quarantined(&folder).contains(&end), "{what}");
        }
        let lines: Vec<&[u8]> = good.split_inclusive(|byte| *byte == b'\n').collect();
        let broken: [(&str, &[u8]); 4] = [
            ("a line that is cut and went on with", b"{\"kind\":\"user_in{\"kind\":\"turn_end\",\"ts\":1}\n"),
            ("an empty line", b"\n"),
            ("a name that belongs to the store", b"{\"seq\":3,\"kind\":\"x\",\"ts\":1}\n"),
            ("bytes that are no text", b"{\"kind\":\"x\",\"ts\":1,\"s\":\"\xFF\"}\n"),
        ];
        for (what, line) in broken {
            let bytes = [&lines[..2].concat()[..], line, &lines[2..].concat()].concat();
            let (folder, log) = folder_with(layout, &bytes);
            let store = folder.open();
            let refused = texts(&store, &log).unwrap_err();
            let StoreError::Corrupt(damage) = &refused else { panic!("{what}: {refused}") };
            let offset = lines[..2].concat().len() as u64;
            assert_eq!((damage.offset, damage.seq), (offset, Some(Seq(3))), "{what}");
            let behind = store.read_range(log.session, log.segment, Seq(3), 9).unwrap();
            assert_eq!(behind.len(), 3, "{what}: a line has its number whatever stands before it");
            assert!(found(&store, &log).iter().any(|kind| kind.is_damage()), "{what}");
            assert_eq!(append(&store, &log, 8).unwrap().seq, Seq(7), "{what}");
            let repair = store.repair(log.session, log.segment, &MaintenanceOptions::default()).unwrap();
            assert_eq!((repair.kept, repair.lost.len()), (6, 1), "{what}");
            let all = texts(&store, &log).unwrap();
            assert!(all[2].contains("store.lost"), "{what}: {all:?}");
            assert_eq!((&all[1][..], &all[3][..]), (text_of(lines[1]), text_of(lines[2])), "{what}");
            assert!(log.quarantined(&folder).contains(&bytes), "{what}: the original is kept");
            assert_eq!(found(&store, &log), [], "{what}");
        }
    }
}

fn text_of(line: &[u8]) -> &str {
    std::str::from_utf8(line).unwrap().trim_end()
}

#[test]
fn damage_at_the_end_of_an_older_log_is_not_written_behind_and_not_written_anew() {
    for layout in LAYOUTS {
        let bytes = [&logs(layout)[0].bytes[..], b"no entry\n"].concat();
        let (folder, log) = folder_with(layout, &bytes);
        let store = folder.open();
        assert!(matches!(append(&store, &log, 1).unwrap_err(), StoreError::Corrupt(_)));
        assert_eq!(std::fs::read(folder.root().join(&log.name)).unwrap(), bytes);
        let dry = MaintenanceOptions { now: NOW, dry_run: true, ..MaintenanceOptions::default() };
        assert_eq!(store.repair(log.session, log.segment, &dry).unwrap().kept, 5);
        assert_eq!(std::fs::read(folder.root().join(&log.name)).unwrap(), bytes, "a dry run writes nothing");
        store.repair(log.session, log.segment, &MaintenanceOptions::default()).unwrap();
        append(&store, &log, 1).unwrap();
        assert_eq!(found(&store, &log), []);
    }
}

#[test]
fn the_first_line_may_be_what_is_damaged() {
    for layout in LAYOUTS {
        let mut bytes = logs(layout)[0].bytes.clone();
        bytes[10] = 0xFF;
        let (folder, log) = folder_with(layout, &bytes);
        let store = folder.open();
        assert!(matches!(texts(&store, &log).unwrap_err(), StoreError::Corrupt(_)));
        assert_eq!(store.read_range(log.session, log.segment, Seq(1), 9).unwrap().len(), 4);
        let repair = store.repair(log.session, log.segment, &MaintenanceOptions::default()).unwrap();
        assert_eq!(repair.kept, 4);
        assert_eq!(texts(&store, &log).unwrap()[1..], log_texts(&logs(layout)[0])[1..]);
    }
}

fn log_texts(log: &Log) -> Vec<String> {
    log.texts()
}

#[test]
fn lines_of_today_among_older_ones_count_where_their_seqs_follow() {
    for layout in LAYOUTS {
        let log = &logs(layout)[0];
        let mixed = [&log.bytes[..], &log.line(6, &note_text(6)), note_text(7).as_bytes(), b"\n"].concat();
        let (folder, log) = folder_with(layout, &mixed);
        let store = folder.open();
        let all = [logs(layout)[0].texts(), vec![note_text(6), note_text(7)]].concat();
        assert_eq!(texts(&store, &log).unwrap(), all);
        append(&store, &log, 8).unwrap();
        assert_eq!(texts(&store, &log).unwrap(), [all, vec![note_text(8)]].concat());

        let wrong = [&logs(layout)[0].bytes[..], &log.line(7, &note_text(6)), note_text(7).as_bytes(), b"\n"].concat();
        let (folder, log) = folder_with(layout, &wrong);
        assert!(matches!(texts(&folder.open(), &log).unwrap_err(), StoreError::Corrupt(_)));
        let other = Log { segment: logs(layout)[1].segment, ..log.clone() };
        let foreign = [&logs(layout)[0].bytes[..], &other.line(6, &note_text(6)), b"\n"].concat();
        let (folder, log) = folder_with(layout, &foreign);
        assert!(matches!(texts(&folder.open(), &log).unwrap_err(), StoreError::Corrupt(_)), "a line of another log");
    }
}

/// An entry without a checksum cannot have been written to a log of today by anybody who may write to it.
#[test]
fn a_bare_line_in_a_log_of_today_is_damage() {
    let (folder, log) = folder_of("older-lines");
    let store = folder.open();
    append(&store, &log, 1).unwrap();
    let bytes = [std::fs::read(log.today(&folder)).unwrap(), note_text(2).into_bytes(), b"\n".to_vec()].concat();
    std::fs::write(log.today(&folder), bytes).unwrap();
    assert!(matches!(texts(&folder.open(), &log).unwrap_err(), StoreError::Corrupt(_)));
}

#[test]
fn a_flat_log_beside_the_one_made_of_it_goes_if_its_bytes_are_kept_and_is_told_if_not() {
    let (folder, log) = folder_of("older-flat");
    append(&folder.open(), &log, 1).unwrap();
    write(&folder, &log, &log.bytes);
    let all = [log.texts(), vec![note_text(1)]].concat();
    assert_eq!(texts(&folder.open_read_only(), &log).unwrap(), all, "the log in the session's folder counts");
    assert_eq!(found(&folder.open_read_only(), &log), []);
    create(&folder.open(), 77);
    assert!(!folder.root().join(&log.name).exists());

    let grown = [&log.bytes[..], note_text(9).as_bytes(), b"\n"].concat();
    write(&folder, &log, &grown);
    let store = folder.open();
    assert_eq!(texts(&store, &log).unwrap(), all);
    assert_eq!(store.list_sessions().unwrap().len(), 3);
    append(&store, &log, 2).unwrap();
    assert_eq!(std::fs::read(folder.root().join(&log.name)).unwrap(), grown, "what is not kept stays");
    assert_eq!(found(&store, &log), [FindingKind::Structure]);
    store.repair(log.session, log.segment, &MaintenanceOptions::default()).unwrap();
    assert_eq!(found(&store, &log), []);
    assert!(log.quarantined(&folder).contains(&grown));
    assert!(!folder.root().join(&log.name).exists());
}

/// Something that is done to a log's session.
type Work = fn(&FsStore, &Log);

#[test]
fn everything_that_can_be_done_to_a_session_can_be_done_to_one_of_an_older_layout() {
    for layout in LAYOUTS {
        let works: [(&str, Work); 8] = [
            ("a fact", |store, log| {
                let fact = Fact { ts: NOW, domain: "title".into(), value: "t".into() };
                store.put_fact(FactScope::Session(log.session), &fact).unwrap();
                assert_eq!(store.facts(FactScope::Session(log.session)).unwrap(), [fact]);
            }),
            ("a trace", |store, log| {
                let trace = TraceEntry { ts: NOW, event: "e".into(), payload: serde_json::json!(1) };
                store.append_trace(log.session, log.segment, &trace).unwrap();
                assert_eq!(store.read_traces(log.session, log.segment).unwrap(), [trace]);
            }),
            ("a lease", |store, log| {
                let lease = store.lease(log.session, log.segment, "me", NOW).unwrap();
                assert!(store.leased(log.session, log.segment).unwrap().is_some());
                drop(lease);
            }),
            ("a fork in the session", |store, log| fork(store, log, log.session)),
            ("a fork to another session", |store, log| fork(store, log, session(9))),
            ("another segment", |store, log| {
                let segment = SegmentId::derive(NOW, b"another");
                store
                    .create_segment(log.session, segment, &[start(log.session, None)], &CreateOptions::default())
                    .unwrap();
                assert_eq!(store.list_segments(log.session).unwrap().len(), 2);
                append(store, log, 1).unwrap();
            }),
            ("a checkpoint, and going back to it", |store, log| {
                let new = NewCheckpoint { now: NOW, name: None, reason: "r".into() };
                let made = store.checkpoint(log.session, log.segment, &new).unwrap();
                append(store, log, 1).unwrap();
                store.rollback(log.session, log.segment, made.number, &MaintenanceOptions::default()).unwrap();
                assert_eq!(texts(store, log).unwrap(), log.texts());
            }),
            ("a creation of what is there", |store, log| {
                let refused = store
                    .create_segment(session(9), log.segment, &[start(session(9), None)], &CreateOptions::default())
                    .unwrap_err();
                assert!(matches!(refused, StoreError::AlreadyExists { .. }), "{refused}");
            }),
        ];
        for (what, work) in works {
            let (folder, log) = folder_of(layout);
            let store = folder.open();
            work(&store, &log);
            assert_eq!(texts(&store, &log).unwrap()[..5], log.texts(), "{layout}: {what}");
            assert!(!findings(&store).iter().any(|finding| finding.kind.is_damage()), "{layout}: {what}");
            drop(store);
            let store = folder.open();
            assert_eq!(texts(&store, &log).unwrap()[..5], log.texts(), "{layout}: {what}");
            assert_eq!(store.lookup_session_of(log.segment).unwrap(), Some(log.session), "{layout}: {what}");
        }
    }
}

fn fork(store: &FsStore, log: &Log, session: SessionId) {
    let origin = SegmentOrigin { session_id: log.session, segment_id: log.segment, seq: Seq(4), at_turn_index: 1 };
    let segment = SegmentId::derive(NOW, b"fork");
    store.create_segment(session, segment, &[start(session, Some(origin))], &CreateOptions::default()).unwrap();
    assert_eq!(store.lookup_session_of(segment).unwrap(), Some(session));
}

#[test]
fn a_session_of_an_older_layout_is_deleted_whole_and_not_while_another_continues_it() {
    for layout in LAYOUTS {
        let (folder, log) = folder_of(layout);
        let second = &logs(layout)[1];
        let store = folder.open();
        let refused = store.delete_session(log.session).unwrap_err();
        assert!(matches!(&refused, StoreError::Referenced { by } if *by == [second.segment]), "{refused}");
        store.delete_session(second.session).unwrap();
        store.delete_session(log.session).unwrap();
        assert_eq!(store.list_sessions().unwrap(), []);
        assert_eq!(store.lookup_session_of(log.segment).unwrap(), None);
        assert!(matches!(append(&store, &log, 1).unwrap_err(), StoreError::NotFound(_)));
        let left = tree(&folder.root());
        assert!(!left.iter().any(|(name, _)| name.contains(&log.segment.to_string())), "{layout}");
    }
}

#[test]
fn handles_that_append_first_at_the_same_time_write_the_log_anew_once() {
    for layout in LAYOUTS {
        let (folder, log) = folder_of(layout);
        let stores = [folder.open(), folder.open()];
        assert_eq!(texts(&stores[0], &log).unwrap().len(), 5, "it is open in the older layout");
        std::thread::scope(|scope| {
            for (n, store) in stores.iter().enumerate() {
                let log = &log;
                scope.spawn(move || {
                    for entry in 0..10 {
                        append(store, log, 100 * n as u64 + entry).unwrap();
                    }
                });
            }
        });
        for store in &stores {
            let all = texts(store, &log).unwrap();
            assert_eq!(all[..5], log.texts());
            let mut notes = all[5..].to_vec();
            notes.sort();
            let mut expected: Vec<String> = (0..10).chain(100..110).map(note_text).collect();
            expected.sort();
            assert_eq!(notes, expected);
        }
        assert_eq!(stores[0].events().unwrap().len(), 1);
    }
}

#[test]
fn a_tail_goes_on_when_the_log_is_written_anew_under_it_and_when_an_older_program_appends() {
    for layout in LAYOUTS {
        let (folder, log) = folder_of(layout);
        let store = folder.open();
        let mut tail = store.tail(log.session, log.segment, TailFrom::Start).unwrap();
        let mut told = Vec::new();
        let mut read = |count: usize| {
            while told.len() < count {
                match tail.next(std::time::Duration::from_secs(20)).unwrap() {
                    TailEvent::Records(records) => told.extend(records.into_iter().map(|record| record.text)),
                    other => panic!("{other:?}"),
                }
            }
            told.clone()
        };
        assert_eq!(read(5), log.texts());
        let grown = [&log.bytes[..], note_text(1).as_bytes(), b"\n"].concat();
        write(&folder, &log, &grown);
        assert_eq!(read(6)[5], note_text(1));
        append(&store, &log, 2).unwrap();
        assert_eq!(read(7)[6], note_text(2));
    }
}

#[test]
fn a_folder_that_only_looks_like_an_older_layout_is_left_alone() {
    let id = logs("older-flat")[0].name.clone();
    let strangers: [(&str, &[u8]); 5] = [
        (&id, b"{\"type\":\"user\",\"uuid\":\"x\",\"timestamp\":\"2026-01-01\"}\n"),
        (&id, b"{\"kind\":\"something\",\"ts\":1}\n"),
        (&id, b""),
        ("session.jsonl", &logs("older-flat")[0].bytes),
        ("notes.txt", b"x"),
    ];
    for (name, bytes) in strangers {
        let folder = Folder::new();
        std::fs::create_dir_all(folder.root()).unwrap();
        std::fs::write(folder.root().join(name), bytes).unwrap();
        let before = tree(&folder.root());
        for open_as in [OpenAs::Shared, OpenAs::ReadOnly, OpenAs::Exclusive] {
            let disk = Arc::new(FaultyDisk(Plan::faultless()));
            let refused = FsStore::open_on(disk, &folder.root(), open_as, &options()).unwrap_err();
            assert!(matches!(refused, StoreError::NotAStore { .. }), "{name}: {refused}");
        }
        assert_eq!(tree(&folder.root()), before, "{name}");
    }
}

#[test]
fn whoever_has_an_older_layout_for_himself_keeps_others_out() {
    for layout in LAYOUTS {
        let (folder, log) = folder_of(layout);
        let early = folder.open();
        let alone = FsStore::open_exclusive(folder.root(), &options()).unwrap();
        assert!(matches!(FsStore::open(folder.root(), &options()).unwrap_err(), StoreError::Locked { .. }));
        assert!(
            matches!(append(&early, &log, 1).unwrap_err(), StoreError::Locked { .. }),
            "it has written nothing yet"
        );
        append(&alone, &log, 2).unwrap();
        drop(alone);
        assert_eq!(append(&early, &log, 3).unwrap().seq, Seq(7));
    }
}

#[test]
fn a_long_log_of_an_older_layout_is_found_in_like_any_other() {
    for layout in LAYOUTS {
        let long: String = (6..3000)
            .map(|n| format!("{{\"kind\":\"note\",\"ts\":{n},\"n\":{n},\"pad\":\"{}\"}}\n", "é".repeat(n % 90)))
            .collect();
        let large = format!("{{\"kind\":\"note\",\"ts\":1,\"pad\":\"{}\"}}\n", "x".repeat(300_000));
        let bytes =
            [&logs(layout)[0].bytes[..], long.as_bytes(), large.as_bytes(), note_text(1).as_bytes(), b"\n"].concat();
        let (folder, log) = folder_with(layout, &bytes);
        let store = folder.open();
        let all = log.texts();
        assert_eq!(texts(&store, &log).unwrap(), all);
        for after in [0, 1, 17, 700, 2990, 2999, 3000] {
            let records = store.read_range(log.session, log.segment, Seq(after), 2).unwrap();
            let from = usize::try_from(after).unwrap();
            let expected = &all[from..all.len().min(from + 2)];
            assert_eq!(
                records.iter().map(|record| &record.text).collect::<Vec<_>>(),
                expected.iter().collect::<Vec<_>>()
            );
        }
        append(&store, &log, 2).unwrap();
        assert_eq!(texts(&store, &log).unwrap()[..all.len()], all);
    }
}

/// Programs of those layouts left the permissions to the umask.
#[test]
fn a_log_of_an_older_layout_that_others_may_read_is_told() {
    for layout in LAYOUTS {
        let (folder, log) = folder_of(layout);
        set_modes(&folder.root().join(&log.name), 0o700, 0o644);
        let told = findings(&folder.open_read_only());
        let of_modes: Vec<&Finding> = told.iter().filter(|one| one.kind == FindingKind::Permission).collect();
        assert!(of_modes.len() == 1 && of_modes[0].session_id == Some(log.session), "{told:?}");
        append(&folder.open(), &log, 1).unwrap();
        assert!(!findings(&folder.open()).iter().any(|one| one.kind == FindingKind::Permission));
    }
}

#[test]
fn a_keyed_call_works_on_a_log_of_an_older_layout() {
    for layout in LAYOUTS {
        let (folder, log) = folder_of(layout);
        let store = folder.open();
        let entries = [NewEntry::text(note_text(1)).with_key("k")];
        let first = store.append_with(log.session, log.segment, &entries, &AppendOptions::default()).unwrap();
        let again = store.append_with(log.session, log.segment, &entries, &AppendOptions::default()).unwrap();
        assert_eq!(first, again);
    }
}

#[test]
fn the_page_shows_a_flat_log_and_the_one_that_is_made_of_it() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/FORMAT.md")).unwrap();
    let (folder, _) = folder_of("older-flat");
    let log = &logs("older-flat")[1];
    let lease = folder.open().lease(log.session, log.segment, "me", NOW).unwrap();
    drop(lease);
    for bytes in [log.bytes.clone(), std::fs::read(log.today(&folder)).unwrap()] {
        let text = String::from_utf8(bytes).unwrap();
        assert!(page.contains(&format!("```\n{text}```\n")), "docs/FORMAT.md shows it otherwise:\n{text}");
    }
}
