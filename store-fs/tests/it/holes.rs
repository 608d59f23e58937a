//! What a power loss leaves of what was not synced: stretches of zeros, told from damage by what the lines vouch for.

use std::fs;

use store_core::{Seq, Store as _, StoreError};
use store_fs::{EventKind, Hole};

use crate::faults::{Plan, done_since, open, open_without_syncs};
use crate::support::{Folder, append, append_synced, create, names, note_text, note_texts, segment, session, texts};

/// A store whose segment 1 has a start, notes 1 and 2 of which a line says that they are synced, and notes 3 to 8 of
/// which none does; and where each line starts.
fn filled() -> (Folder, Vec<u8>, Vec<usize>) {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    create(&store, 1);
    append(&store, 1, &[1]).unwrap();
    append_synced(&store, 1, &[2]).unwrap();
    for n in 3..=6 {
        append(&store, 1, &[n]).unwrap();
    }
    append(&store, 1, &[7, 8]).unwrap();
    let log = fs::read(folder.log(1)).unwrap();
    let ends = log.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let starts = std::iter::once(0).chain(ends).collect();
    (folder, log, starts)
}

#[test]
fn readers_stop_before_a_hole_and_the_next_writer_takes_it_out() {
    let (folder, whole, starts) = filled();
    for lost in 3..=8_usize {
        let mut log = whole.clone();
        log[starts[lost] + 5..starts[lost] + 30].fill(0);
        fs::write(folder.log(1), &log).unwrap();
        // Notes 7 and 8 are one call.
        let kept = if lost == 8 { 6 } else { lost - 1 };
        let offset = starts[kept + 1];
        let kept = kept as u64;
        let before = note_texts(&(1..=kept).collect::<Vec<_>>());
        let reader = folder.open_read_only();
        assert_eq!(texts(&reader, 1).unwrap(), before);
        assert_eq!(reader.read_entry_count(session(1), segment(1)).unwrap(), kept + 1);
        assert_eq!(reader.read_tail(session(1), segment(1), 1).unwrap()[0].text, note_text(kept));
        let hole = Hole { after: Seq(kept + 1), part: 1, offset: offset as u64, bytes: (whole.len() - offset) as u64 };
        assert_eq!(reader.hole(session(1), segment(1)).unwrap(), Some(hole));
        assert_eq!(fs::read(folder.log(1)).unwrap(), log, "a reader changed the log");

        let store = open_without_syncs(&folder);
        let events = store.events().unwrap().len();
        assert_eq!(append(&store, 1, &[9]).unwrap()[0].seq, Seq(kept + 2));
        assert_eq!(texts(&store, 1).unwrap(), [before, note_texts(&[9])].concat());
        assert_eq!(store.hole(session(1), segment(1)).unwrap(), None);
        let events = store.events().unwrap().split_off(events);
        assert_eq!(events.len(), 1);
        let EventKind::HoleTakenOut { log: of, segment: id, after, offset: at, bytes, kept: copy } = &events[0].what
        else {
            panic!("{events:?}")
        };
        assert_eq!(of, &format!("{}/{}.jsonl", session(1), segment(1)));
        assert_eq!((*id, *after, *at, *bytes), (Some(segment(1)), hole.after, hole.offset, hole.bytes));
        assert_eq!(fs::read(folder.root().join(copy)).unwrap(), log[offset..]);
    }
}

#[test]
fn zeros_where_a_line_vouches_for_the_log_are_damage() {
    let (folder, whole, starts) = filled();
    for damaged in 0..=2_usize {
        let mut log = whole.clone();
        log[starts[damaged] + 5..starts[damaged] + 30].fill(0);
        fs::write(folder.log(1), &log).unwrap();
        let store = open_without_syncs(&folder);
        let refused = texts(&store, 1).and_then(|_| store.read_all(session(1), segment(1))).unwrap_err();
        let StoreError::Corrupt(damage) = refused else { panic!("{refused}") };
        assert_eq!((damage.offset, damage.seq), (starts[damaged] as u64, Some(Seq(damaged as u64 + 1))));
        // The end is where it was.
        assert_eq!(store.read_entry_count(session(1), segment(1)).unwrap(), 9);
        assert_eq!(append(&store, 1, &[9]).unwrap()[0].seq, Seq(10));
        assert!(store.events().unwrap().is_empty());
        assert!(names(&folder.quarantine(1)).is_empty());
    }
}

/// The line that vouches for the zeros stands behind them.
#[test]
fn a_mark_behind_the_zeros_counts() {
    let (folder, whole, starts) = filled();
    fs::write(folder.log(1), &whole).unwrap();
    let store = open_without_syncs(&folder);
    append_synced(&store, 1, &[9]).unwrap();
    append(&store, 1, &[10]).unwrap();
    let mut log = fs::read(folder.log(1)).unwrap();
    drop(store);
    log[starts[5] + 5..starts[5] + 30].fill(0);
    fs::write(folder.log(1), &log).unwrap();
    let refused = texts(&folder.open_read_only(), 1).unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
}

#[test]
fn a_file_that_grew_without_its_bytes_ends_in_a_hole() {
    let (folder, whole, _) = filled();
    for grown in [1, 2, 3, 7, 8, 500, 5000, 200_000] {
        let log = [&whole[..], &vec![0; grown]].concat();
        fs::write(folder.log(1), &log).unwrap();
        let store = open_without_syncs(&folder);
        assert_eq!(texts(&store, 1).unwrap().len(), 8, "{grown}");
        assert_eq!(store.hole(session(1), segment(1)).unwrap().map(|hole| hole.bytes), Some(grown as u64));
        append(&store, 1, &[9]).unwrap();
        assert_eq!(texts(&store, 1).unwrap().len(), 9, "{grown}");
    }
}

/// A sector's rest stays zero when the next sectors reach the medium and it does not.
#[test]
fn a_few_zeros_at_the_start_of_a_line_are_a_hole_and_elsewhere_they_are_not() {
    let (folder, whole, starts) = filled();
    for (at, length, is_hole) in [(0, 1, true), (0, 3, true), (10, 1, false), (10, 7, false), (10, 8, true)] {
        let mut log = whole.clone();
        log[starts[4] + at..starts[4] + at + length].fill(0);
        fs::write(folder.log(1), &log).unwrap();
        let read = texts(&folder.open_read_only(), 1);
        match read {
            Ok(texts) => assert!(is_hole && texts.len() == 3, "{at}, {length}"),
            Err(StoreError::Corrupt(_)) => assert!(!is_hole, "{at}, {length}"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A medium that ran full within a line's closing bytes took the call; whoever added them lost the power before they were synced. Once the
/// whole line was taken for lost.
#[test]
fn a_line_that_has_zeros_for_its_closing_bytes_stays_and_is_closed() {
    let (folder, whole, starts) = filled();
    // With the rest of the log behind the zeros, and without.
    for (missing, end) in
        [(1, whole.len()), (2, whole.len()), (3, whole.len()), (1, starts[5]), (2, starts[5]), (3, starts[5])]
    {
        let mut log = whole[..end].to_vec();
        log[starts[5] - missing..starts[5]].fill(0);
        fs::write(folder.log(1), &log).unwrap();
        let kept = note_texts(&[1, 2, 3, 4]);
        assert_eq!(texts(&folder.open_read_only(), 1).unwrap(), kept, "{missing}");
        let store = open_without_syncs(&folder);
        let hole = store.hole(session(1), segment(1)).unwrap().unwrap();
        assert_eq!((hole.after, hole.offset), (Seq(5), (starts[5] - missing) as u64));
        append(&store, 1, &[9]).unwrap();
        assert_eq!(texts(&store, 1).unwrap(), [kept, note_texts(&[9])].concat(), "{missing}");
        assert_eq!(fs::read(folder.log(1)).unwrap()[..starts[5]], whole[..starts[5]]);
    }
}

#[test]
fn a_hole_in_a_long_log_is_found_from_its_end() {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    create(&store, 1);
    let notes: Vec<u64> = (1..=20_000).collect();
    append_synced(&store, 1, &notes).unwrap();
    for n in 20_001..=20_500 {
        append(&store, 1, &[n]).unwrap();
    }
    let whole = fs::read(folder.log(1)).unwrap();
    let line_behind = |at: usize| at + whole[at..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for (at, is_hole) in [(whole.len() - 5_000, true), (whole.len() - 30_000, true), (whole.len() / 2, false)] {
        let start = line_behind(at);
        let mut log = whole.clone();
        log[start + 2..start + 20].fill(0);
        fs::write(folder.log(1), &log).unwrap();
        let reader = folder.open_read_only();
        let count = reader.read_entry_count(session(1), segment(1)).unwrap();
        assert_eq!(count < 20_501, is_hole, "{at}");
        assert_eq!(texts(&reader, 1).is_ok(), is_hole, "{at}");
    }
}

#[test]
fn what_power_loss_left_is_on_stable_storage_elsewhere_and_recorded_before_it_is_cut_off() {
    let (folder, whole, starts) = filled();
    let mut log = whole;
    log[starts[6]..].fill(0);
    fs::write(folder.log(1), &log).unwrap();
    let plan = Plan::faultless();
    let store = open(&folder, &plan);
    done_since(&plan, &folder);
    append_synced(&store, 1, &[9]).unwrap();
    let done = done_since(&plan, &folder);
    let copy = format!("session-1/quarantine/segment-1.jsonl.{}.1", starts[6]);
    let from = done.iter().position(|call| *call == format!("append {copy}")).unwrap();
    assert_eq!(
        done[from..],
        [
            format!("append {copy}"),
            format!("sync {copy}"),
            "sync session-1/quarantine".to_owned(),
            "sync the root".to_owned(),
            "append migrations.jsonl".to_owned(),
            "sync migrations.jsonl".to_owned(),
            "truncate session-1/segment-1.jsonl".to_owned(),
            "sync session-1/segment-1.jsonl".to_owned(),
            "append session-1/segment-1.jsonl".to_owned(),
            "sync session-1/segment-1.jsonl".to_owned(),
        ]
    );
}
