//! Logs of several parts: going on in a new one, what a crash leaves of that, and damage in the parts before.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use store_core::{
    AppendOptions, Backend as _, Damage, Expected, SegmentId, SegmentOrigin, Seq, Store as _, StoreError, TailEvent,
    TailFrom,
};
use store_fs::{FsStore, Hole};

use crate::faults::{Plan, done_since, open_with};
use crate::support::{
    Folder, append, append_synced, create, in_parts, names, note, note_texts, segment, session, start, texts,
};

/// Room for a start, or for three notes of one call each.
const BYTES: u64 = 300;

fn open(folder: &Folder, max_part_bytes: u64) -> FsStore {
    FsStore::open(folder.root(), &in_parts(max_part_bytes)).unwrap()
}

/// A log with notes 1 to `count`, each of a call of its own.
fn filled(count: u64) -> Folder {
    let folder = Folder::new();
    let store = open(&folder, BYTES);
    create(&store, 1);
    (1..=count).for_each(|n| _ = append(&store, 1, &[n]).unwrap());
    folder
}

fn all(count: u64) -> Vec<String> {
    note_texts(&(1..=count).collect::<Vec<_>>())
}

/// The lengths of the parts, one after another.
fn lengths(folder: &Folder) -> Vec<u64> {
    (1..).map_while(|part| Some(fs::metadata(folder.part(1, part)).ok()?.len())).collect()
}

/// The number of the newest part.
fn newest_part(folder: &Folder) -> u32 {
    (1..).take_while(|part| folder.part(1, *part).exists()).last().unwrap()
}

fn is_writable(folder: &Folder, part: u32) -> bool {
    fs::metadata(folder.part(1, part)).unwrap().permissions().mode() & 0o222 != 0
}

fn set_writable(folder: &Folder, part: u32, writable: bool) {
    let mode = if writable { 0o600 } else { 0o400 };
    fs::set_permissions(folder.part(1, part), Permissions::from_mode(mode)).unwrap();
}

fn damage<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> Damage {
    let Err(StoreError::Corrupt(damage)) = answer else { panic!("{answer:?}") };
    assert_eq!(damage.segment, Some(segment(1)));
    damage
}

/// Holds a log of notes 1 to `count` in every way against what it should say, and then writes one more.
fn check(folder: &Folder, count: u64) {
    let store = open(folder, BYTES);
    assert_eq!(store.read_entry_count(session(1), segment(1)).unwrap(), count + 1);
    assert_eq!(texts(&store, 1).unwrap(), all(count));
    for length in 0..=count + 1 {
        let records = store.read_tail(session(1), segment(1), usize::try_from(length).unwrap()).unwrap();
        let seqs: Vec<u64> = records.iter().map(|record| record.position.seq.0).collect();
        assert_eq!(seqs, (count + 2 - length..=count + 1).collect::<Vec<_>>());
        let records = store.read_range(session(1), segment(1), Seq(length), 2).unwrap();
        let seqs: Vec<u64> = records.iter().map(|record| record.position.seq.0).collect();
        assert_eq!(seqs, (length + 1..=count + 1).take(2).collect::<Vec<_>>());
    }
    assert_eq!(append(&store, 1, &[count + 1]).unwrap()[0].seq, Seq(count + 2));
    assert_eq!(texts(&open(folder, BYTES), 1).unwrap(), all(count + 1));
}

#[test]
fn no_part_is_longer_than_it_may_be_unless_one_call_is() {
    let folder = filled(20);
    let lengths_before = lengths(&folder);
    assert!(lengths_before.len() > 5 && lengths_before.iter().all(|length| (1..=BYTES).contains(length)));
    assert!((1..newest_part(&folder)).all(|part| !is_writable(&folder, part)));
    assert!(is_writable(&folder, newest_part(&folder)));
    append(&open(&folder, BYTES), 1, &(21..=40).collect::<Vec<_>>()).unwrap();
    assert!(lengths(&folder).last().unwrap() > &BYTES);
    check(&folder, 40);
}

#[test]
fn going_on_in_a_new_part_syncs_what_was_and_the_name_of_what_will_be() {
    let folder = Folder::new();
    let plan = Plan::faultless();
    let store = open_with(&folder, &plan, &in_parts(1)).unwrap();
    create(&store, 1);
    append(&store, 1, &[1]).unwrap();
    done_since(&plan, &folder);
    append(&store, 1, &[2]).unwrap();
    let done = done_since(&plan, &folder);
    let at = |what: &str| done.iter().position(|line| line == what).unwrap_or_else(|| panic!("{what}: {done:#?}"));
    let order = [
        at("sync session-1/segment-1.2.jsonl"),
        at("take write bits of session-1/segment-1.2.jsonl"),
        at("sync session-1"),
        at("append session-1/segment-1.3.jsonl"),
    ];
    assert!(order.is_sorted(), "{done:#?}");
}

#[test]
fn what_is_expected_and_which_keys_stand_is_known_across_parts() {
    let folder = Folder::new();
    let store = open(&folder, BYTES);
    create(&store, 1);
    let keyed = |store: &FsStore, n: u64| {
        let entries = [note(n).with_key(format!("key {n}"))];
        store.append_with(session(1), segment(1), &entries, &AppendOptions::default())
    };
    let positions: Vec<_> = (1..=12).map(|n| keyed(&store, n).unwrap()[0]).collect();
    for store in [&store, &open(&folder, BYTES)] {
        for n in 1..=12 {
            assert_eq!(keyed(store, n).unwrap()[0], positions[usize::try_from(n).unwrap() - 1]);
        }
        let reused = [note(99).with_key("key 3")];
        let refused = store.append_with(session(1), segment(1), &reused, &AppendOptions::default());
        assert!(matches!(refused, Err(StoreError::KeyReused { position, .. }) if position == positions[2]));
    }
    let how = |expected| AppendOptions { expected: Some(expected), ..AppendOptions::default() };
    let last = *positions.last().unwrap();
    for expected in [Expected::At(last), Expected::Count(14), Expected::Count(15)] {
        store.append_with(session(1), segment(1), &[note(50)], &how(expected)).unwrap();
    }
    let stale = store.append_with(session(1), segment(1), &[note(50)], &how(Expected::At(last)));
    assert!(matches!(stale, Err(StoreError::Conflict { actual, .. }) if actual.seq == Seq(16)), "{stale:?}");
}

#[test]
fn forks_counts_and_deletions_reach_every_part() {
    let folder = filled(12);
    let store = open(&folder, BYTES);
    for (n, seq) in [(2, 3), (3, 13)] {
        let origin = SegmentOrigin { session_id: session(1), segment_id: segment(1), seq: Seq(seq), at_turn_index: 0 };
        let entries = [start(session(n), Some(origin))];
        store.create_segment(session(n), segment(n), &entries, &Default::default()).unwrap();
    }
    assert_eq!(store.list_segments(session(1)).unwrap(), [segment(1)]);
    store.delete_session(session(2)).unwrap();
    store.delete_session(session(3)).unwrap();
    store.delete_session(session(1)).unwrap();
    assert_eq!(store.lookup_session_of(segment(1)).unwrap(), None);
    create(&store, 1);
    assert_eq!(texts(&store, 1).unwrap(), Vec::<String>::new());
}

#[test]
fn handles_that_were_open_before_notice_that_the_log_goes_on_elsewhere() {
    let folder = filled(0);
    let (one, other, reader) = (open(&folder, BYTES), open(&folder, BYTES), folder.open_read_only());
    let mut tail = reader.watch().unwrap().tail(session(1), segment(1), TailFrom::Start).unwrap();
    let mut given = 0;
    for n in 1..=30 {
        let store = if n % 3 == 0 { &one } else { &other };
        append(store, 1, &[n]).unwrap();
        assert_eq!(texts(&reader, 1).unwrap(), all(n));
        if n % 4 == 0 {
            let TailEvent::Records(records) = tail.next(Duration::ZERO).unwrap() else { panic!("nothing at {n}") };
            given += records.len() as u64;
            assert_eq!(given, n + 1);
            assert_eq!(tail.next(Duration::ZERO).unwrap(), TailEvent::Nothing);
        }
    }
}

#[test]
fn any_moment_at_which_going_on_stopped_is_gone_on_from() {
    let folder = filled(6);
    let newest = newest_part(&folder);
    // The part that is full was synced and lost its write bits; the next is not there yet.
    set_writable(&folder, newest, false);
    check(&folder, 6);
    // The next is there and empty, and the write bits are gone, or came back with a power loss.
    for (writable, count) in [(false, 7), (true, 8)] {
        let newest = newest_part(&folder);
        set_writable(&folder, newest, writable);
        File::create_new(folder.part(1, newest + 1)).unwrap();
        check(&folder, count);
        assert!(lengths(&folder)[newest as usize] > 0, "the empty part was not gone on in");
    }
}

#[test]
fn what_a_crash_left_in_the_newest_part_is_taken_out_of_that_alone() {
    let folder = filled(6);
    let newest = newest_part(&folder);
    set_writable(&folder, newest, false);
    for torn in [&br#"{"seq":8,"kind":"no"#[..], br#"{"seq":8,"more":1,"#] {
        let newest = newest_part(&folder);
        let before = lengths(&folder);
        File::create_new(folder.part(1, newest + 1)).unwrap().write_all(torn).unwrap();
        set_writable(&folder, newest, false);
        assert_eq!(folder.open_read_only().hole(session(1), segment(1)).unwrap(), None);
        let count = folder.open_read_only().read_entry_count(session(1), segment(1)).unwrap();
        check(&folder, count - 1);
        assert_eq!(lengths(&folder)[..newest as usize], before);
    }
    let kept = names(&folder.quarantine(1));
    assert!(kept.len() == 2 && kept.iter().all(|name| name.contains(".jsonl.0.")), "{kept:?}");
}

#[test]
fn zeros_in_the_newest_part_are_a_hole_and_in_a_sealed_one_damage() {
    let folder = filled(6);
    let newest = newest_part(&folder);
    set_writable(&folder, newest, false);
    File::create_new(folder.part(1, newest + 1)).unwrap().write_all(&[0; 100]).unwrap();
    let hole = Hole { after: Seq(7), part: newest + 1, offset: 0, bytes: 100 };
    assert_eq!(folder.open_read_only().hole(session(1), segment(1)).unwrap(), Some(hole));
    check(&folder, 6);
    set_writable(&folder, 2, true);
    OpenOptions::new().append(true).open(folder.part(1, 2)).unwrap().write_all(&[0; 100]).unwrap();
    let store = open(&folder, BYTES);
    assert_eq!(damage(store.read_all(session(1), segment(1))).part, 2);
    append(&store, 1, &[8]).unwrap();
}

/// Damage in one part, and what is told of it, and that everything else can be read and the log be written on.
fn check_damaged(folder: &Folder, count: u64, part: u32, offset: u64) {
    let store = open(folder, BYTES);
    let told = damage(store.read_all(session(1), segment(1)));
    assert_eq!((told.part, told.offset), (part, offset), "{told}");
    assert_eq!(store.read_tail(session(1), segment(1), 1).unwrap()[0].text, all(count).pop().unwrap());
    assert_eq!(store.read_range(session(1), segment(1), Seq(0), 1).unwrap().len(), 1);
    assert_eq!(store.read_entry_count(session(1), segment(1)).unwrap(), count + 1);
    append(&store, 1, &[count + 1]).unwrap();
}

#[test]
fn damage_in_a_sealed_part_is_told_with_the_part_and_hides_nothing_else() {
    for what in ["a bit", "the end", "a line", "everything"] {
        let folder = filled(20);
        let path = folder.part(1, 3);
        let bytes = fs::read(&path).unwrap();
        let second = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let (left, offset) = match what {
            "a bit" => ([&bytes[..10], b"#", &bytes[11..]].concat(), 0),
            "the end" => (
                bytes[..bytes.len() - 5].to_vec(),
                bytes[..bytes.len() - 5].rsplit(|b| *b == b'\n').next().map_or(0, |line| bytes.len() - 5 - line.len()),
            ),
            "a line" => (bytes[..second].to_vec(), second),
            _ => (Vec::new(), 0),
        };
        set_writable(&folder, 3, true);
        fs::write(&path, left).unwrap();
        check_damaged(&folder, 20, 3, offset as u64);
    }
}

#[test]
fn an_empty_part_goes_on_from_a_whole_one_only() {
    for left in [0, 40] {
        let folder = filled(20);
        let newest = newest_part(&folder);
        set_writable(&folder, newest, true);
        OpenOptions::new().write(true).open(folder.part(1, newest)).unwrap().set_len(left).unwrap();
        File::create_new(folder.part(1, newest + 1)).unwrap();
        let store = open(&folder, BYTES);
        let read = damage(store.read_range(session(1), segment(1), Seq(0), 1));
        for told in [damage(append(&store, 1, &[21])), damage(store.read_all(session(1), segment(1))), read] {
            assert_eq!((told.part, told.offset), (newest, 0), "{told}");
        }
    }
}

#[test]
fn a_part_that_is_missing_is_named_and_the_others_are_read() {
    let folder = filled(20);
    fs::remove_file(folder.part(1, 3)).unwrap();
    check_damaged(&folder, 20, 3, 0);
    let folder = filled(20);
    fs::remove_file(folder.part(1, 2)).unwrap();
    check_damaged(&folder, 20, 2, 0);
    let folder = filled(20);
    fs::remove_file(folder.part(1, 1)).unwrap();
    let store = open(&folder, BYTES);
    assert_eq!(damage(store.read_all(session(1), segment(1))).part, 1);
    assert_eq!(store.lookup_session_of(segment(1)).unwrap(), Some(session(1)));
    let again = store.create_segment(session(1), segment(1), &[start(session(1), None)], &Default::default());
    assert!(matches!(again, Err(StoreError::AlreadyExists { .. })), "{again:?}");
}

#[test]
fn a_part_that_is_missing_is_named_where_a_copy_gave_the_write_bits_back() {
    let folder = filled(20);
    fs::remove_file(folder.part(1, 2)).unwrap();
    for part in (1..=newest_part(&folder)).filter(|part| *part != 2) {
        set_writable(&folder, part, true);
    }
    check_damaged(&folder, 20, 2, 0);
}

#[test]
fn a_part_that_is_another_one_again_is_damage_and_nothing_is_written_behind_it() {
    let folder = filled(20);
    let newest = newest_part(&folder);
    fs::copy(folder.part(1, 3), folder.part(1, newest + 1)).unwrap();
    let store = open(&folder, BYTES);
    let told = damage(append(&store, 1, &[21]));
    assert_eq!((told.part, told.offset, told.seq), (newest + 1, 0, Some(Seq(22))), "{told}");
    let folder = filled(20);
    fs::remove_file(folder.part(1, 4)).unwrap();
    fs::copy(folder.part(1, 3), folder.part(1, 4)).unwrap();
    let told = damage(open(&folder, BYTES).read_all(session(1), segment(1)));
    assert_eq!((told.part, told.offset), (4, 0), "{told}");
}

#[test]
fn a_link_in_a_parts_place_is_damage() {
    for part in [3, 50] {
        let folder = filled(20);
        let _ = fs::remove_file(folder.part(1, part));
        std::os::unix::fs::symlink(folder.part(1, 2), folder.part(1, part)).unwrap();
        let told = damage(open(&folder, BYTES).read_all(session(1), segment(1)));
        assert_eq!((told.part, told.offset), (part, 0), "{told}");
    }
}

#[test]
fn the_mark_of_a_failed_sync_beside_a_sealed_part_has_that_part_written_anew() {
    let folder = filled(20);
    let mut mark = folder.part(1, 3).into_os_string();
    mark.push(".failed");
    File::create(&mark).unwrap();
    let before = fs::read(folder.part(1, 3)).unwrap();
    check(&folder, 20);
    assert!(!fs::exists(&mark).unwrap());
    assert_eq!(fs::read(folder.part(1, 3)).unwrap(), before);
    assert!(!is_writable(&folder, 3));
    assert_eq!(open(&folder, BYTES).events().unwrap().len(), 1);
}

#[test]
fn a_death_in_any_call_of_going_on_loses_nothing_and_is_gone_on_from() {
    for calls in 1.. {
        let folder = filled(0);
        let plan = Plan::dies_after(calls);
        let done = open_with(&folder, &plan, &in_parts(BYTES))
            .map_or(0, |dying| (1..=8).take_while(|n| append_synced(&dying, 1, &[*n]).is_ok()).count() as u64);
        let count = folder.open_read_only().read_entry_count(session(1), segment(1)).unwrap() - 1;
        assert!((done..=done + 1).contains(&count), "death in call {calls}: {done} done, {count} counted");
        check(&folder, count);
        if done == 8 {
            break;
        }
    }
}

#[test]
fn a_session_that_is_being_maintained_does_not_go_on_in_new_parts() {
    let folder = filled(3);
    let before = lengths(&folder).len();
    let lock = OpenOptions::new().append(true).open(folder.log(1).with_file_name("LOCK")).unwrap();
    lock.lock().unwrap();
    let store = open(&folder, BYTES);
    (4..=9).for_each(|n| _ = append(&store, 1, &[n]).unwrap());
    assert_eq!(lengths(&folder).len(), before);
    drop(lock);
    append(&store, 1, &[10]).unwrap();
    assert_eq!(lengths(&folder).len(), before + 1);
    check(&folder, 10);
}

#[test]
fn an_append_that_races_with_a_deletion_ends_well_or_finds_nothing() {
    for _ in 0..20 {
        let folder = Folder::new();
        let store = open(&folder, 1);
        create(&store, 1);
        std::thread::scope(|scope| {
            for n in 0..3 {
                let store = &store;
                scope.spawn(move || {
                    for call in 0..20 {
                        let done = append(store, 1, &[1000 * n + call]);
                        assert!(matches!(done, Ok(_) | Err(StoreError::NotFound(_))), "{done:?}");
                    }
                });
            }
            scope.spawn(|| store.delete_session(session(1)).unwrap());
        });
    }
}

/// A thread looked at a part just as another had taken its write bits and not yet made the next, and took it for unchanged
/// from then on.
#[test]
fn a_tail_that_looks_while_a_part_is_being_sealed_goes_on() {
    let folder = filled(6);
    let newest = newest_part(&folder);
    set_writable(&folder, newest, false);
    let reader = folder.open_read_only();
    let mut tail = reader.watch().unwrap().tail(session(1), segment(1), TailFrom::End).unwrap();
    assert_eq!(tail.next(Duration::ZERO).unwrap(), TailEvent::Nothing);
    File::create_new(folder.part(1, newest + 1)).unwrap();
    append(&open(&folder, BYTES), 1, &[7]).unwrap();
    let TailEvent::Records(records) = tail.next(Duration::ZERO).unwrap() else { panic!("nothing came") };
    assert_eq!(records[0].text, all(7)[6]);
}

#[test]
fn parts_of_another_segment_are_not_mixed_in() {
    let folder = filled(6);
    let other: SegmentId = segment(2);
    let newest = newest_part(&folder);
    fs::copy(folder.part(1, 2), folder.log(1).with_file_name(format!("{other}.{}.jsonl", newest + 5))).unwrap();
    check(&folder, 6);
}
