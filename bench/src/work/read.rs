//! Reading whole logs and their ends.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use store_core::{AppendOptions, Backend, Durability, LogEntry, SegmentId, SessionId};

use crate::contest::{Contest, Outcome, Setting};
use crate::ours::{KINDS, Kind};
use crate::{Result, entries};

/// How many entries one call writes while a store is made to be read.
const ENTRIES_PER_CALL: usize = 1000;

/// A store with one segment of so many entries in a folder, none of them ever synced.
///
/// # Errors
/// Those of the store.
pub fn prepare(kind: Kind, folder: &Path, count: u64) -> Result<(Box<dyn Backend>, SessionId, SegmentId)> {
    prepare_with(kind, folder, count, Some(Durability::Buffered))
}

/// The same with this durability; `None`: by the store's policy.
///
/// # Errors
/// Those of the store.
pub fn prepare_with(
    kind: Kind,
    folder: &Path,
    count: u64,
    durability: Option<Durability>,
) -> Result<(Box<dyn Backend>, SessionId, SegmentId)> {
    let (store, session, segment) = kind.open_with_segment(folder)?;
    let options = AppendOptions { expected: None, durability };
    for first in (1..count).step_by(ENTRIES_PER_CALL) {
        let entries = entries::entries(first, (count - first).min(ENTRIES_PER_CALL as u64));
        store.append_with(session, segment, &entries, &options)?;
    }
    Ok((store, session, segment))
}

/// Reads all of `count` entries. The first way reads a file of their texts and parses each with serde_json on one thread.
///
/// # Errors
/// Those of the ways.
pub fn all(setting: &Setting, count: u64) -> Result<Outcome> {
    let place = tempfile::Builder::new().prefix("read-").tempdir_in(&setting.folder)?;
    let plain = place.path().join("plain.jsonl");
    std::fs::write(&plain, entries::texts(0, count)?.join("\n"))?;
    let stores: Vec<_> = KINDS
        .iter()
        .map(|kind| {
            let own = place.path().join(kind.name().trim_matches('*'));
            std::fs::create_dir(&own)?;
            Ok((*kind, prepare(*kind, &own, count)?))
        })
        .collect::<Result<_>>()?;
    let lines = |parse: &mut dyn FnMut(&str) -> Result<()>| -> Result<Duration> {
        let begun = Instant::now();
        let text = std::fs::read_to_string(&plain)?;
        text.lines().try_for_each(parse)?;
        Ok(begun.elapsed())
    };
    let mut contest = Contest::new(format!("read_all of {count} entries"), count)
        .with("read and serde_json into `Value`", |_| {
            let mut all = Vec::new();
            lines(&mut |line| {
                all.push(serde_json::from_str::<serde_json::Value>(line)?);
                Ok(())
            })
        })
        .with("read and parse into `LogEntry`", |_| {
            let mut all = Vec::new();
            lines(&mut |line| {
                all.push(LogEntry::from_text(line)?);
                Ok(())
            })
        })
        .with("read and crc32c", |_| {
            lines(&mut |line| {
                black_box(crc32c::crc32c(line.as_bytes()));
                Ok(())
            })
        })
        .with("read and sha2", |_| {
            lines(&mut |line| {
                black_box(Sha256::digest(line.as_bytes()));
                Ok(())
            })
        });
    for (kind, (store, session, segment)) in &stores {
        contest = contest.with(kind.name(), move |_| {
            let begun = Instant::now();
            let records = store.read_all(*session, *segment)?;
            let took = begun.elapsed();
            if records.len() as u64 != count {
                return Err(format!("{} of {count} entries", records.len()).into());
            }
            Ok(took)
        });
    }
    contest.run(setting)
}

/// Reads the last 50 entries, or the count, of segments of each of these lengths, through a handle that has read it before.
///
/// # Errors
/// Those of the stores.
pub fn ends(setting: &Setting, counts: &[u64]) -> Result<Vec<Outcome>> {
    const REPEATS: u64 = 200;
    let place = tempfile::Builder::new().prefix("ends-").tempdir_in(&setting.folder)?;
    let mut stores = Vec::new();
    for (kind, count) in KINDS.iter().flat_map(|kind| counts.iter().map(move |count| (*kind, *count))) {
        let own = place.path().join(format!("{}-{count}", kind.name().trim_matches('*')));
        std::fs::create_dir(&own)?;
        stores.push((kind, count, prepare(kind, &own, count)?));
    }
    let mut tail = Contest::new("read_tail of 50", REPEATS);
    let mut number = Contest::new("read_entry_count", REPEATS);
    for (kind, count, (store, session, segment)) in &stores {
        let name = format!("{} of {count}", kind.name());
        tail = tail.with(name.clone(), move |_| {
            repeat(REPEATS, || {
                black_box(store.read_tail(*session, *segment, 50)?);
                Ok(())
            })
        });
        number = number.with(name, move |_| {
            repeat(REPEATS, || {
                black_box(store.read_entry_count(*session, *segment)?);
                Ok(())
            })
        });
    }
    Ok(vec![tail.run(setting)?, number.run(setting)?])
}

pub(crate) fn repeat(times: u64, mut work: impl FnMut() -> Result<()>) -> Result<Duration> {
    let begun = Instant::now();
    for _ in 0..times {
        work()?;
    }
    Ok(begun.elapsed())
}
