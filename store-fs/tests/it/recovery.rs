//! What a crash leaves at the end of a log, what damage looks like, and what the next reader and writer make of it.

use std::fs;

use store_core::{AppendOptions, Expected, Fact, FactScope, NewEntry, Seq, Store as _, StoreError};

use store_core::codec::{LineFields, LogContext, encode_line};

use crate::faults::open_without_syncs;
use crate::support::{Folder, NOW, append, create, names, note, note_text, note_texts, segment, session, texts};

/// A store whose segment 1 has a start, one note, and a call of three notes.
fn filled() -> (Folder, Vec<u8>) {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    create(&store, 1);
    append(&store, 1, &[1]).unwrap();
    append(&store, 1, &[2, 3, 4]).unwrap();
    drop(store);
    let bytes = fs::read(folder.log(1)).unwrap();
    (folder, bytes)
}

/// How many bytes of the log the first `lines` lines have.
fn length_of(log: &[u8], lines: usize) -> usize {
    log.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(lines - 1).unwrap().0 + 1
}

/// How many notes a log that is cut at `length` still has; a line that lacks only `"}` and its newline counts.
fn notes_after_cut(log: &[u8], length: usize) -> Option<usize> {
    let whole = |lines: usize| length + 3 >= length_of(log, lines);
    match (whole(1), whole(2), whole(5)) {
        (false, ..) => None,
        (true, false, _) => Some(0),
        (true, true, false) => Some(1),
        (true, true, true) => Some(4),
    }
}

#[test]
fn a_log_cut_at_any_byte_reads_as_its_complete_calls_and_takes_the_next_one() {
    let (folder, whole) = filled();
    for length in 0..whole.len() {
        fs::write(folder.log(1), &whole[..length]).unwrap();
        let store = open_without_syncs(&folder);
        let Some(kept) = notes_after_cut(&whole, length) else {
            for refused in [texts(&store, 1).unwrap_err(), append(&store, 1, &[9]).unwrap_err()] {
                assert!(matches!(refused, StoreError::Corrupt(_)), "cut at {length}: {refused}");
            }
            continue;
        };
        let before = note_texts(&[1, 2, 3, 4][..kept]);
        assert_eq!(texts(&store, 1).unwrap(), before, "cut at {length}");
        assert_eq!(store.read_entry_count(session(1), segment(1)).unwrap(), 1 + kept as u64, "cut at {length}");
        assert_eq!(fs::read(folder.log(1)).unwrap(), &whole[..length], "a reader changed a log cut at {length}");

        let position = append(&store, 1, &[9]).unwrap()[0];
        assert_eq!(position.seq, Seq(2 + kept as u64), "cut at {length}");
        assert_eq!(texts(&store, 1).unwrap(), [before, note_texts(&[9])].concat(), "cut at {length}");
        let line_start = length_of(&whole, [1, 2, 5, 5, 5][kept]);
        assert_eq!(
            fs::read(folder.log(1)).unwrap()[..line_start],
            whole[..line_start],
            "what was valid is not the same after a cut at {length}"
        );
    }
}

#[test]
fn what_is_taken_out_of_a_log_lies_in_quarantine() {
    let (folder, whole) = filled();
    let two_lines = length_of(&whole, 2);
    // Two whole lines of a call of three, and half of the third.
    let cut = whole.len() - 20;
    fs::write(folder.log(1), &whole[..cut]).unwrap();
    append(&open_without_syncs(&folder), 1, &[9]).unwrap();
    let quarantined = names(&folder.quarantine(1));
    assert_eq!(quarantined, [format!("{}.jsonl.{two_lines}.1", segment(1))]);
    assert_eq!(fs::read(folder.quarantine(1).join(&quarantined[0])).unwrap(), &whole[two_lines..cut]);

    // The same place again is another file.
    let log = fs::read(folder.log(1)).unwrap();
    fs::write(folder.log(1), &log[..log.len() - 10]).unwrap();
    append(&open_without_syncs(&folder), 1, &[10]).unwrap();
    assert_eq!(names(&folder.quarantine(1)).len(), 2);
    assert_eq!(texts(&open_without_syncs(&folder), 1).unwrap(), note_texts(&[1, 10]));
}

#[test]
fn a_call_that_lacks_its_last_line_is_taken_out_whole() {
    let (folder, whole) = filled();
    let cut = length_of(&whole, 4);
    fs::write(folder.log(1), &whole[..cut]).unwrap();
    let store = open_without_syncs(&folder);
    assert_eq!(texts(&store, 1).unwrap(), note_texts(&[1]));
    assert_eq!(store.read_tail(session(1), segment(1), 1).unwrap()[0].text, note_text(1));
    append(&store, 1, &[9]).unwrap();
    assert_eq!(texts(&store, 1).unwrap(), note_texts(&[1, 9]));
}

#[test]
fn a_handle_that_knew_the_log_notices_the_torn_line_of_another_writer() {
    let (folder, whole) = filled();
    let store = open_without_syncs(&folder);
    append(&store, 1, &[5]).unwrap();
    let mut torn = fs::read(folder.log(1)).unwrap();
    torn.extend_from_slice(&whole[..30]);
    fs::write(folder.log(1), &torn).unwrap();
    assert_eq!(texts(&store, 1).unwrap(), note_texts(&[1, 2, 3, 4, 5]));
    append(&store, 1, &[6]).unwrap();
    assert_eq!(texts(&open_without_syncs(&folder), 1).unwrap(), note_texts(&[1, 2, 3, 4, 5, 6]));
}

/// A handle that had seen a torn tail took the line that another writer put in its place for the same tail, by its length.
#[test]
fn a_line_as_long_as_the_torn_tail_it_replaced_is_not_taken_out() {
    let (folder, whole) = filled();
    let line = length_of(&whole, 2) - length_of(&whole, 1);
    let torn = [whole, vec![b'x'; line]].concat();
    fs::write(folder.log(1), &torn).unwrap();
    let (store, other) = (open_without_syncs(&folder), open_without_syncs(&folder));
    let stale = AppendOptions::expecting(Expected::Count(1));
    let refused = store.append_with(session(1), segment(1), &[note(9)], &stale).unwrap_err();
    assert!(matches!(refused, StoreError::Conflict { .. }), "{refused}");
    append(&other, 1, &[5]).unwrap();
    assert_eq!(fs::read(folder.log(1)).unwrap().len(), torn.len());
    append(&store, 1, &[6]).unwrap();
    assert_eq!(texts(&other, 1).unwrap(), note_texts(&[1, 2, 3, 4, 5, 6]));
}

#[test]
fn a_flipped_bit_anywhere_is_corrupt_for_whoever_reads_there() {
    let (folder, whole) = filled();
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 1;
        fs::write(folder.log(1), &bad).unwrap();
        let store = folder.open_read_only();
        match store.read_all(session(1), segment(1)) {
            Err(StoreError::Corrupt(damage)) => assert_eq!(damage.segment, Some(segment(1)), "{at}"),
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

#[test]
fn damage_in_the_last_line_is_neither_read_nor_written_over() {
    let (folder, whole) = filled();
    let mut bad = whole.clone();
    let at = whole.len() - 30;
    bad[at] ^= 4;
    fs::write(folder.log(1), &bad).unwrap();
    let store = open_without_syncs(&folder);
    for refused in [
        store.read_entry_count(session(1), segment(1)).unwrap_err(),
        store.read_tail(session(1), segment(1), 1).unwrap_err(),
        append(&store, 1, &[9]).unwrap_err(),
    ] {
        let StoreError::Corrupt(damage) = refused else { panic!("{refused}") };
        assert_eq!(damage.offset, length_of(&whole, 4) as u64);
    }
    assert_eq!(fs::read(folder.log(1)).unwrap(), bad);
}

#[test]
fn a_complete_checksum_that_does_not_match_is_damage_also_without_a_newline() {
    let (folder, whole) = filled();
    let mut bad = whole[..whole.len() - 1].to_vec();
    let at = whole.len() - 30;
    bad[at] ^= 4;
    fs::write(folder.log(1), &bad).unwrap();
    let store = open_without_syncs(&folder);
    let refused = append(&store, 1, &[9]).unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
    assert_eq!(fs::read(folder.log(1)).unwrap(), bad);
}

#[test]
fn damage_in_the_middle_stops_only_who_would_read_it() {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    create(&store, 1);
    let notes: Vec<u64> = (1..=2000).collect();
    append(&store, 1, &notes).unwrap();
    let whole = fs::read(folder.log(1)).unwrap();
    let (from, to) = (length_of(&whole, 1000), length_of(&whole, 1001));
    // Without its newline the line would take the next one with it.
    for at in from..to - 1 {
        let mut bad = whole.clone();
        bad[at] ^= 1;
        fs::write(folder.log(1), &bad).unwrap();
        let range = |after, limit| store.read_range(session(1), segment(1), Seq(after), limit);
        let last = range(1990, 100).unwrap();
        assert_eq!(last.len(), 11, "byte {at}");
        assert_eq!(range(10, 5).unwrap().len(), 5, "byte {at}");
        assert_eq!(range(1001, 5).unwrap()[0].position.seq, Seq(1002), "byte {at}");
        assert_eq!(store.read_tail(session(1), segment(1), 7).unwrap().len(), 7, "byte {at}");
        let refused = range(998, 5).unwrap_err();
        assert!(matches!(refused, StoreError::Corrupt(_)), "byte {at}: {refused}");
        let refused = range(1000, 1).unwrap_err();
        assert!(matches!(refused, StoreError::Corrupt(_)), "byte {at}: {refused}");
    }
}

#[test]
fn a_line_that_claims_to_be_another_does_not_hide_that_one() {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    create(&store, 1);
    append(&store, 1, &(1..=2000).collect::<Vec<_>>()).unwrap();
    let mut log = fs::read(folder.log(1)).unwrap();
    let last_digit = length_of(&log, 1000) + r#"{"seq":1001"#.len() - 1;
    log[last_digit] = b'3';
    fs::write(folder.log(1), &log).unwrap();
    let records = store.read_range(session(1), segment(1), Seq(1002), 2).unwrap();
    assert_eq!(records.iter().map(|record| record.position.seq).collect::<Vec<_>>(), [Seq(1003), Seq(1004)]);
}

/// A log whose lines behind the start say these numbers of lines that still follow; every checksum is right.
fn log_of_calls(more: &[u64]) -> Vec<u8> {
    let (folder, whole) = filled();
    let mut log = whole[..length_of(&whole, 1)].to_vec();
    drop(folder);
    for (seq, more) in (2..).zip(more) {
        let fields = LineFields { seq: Seq(seq), more: *more, ..LineFields::default() };
        encode_line(&mut log, &LogContext::segment(segment(1)), &fields, &note_text(seq));
    }
    log
}

#[test]
fn a_call_that_does_not_count_down_is_damage_in_the_middle_and_at_the_end() {
    let (folder, _) = filled();
    let store = open_without_syncs(&folder);
    for (more, damaged) in [
        (&[2, 1, 0, 0][..], false),
        (&[2, 1], false),
        (&[0, 3], false),
        (&[2, 0], true),
        (&[2, 2, 1, 0], true),
        (&[3, 1], true),
        (&[1, 2, 1, 0, 0], true),
    ] {
        fs::write(folder.log(1), log_of_calls(more)).unwrap();
        let read = texts(&store, 1);
        assert_eq!(matches!(read, Err(StoreError::Corrupt(_))), damaged, "{more:?}: {read:?}");
    }
}

#[test]
fn a_missing_line_is_damage() {
    let (folder, whole) = filled();
    let without_second = [&whole[..length_of(&whole, 1)], &whole[length_of(&whole, 2)..]].concat();
    fs::write(folder.log(1), without_second).unwrap();
    let refused = texts(&open_without_syncs(&folder), 1).unwrap_err();
    let StoreError::Corrupt(damage) = refused else { panic!("{refused}") };
    assert_eq!((damage.seq, damage.offset), (Some(Seq(2)), length_of(&whole, 1) as u64));
}

#[test]
fn a_log_under_another_segments_name_is_damage() {
    let (folder, whole) = filled();
    let store = open_without_syncs(&folder);
    create(&store, 2);
    fs::write(folder.log(2), &whole).unwrap();
    let refused = texts(&store, 2).unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
}

#[test]
fn every_range_and_tail_of_a_log_of_very_unequal_lines_is_right() {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    create(&store, 1);
    let text = |n: u64| format!(r#"{{"kind":"note","ts":{n},"pad":"{}"}}"#, "x".repeat((n * n * 37 % 9000) as usize));
    let entries: Vec<NewEntry> = (2..=60).map(|n| NewEntry::text(text(n))).collect();
    store.append_with(session(1), segment(1), &entries, &AppendOptions::default()).unwrap();
    for after in 0..=61_u64 {
        for limit in [1, 3, 100] {
            let records = store.read_range(session(1), segment(1), Seq(after), limit).unwrap();
            let seqs: Vec<u64> = records.iter().map(|record| record.position.seq.0).collect();
            let expected: Vec<u64> = (after + 1..=60).take(limit).collect();
            assert_eq!(seqs, expected);
            assert!(records.iter().filter(|r| r.position.seq.0 > 1).all(|r| r.text == text(r.position.seq.0)));
        }
    }
    for count in 0..=61_usize {
        let records = store.read_tail(session(1), segment(1), count).unwrap();
        let seqs: Vec<u64> = records.iter().map(|record| record.position.seq.0).collect();
        assert_eq!(seqs, (60 - count.min(60) as u64 + 1..=60).collect::<Vec<_>>());
    }
}

#[test]
fn a_key_is_known_to_a_handle_that_healed_the_log() {
    let (folder, _) = filled();
    let store = open_without_syncs(&folder);
    let keyed = [note(7).with_key("seven")];
    let first = store.append_with(session(1), segment(1), &keyed, &AppendOptions::default()).unwrap();
    let log = fs::read(folder.log(1)).unwrap();
    // The newline of the last line is all that is missing.
    fs::write(folder.log(1), &log[..log.len() - 1]).unwrap();
    let other = open_without_syncs(&folder);
    append(&other, 1, &[8]).unwrap();
    let again = store.append_with(session(1), segment(1), &keyed, &AppendOptions::default()).unwrap();
    assert_eq!(again, first);
    assert_eq!(texts(&store, 1).unwrap(), note_texts(&[1, 2, 3, 4, 7, 8]));
}

#[test]
fn facts_survive_a_torn_line() {
    let (folder, _) = filled();
    let store = open_without_syncs(&folder);
    let fact = |n: u64| Fact { ts: NOW, domain: "title".into(), value: n.into() };
    let path = folder.root().join(session(1).to_string()).join("facts.jsonl");
    for scope in [FactScope::Store, FactScope::Session(session(1))] {
        store.put_fact(scope, &fact(1)).unwrap();
        store.put_fact(scope, &fact(2)).unwrap();
    }
    for path in [path, folder.root().join("facts.jsonl")] {
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    }
    for scope in [FactScope::Store, FactScope::Session(session(1))] {
        assert_eq!(store.facts(scope).unwrap(), [fact(1)]);
        store.put_fact(scope, &fact(3)).unwrap();
        assert_eq!(store.facts(scope).unwrap(), [fact(1), fact(3)]);
    }
    assert_eq!(names(&folder.root().join("quarantine")).len(), 1);
}

#[test]
fn damaged_changes_cost_a_full_answer_and_nothing_else() {
    let (folder, _) = filled();
    let cursor = open_without_syncs(&folder).changes(None).unwrap().cursor;
    let path = folder.root().join("changes.jsonl");
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let store = open_without_syncs(&folder);
    append(&store, 1, &[9]).unwrap();
    let changes = store.changes(Some(&cursor)).unwrap();
    assert_eq!(changes.segments, [(session(1), segment(1))]);
}

#[test]
fn a_damaged_look_up_entry_does_not_hide_its_segment() {
    let (folder, _) = filled();
    let id = segment(1).to_string();
    let path = folder.root().join("by-segment").join(&id[id.len() - 2..]).join(&id);
    fs::write(&path, b"0\0\0").unwrap();
    let store = open_without_syncs(&folder);
    assert_eq!(store.lookup_session_of(segment(1)).unwrap(), Some(session(1)));
}
