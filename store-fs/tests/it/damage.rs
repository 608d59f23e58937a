//! Every way to spoil a small log, compared with what the format's rules say of the spoilt bytes.
//!
//! [`expected`] is the rules as one pure function over the whole log, written for being read; the store comes to the
//! same by looking at as little as it can.

use std::fs;

use store_core::codec::{LineFields, LogContext, Tail, decode_line, decode_tail, encode_line};
use store_core::{AppendOptions, Seq, Store as _, StoreError};
use store_fs::FsStore;

use crate::faults::open_without_syncs;
use crate::support::{Folder, append, append_synced, create, note, segment, session};

/// What the rules say of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// So many entries are read; what stands behind them, if anything, is taken out by the next writer.
    Entries { count: u64, is_hole: bool },
    /// Readers refuse.
    Damage,
}

/// Whether bytes break into zeros.
fn breaks_into_zeros(line: &[u8], is_last: bool) -> bool {
    line.first() == Some(&0) || (is_last && line.last() == Some(&0)) || line.windows(8).any(|zeros| zeros == [0; 8])
}

/// The outcome that the format's page names for the bytes of segment 1's log.
fn expected(log: &[u8]) -> Outcome {
    let context = LogContext::segment(segment(1));
    let lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
    let valid: Vec<_> = lines
        .iter()
        .filter_map(|line| line.strip_suffix(b"\n").and_then(|line| decode_line(&context, line).ok()))
        .collect();
    let vouched = valid.iter().filter_map(|line| line.synced).max().unwrap_or(Seq(0));
    // The first call was on stable storage before the log appeared.
    let first_call = valid.first().filter(|line| line.seq == Seq(1)).map_or(Seq(0), |line| Seq(1 + line.more));
    let vouched = vouched.max(first_call);

    let (mut seq, mut complete, mut owed) = (0, 0, None);
    let mut is_hole = false;
    for (at, line) in lines.iter().enumerate() {
        let ended = line.strip_suffix(b"\n");
        let is_last = ended.is_none() && at + 1 == lines.len();
        let read = match ended {
            Some(line) => decode_line(&context, line).ok(),
            None => match decode_tail(&context, line) {
                Tail::Complete { line, .. } => Some(line),
                Tail::Torn if !breaks_into_zeros(line, is_last) => break,
                Tail::Torn | Tail::Damaged(_) => None,
            },
        };
        let Some(read) = read else {
            // What stands before zeros may lack nothing but its closing bytes: then it was written.
            let written = line.split(|byte| *byte == 0).next().filter(|written| !written.is_empty());
            if let Some(Tail::Complete { line: read, .. }) = written.map(|written| decode_tail(&context, written))
                && read.seq.0 == seq + 1
                && read.seq >= vouched
                && owed.is_none_or(|owed: u64| owed == 0 || read.more == owed - 1)
            {
                is_hole = true;
                complete = if read.more == 0 { read.seq.0 } else { complete };
                break;
            }
            is_hole = breaks_into_zeros(ended.unwrap_or(line), is_last) && seq + 1 > vouched.0;
            if is_hole {
                break;
            }
            return Outcome::Damage;
        };
        if read.seq.0 != seq + 1 || owed.is_some_and(|owed: u64| owed > 0 && read.more != owed - 1) {
            return Outcome::Damage;
        }
        seq += 1;
        owed = Some(read.more);
        if read.more == 0 {
            complete = seq;
        }
    }
    if complete == 0 { Outcome::Damage } else { Outcome::Entries { count: complete, is_hole } }
}

/// Puts bytes in the place of segment 1's log and holds what readers and the next writer make of them against the rules.
fn check(folder: &Folder, log: &[u8], what: &str) -> Outcome {
    fs::write(folder.log(1), log).unwrap();
    let _ = fs::remove_dir_all(folder.quarantine(1));
    let outcome = expected(log);
    let store = open_without_syncs(folder);
    let read = store.read_all(session(1), segment(1));
    let appended = || store.append_with(session(1), segment(1), &[note(77)], &AppendOptions::default());
    match (outcome, read) {
        (Outcome::Entries { count, is_hole }, Ok(entries)) => {
            assert_eq!(entries.len() as u64, count, "{what}");
            assert_eq!(store.read_entry_count(session(1), segment(1)).unwrap(), count, "{what}");
            assert_eq!(store.hole(session(1), segment(1)).unwrap().is_some(), is_hole, "{what}");
            assert_eq!(fs::read(folder.log(1)).unwrap(), log, "{what}: reading changed the log");
            let _ = fs::remove_file(folder.root().join("migrations.jsonl"));
            assert_eq!(appended().unwrap()[0].seq, Seq(count + 1), "{what}");
            check_after(&store, count + 1, what);
            assert_eq!(store.events().unwrap().len(), usize::from(is_hole), "{what}");
        }
        (Outcome::Damage, Err(StoreError::Corrupt(damage))) => {
            assert_eq!(damage.segment, Some(segment(1)), "{what}");
            match appended() {
                Err(StoreError::Corrupt(_)) => assert_eq!(fs::read(folder.log(1)).unwrap(), log, "{what}"),
                // The end is sound: the damage stays where it is, and is still told.
                Ok(_) => {
                    let now = fs::read(folder.log(1)).unwrap();
                    let common = now.iter().zip(log).take_while(|(a, b)| a == b).count();
                    assert!(common + 200 > log.len(), "{what}: {common} of {} bytes are the same", log.len());
                    let refused = store.read_all(session(1), segment(1)).unwrap_err();
                    assert!(matches!(refused, StoreError::Corrupt(_)), "{what}: {refused}");
                }
                Err(error) => panic!("{what}: {error}"),
            }
        }
        (outcome, read) => panic!("{what}: the rules say {outcome:?}, the store {:?}", read.map(|all| all.len())),
    }
    outcome
}

/// One recovery leaves nothing for a second.
fn check_after(store: &FsStore, count: u64, what: &str) {
    assert_eq!(store.read_all(session(1), segment(1)).unwrap().len() as u64, count, "{what}");
    assert_eq!(store.hole(session(1), segment(1)).unwrap(), None, "{what}");
}

/// A log of a start and two calls, the second of which vouches for the first.
fn three_entries() -> (Folder, Vec<u8>) {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    create(&store, 1);
    append_synced(&store, 1, &[1]).unwrap();
    append(&store, 1, &[2]).unwrap();
    drop(store);
    let log = fs::read(folder.log(1)).unwrap();
    (folder, log)
}

/// A log of several calls and some kilobytes, half of which is vouched for.
fn many_entries() -> (Folder, Vec<u8>) {
    let folder = Folder::new();
    let store = open_without_syncs(&folder);
    create(&store, 1);
    append(&store, 1, &[1]).unwrap();
    append_synced(&store, 1, &(2..12).collect::<Vec<_>>()).unwrap();
    append(&store, 1, &[12, 13, 14]).unwrap();
    for n in 15..24 {
        append(&store, 1, &[n]).unwrap();
    }
    append(&store, 1, &[24, 25, 26]).unwrap();
    drop(store);
    let log = fs::read(folder.log(1)).unwrap();
    (folder, log)
}

fn lines(log: &[u8]) -> Vec<&[u8]> {
    log.split_inclusive(|byte| *byte == b'\n').collect()
}

#[test]
fn a_log_cut_at_any_byte_is_what_the_rules_say() {
    for (folder, log) in [three_entries(), many_entries()] {
        for length in 0..=log.len() {
            check(&folder, &log[..length], &format!("cut to {length}"));
        }
    }
}

#[test]
fn a_log_with_any_bit_flipped_is_what_the_rules_say() {
    let (folder, log) = three_entries();
    for at in 0..log.len() {
        for bit in 0..8 {
            let mut log = log.clone();
            log[at] ^= 1 << bit;
            let outcome = check(&folder, &log, &format!("bit {bit} of byte {at}"));
            let last_newline = at + 1 == log.len();
            assert!(outcome == Outcome::Damage || last_newline, "bit {bit} of byte {at} went unnoticed");
        }
    }
}

#[test]
fn a_log_without_any_of_its_lines_is_what_the_rules_say() {
    for (folder, log) in [three_entries(), many_entries()] {
        let lines = lines(&log);
        for from in 0..lines.len() {
            for to in from + 1..=lines.len() {
                let left = [&lines[..from], &lines[to..]].concat().concat();
                let outcome = check(&folder, &left, &format!("without lines {from}..{to}"));
                assert!(outcome == Outcome::Damage || to == lines.len(), "without lines {from}..{to}");
            }
        }
    }
}

#[test]
fn a_log_with_a_line_twice_or_two_in_each_others_place_is_damaged() {
    for (folder, log) in [three_entries(), many_entries()] {
        let lines = lines(&log);
        for one in 0..lines.len() {
            for other in 0..=lines.len() {
                let mut more = lines.clone();
                more.insert(other, lines[one]);
                let outcome = check(&folder, &more.concat(), &format!("line {one} again before {other}"));
                assert_eq!(outcome, Outcome::Damage, "line {one} again before {other}");
            }
            for other in one + 1..lines.len() {
                let mut swapped = lines.clone();
                swapped.swap(one, other);
                let outcome = check(&folder, &swapped.concat(), &format!("lines {one} and {other} swapped"));
                assert_eq!(outcome, Outcome::Damage, "lines {one} and {other} swapped");
            }
        }
    }
}

#[test]
fn a_log_with_any_block_of_zeros_is_what_the_rules_say() {
    let (mut holes, mut damages) = (0, 0);
    for (folder, log) in [three_entries(), many_entries()] {
        // Every sector, and the same length from any place.
        for from in (0..log.len()).step_by(512).chain((0..log.len()).step_by(7)) {
            let mut log = log.clone();
            let to = log.len().min(from + 512);
            log[from..to].fill(0);
            match check(&folder, &log, &format!("zeros from {from}")) {
                Outcome::Entries { is_hole, .. } => {
                    assert!(is_hole, "zeros from {from} went unnoticed");
                    holes += 1;
                }
                Outcome::Damage => damages += 1,
            }
        }
    }
    assert!(holes > 50 && damages > 50, "{holes} holes, {damages} times damage");
}

#[test]
fn a_line_of_another_log_is_damage_wherever_it_stands() {
    let (folder, log) = three_entries();
    let context = LogContext::segment(segment(2));
    let lines = lines(&log);
    for at in 0..=lines.len() {
        for seq in 1..=lines.len() as u64 + 1 {
            let mut foreign = Vec::new();
            let fields = LineFields { seq: Seq(seq), ..LineFields::default() };
            encode_line(&mut foreign, &context, &fields, r#"{"kind":"note","ts":1,"n":1}"#);
            let mut moved = lines.clone();
            moved.insert(at, &foreign);
            let what = format!("line {seq} of another log before {at}");
            assert_eq!(check(&folder, &moved.concat(), &what), Outcome::Damage, "{what}");
            if let Some(replaced) = moved.get(at + 1).is_some().then(|| at + 1) {
                moved.remove(replaced);
                assert_eq!(check(&folder, &moved.concat(), &what), Outcome::Damage, "{what}, in its place");
            }
        }
    }
}
