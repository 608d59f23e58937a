//! Opening: to the first append, and to the first look-up among many sessions.

use std::time::Instant;

use store_core::{Backend, CreateOptions, Durability};

use super::read::{prepare_with, repeat};
use crate::contest::{Contest, Outcome, Setting};
use crate::ours::{KINDS, Kind, durable};
use crate::{Result, entries};

/// Opens a store whose segment has each of these lengths and appends one entry, buffered. Of the filesystem also where nothing was ever synced: what no
/// line says to be on stable storage has to be looked through.
///
/// # Errors
/// Those of the stores.
pub fn to_first_append(setting: &Setting, counts: &[u64]) -> Result<Outcome> {
    let place = tempfile::Builder::new().prefix("open-").tempdir_in(&setting.folder)?;
    let mut contest = Contest::new("open to first append", 1);
    let written =
        [(Kind::Fs, None, ""), (Kind::Fs, Some(Durability::Buffered), ", never synced"), (Kind::Sqlite, None, "")];
    for ((kind, durability, how), count) in
        written.iter().flat_map(|way| counts.iter().map(move |count| (*way, *count)))
    {
        let name = format!("{} of {count}{how}", kind.name());
        let own = place.path().join(contest.variants.len().to_string());
        std::fs::create_dir(&own)?;
        let (store, session, segment) = prepare_with(kind, &own, count, durability)?;
        drop(store);
        let entry = entries::entries(count, 1);
        contest = contest.with(name, move |_| {
            let begun = Instant::now();
            let store = kind.open(&own)?;
            store.append_with(session, segment, &entry, &durable(Durability::Buffered))?;
            Ok(begun.elapsed())
        });
    }
    contest.run(setting)
}

/// Looks up the session of a segment among so many: with a handle that did so before, and with a new one each time.
///
/// # Errors
/// Those of the stores.
pub fn lookup(setting: &Setting, sessions: u64) -> Result<Vec<Outcome>> {
    const REPEATS: u64 = 1000;
    let place = tempfile::Builder::new().prefix("lookup-").tempdir_in(&setting.folder)?;
    let mut stores = Vec::new();
    for kind in KINDS {
        let own = place.path().join(kind.name().trim_matches('*'));
        std::fs::create_dir(&own)?;
        let store = kind.open(&own)?;
        for n in 0..sessions {
            let (session, segment) = entries::ids(n);
            let options = CreateOptions { durability: Some(Durability::Buffered) };
            store.create_segment(session, segment, &[entries::start(session)], &options)?;
        }
        stores.push((kind, own, store));
    }
    // One look-up after another of sessions that lie far apart.
    let look_up = |store: &dyn Backend, n: u64| -> Result<()> {
        let (session, segment) = entries::ids(n * 7919 % sessions);
        (store.lookup_session_of(segment)? == Some(session))
            .then_some(())
            .ok_or_else(|| "a session is not found".into())
    };
    let mut warm = Contest::new(format!("look-up among {sessions} sessions, open store"), REPEATS);
    let mut fresh = Contest::new(format!("open and look-up among {sessions} sessions"), 1);
    for (kind, own, store) in &stores {
        warm = warm.with(kind.name(), move |_| {
            let mut n = 0;
            repeat(REPEATS, || {
                n += 1;
                look_up(&**store, n)
            })
        });
        fresh = fresh.with(kind.name(), move |_| {
            let begun = Instant::now();
            look_up(&*kind.open(own)?, 17)?;
            Ok(begun.elapsed())
        });
    }
    Ok(vec![warm.run(setting)?, fresh.run(setting)?])
}
