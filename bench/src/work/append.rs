//! Appending without waiting for stable storage.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use store_core::codec::{LineFields, LogContext, encode_line};
use store_core::{Durability, NewEntry, Seq};

use crate::contest::{Contest, Outcome, Setting};
use crate::engines::ENGINES;
use crate::ours::{KINDS, append};
use crate::{Result, entries};

/// Appends `count` entries in calls of `per_call`.
///
/// The first way is bare `write` calls of lines that were made before; for calls of many entries the second one also serialises.
///
/// # Errors
/// Those of the ways.
pub fn contest(setting: &Setting, (count, per_call): (u64, usize)) -> Result<Outcome> {
    let new_entries = entries::entries(1, count);
    let typed: Vec<_> = (1..=count).map(entries::entry).collect();
    let texts = entries::texts(1, count)?;
    let calls: Vec<Vec<u8>> =
        texts.chunks(per_call).zip((0..).step_by(per_call)).map(|(call, at)| lines(at, call)).collect();
    let mut contest = Contest::new(format!("append, buffered, {per_call} a call, {count} entries"), count)
        .with("bare `write` of ready lines", |place| write_calls(place, &calls))
        .with("bare `write` and serialising", |place| {
            let mut file = OpenOptions::new().create_new(true).append(true).open(place.join("log"))?;
            let begun = Instant::now();
            for call in typed.chunks(per_call) {
                let mut buffer = Vec::new();
                for entry in call {
                    serde_json::to_writer(&mut buffer, entry)?;
                    buffer.push(b'\n');
                }
                file.write_all(&buffer)?;
            }
            Ok(begun.elapsed())
        });
    for kind in KINDS {
        let new_entries: &[NewEntry] = &new_entries;
        contest = contest.with(kind.name(), move |place| {
            let (store, session, segment) = kind.open_with_segment(place)?;
            append(&*store, (session, segment), new_entries, (per_call, Durability::Buffered))
        });
    }
    for engine in ENGINES.into_iter().filter(|engine| engine.buffers) {
        let texts: &[String] = &texts;
        contest = contest.with(engine.name, move |place| {
            let log = (engine.open)(place)?;
            let begun = Instant::now();
            for (call, first) in texts.chunks(per_call).zip((2..).step_by(per_call)) {
                log.append((0, first), call, Durability::Buffered)?;
            }
            Ok(begun.elapsed())
        });
    }
    contest.run(setting)
}

fn write_calls(place: &Path, calls: &[Vec<u8>]) -> Result<Duration> {
    let mut file = OpenOptions::new().create_new(true).append(true).open(place.join("log"))?;
    let begun = Instant::now();
    for call in calls {
        file.write_all(call)?;
    }
    Ok(begun.elapsed())
}

/// The lines that a log holds for these entries, the first of which is entry `at` of the work.
fn lines(at: u64, texts: &[String]) -> Vec<u8> {
    let (_, segment) = entries::ids(0);
    let context = LogContext::segment(segment);
    let mut buffer = Vec::new();
    for (text, seq) in texts.iter().zip(at + 2..) {
        let more = texts.len() as u64 - 1 - (seq - at - 2);
        encode_line(&mut buffer, &context, &LineFields { seq: Seq(seq), more, key: None, synced: None }, text);
    }
    buffer
}
