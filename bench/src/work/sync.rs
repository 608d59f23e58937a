//! Appending with every call on stable storage before it returns, by one thread and by many on one segment.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::time::{Duration, Instant};

use store_core::Durability;

use crate::contest::{Contest, Outcome, Setting};
use crate::engines::ENGINES;
use crate::ours::{KINDS, durable};
use crate::{Result, entries};

/// Appends `per_thread` entries in each of `threads` threads, one a call.
///
/// The first way is one thread that calls `write` and `fdatasync` for as many entries as one thread of the others.
///
/// # Errors
/// Those of the ways.
pub fn contest(setting: &Setting, (threads, per_thread): (u64, u64)) -> Result<Outcome> {
    let count = threads * per_thread;
    let work = format!("append, synced, {threads} threads, {per_thread} entries each");
    let mut contest = Contest::new(work, count).with("`write` and `fdatasync`, one thread, scaled", move |place| {
        let texts = entries::texts(1, per_thread)?;
        let mut file: File = OpenOptions::new().create_new(true).append(true).open(place.join("log"))?;
        let begun = Instant::now();
        for text in &texts {
            file.write_all(text.as_bytes())?;
            file.sync_data()?;
        }
        Ok(begun.elapsed() * u32::try_from(threads)?)
    });
    for kind in KINDS {
        contest = contest.with(kind.name(), move |place| {
            let (store, session, segment) = kind.open_with_segment(place)?;
            let options = durable(Durability::Synced);
            in_threads(threads, |thread| {
                for call in entries::entries(thread * per_thread, per_thread).chunks(1) {
                    store.append_with(session, segment, call, &options)?;
                }
                Ok(())
            })
        });
    }
    for engine in ENGINES {
        contest = contest.with(engine.name, move |place| {
            let log = (engine.open)(place)?;
            in_threads(threads, |thread| {
                for (call, seq) in entries::texts(thread * per_thread, per_thread)?.chunks(1).zip(1..) {
                    log.append((thread, seq), call, Durability::Synced)?;
                }
                Ok(())
            })
        });
    }
    contest.run(setting)
}

fn in_threads(threads: u64, work: impl Fn(u64) -> Result<()> + Sync) -> Result<Duration> {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn({
                    let work = &work;
                    move || work(thread)
                })
            })
            .collect();
        running.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread died")?)
    })?;
    Ok(begun.elapsed())
}
