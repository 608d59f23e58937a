//! A log of the filesystem backend with anything behind its entries.

use std::fs;
use std::path::Path;

use store_core::codec::{LineFields, LogContext, encode_line};
use store_core::{
    AppendOptions, CreateOptions, Durability, LogEntry, NewEntry, Record, Result, SegmentId, SegmentStart, Seq,
    SessionId, Store as _, StoreError,
};
use store_fs::{DurabilityPolicy, FsOptions, FsStore};

const SESSION: SessionId = SessionId::from_bytes([0x51; 16]);
const SEGMENT: SegmentId = SegmentId::from_bytes([0x52; 16]);
/// How many entries stand before what is put behind them.
const ENTRIES: u64 = 3;

fn open(root: &Path) -> FsStore {
    let options = FsOptions { durability: DurabilityPolicy::Always(Durability::Buffered), ..FsOptions::at(1) };
    FsStore::open(root, &options).expect("a store whose logs are spoilt opens")
}

fn note(n: u64) -> NewEntry {
    NewEntry::text(format!(r#"{{"kind":"note","ts":1,"n":{n}}}"#))
}

/// Makes what stands behind the entries: raw bytes, newlines, zeros, and lines whose checksums are right but whose places need not be.
/// Each piece is told by a byte and a length.
fn tail(mut data: &[u8]) -> Vec<u8> {
    let mut tail = Vec::new();
    let mut next = ENTRIES + 1;
    while let [what, length, rest @ ..] = data {
        let (piece, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        data = rest;
        match what % 8 {
            0..=2 => tail.extend_from_slice(piece),
            3 => tail.push(b'\n'),
            4 => tail.resize(tail.len() + 8 * usize::from(*length), 0),
            _ => {
                let flags = piece.first().copied().unwrap_or(0);
                let seq = if flags & 1 == 0 { next } else { u64::from(flags) };
                next = seq + 1;
                let key = (flags & 2 != 0).then_some("a key");
                let synced = (flags & 4 != 0).then(|| Seq(seq.saturating_sub(u64::from(flags >> 5))));
                let more = if flags & 8 != 0 { u64::from(flags >> 5) } else { 0 };
                let text = match flags & 16 {
                    0 => format!(r#"{{"kind":"note","ts":1,"n":{flags}}}"#),
                    _ => String::from_utf8_lossy(piece).into_owned(),
                };
                encode_line(
                    &mut tail,
                    &LogContext::segment(SEGMENT),
                    &LineFields { seq: Seq(seq), more, key, synced },
                    &text,
                );
                // A line may be cut off by what it is told to end with.
                tail.truncate(tail.len() - usize::from(what / 8 % 4));
            }
        }
    }
    tail
}

fn read(store: &FsStore) -> Result<Vec<Record>> {
    store.read_range(SESSION, SEGMENT, Seq::START, usize::MAX)
}

/// What is valid is never lost, what is refused is never changed, and one recovery leaves nothing for a second.
pub(crate) fn recovery(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("store");
    let log = root.join(SESSION.to_string()).join(format!("{SEGMENT}.jsonl"));
    let store = open(&root);
    let start = NewEntry::typed(LogEntry::SegmentStart(Box::new(SegmentStart::new(SESSION, 1))));
    let options = CreateOptions { durability: Some(Durability::Buffered) };
    store.create_segment(SESSION, SEGMENT, &[start, note(1), note(2)], &options).expect("a segment is created");
    let written = read(&store).expect("what was written is read");
    drop(store);
    let valid = fs::read(&log).expect("the log is there");
    let spoilt = [valid.as_slice(), &tail(data)].concat();
    fs::write(&log, &spoilt).expect("the log is spoilt");

    let store = open(&root);
    let before = read(&store);
    assert_eq!(fs::read(&log).expect("the log is there"), spoilt, "reading changes nothing");
    let appended = store.append_with(SESSION, SEGMENT, &[note(3), note(4)], &AppendOptions::default());
    let bytes = fs::read(&log).expect("the log is there");
    assert!(bytes.starts_with(&valid), "what was valid is lost");
    let seen = match (before, appended) {
        (Ok(before), Ok(positions)) => {
            assert!(before.starts_with(&written), "what was valid is not read");
            assert_eq!(positions[0].seq.0, before.len() as u64 + 1, "an append goes behind what is read");
            let after = read(&store).expect("what was appended to is read");
            assert!(after.starts_with(&before) && after.len() == before.len() + 2, "recovery changes what is read");
            after
        }
        (Err(StoreError::Corrupt(damage)), Err(StoreError::Corrupt(_))) => {
            assert!(damage.offset >= valid.len() as u64, "damage is told where nothing is damaged: {damage}");
            assert_eq!(bytes, spoilt, "a damaged log is left alone");
            match store.read_range(SESSION, SEGMENT, Seq::START, written.len()) {
                Ok(found) => assert_eq!(found, written, "what is valid is read otherwise"),
                // Damage at the very end is in the way of every read.
                Err(StoreError::Corrupt(_)) => {}
                Err(error) => panic!("{error}"),
            }
            return;
        }
        // Whoever appends looks at the end alone. Damage before it is told to whoever reads it, before and after.
        (Err(StoreError::Corrupt(before)), Ok(positions)) => {
            assert!(before.offset >= valid.len() as u64, "damage is told where nothing is damaged: {before}");
            match read(&store) {
                Err(StoreError::Corrupt(after)) => assert_eq!(after, before, "damage moves"),
                other => panic!("damage is gone: {other:?}"),
            }
            let ends: Vec<_> = store.read_tail(SESSION, SEGMENT, 2).expect("what was appended is read");
            assert!(ends.iter().map(|record| record.position).eq(positions), "what was appended is read otherwise");
            return;
        }
        other => panic!("reading and appending disagree: {other:?}"),
    };
    drop(store);
    let again = open(&root);
    assert_eq!(read(&again).expect("what was recovered is read"), seen);
    again
        .append_with(SESSION, SEGMENT, &[note(5)], &AppendOptions::default())
        .expect("what was recovered is appended to");
    let last = fs::read(&log).expect("the log is there");
    assert!(last.starts_with(&bytes), "a second recovery finds something to do");
}
