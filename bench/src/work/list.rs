//! Lists of conversations: in a process that has the index open, and as a whole command.

use std::time::Instant;

use session_store::index::{Index, ListQuery};
use store_core::{Backend, CreateOptions, Durability};

use crate::command::Pod;
use crate::contest::{Contest, Outcome, Setting};
use crate::ours::{KINDS, Kind, durable};
use crate::{Result, entries};

/// How many rows are asked for.
const ROWS: usize = 50;
/// How many entries each conversation has.
const ENTRIES: u64 = 50;
/// How many logs have changed where some have.
const CHANGED: u64 = 100;

/// Lists 50 of so many conversations of 50 entries each.
///
/// # Errors
/// Those of the stores and of the program.
pub fn contest(setting: &Setting, sessions: u64, pod: &Pod) -> Result<Vec<Outcome>> {
    let place = tempfile::Builder::new().prefix("list-").tempdir_in(&setting.folder)?;
    let mut stores = Vec::new();
    let mut warm = Contest::new(format!("list {ROWS} of {sessions} sessions, open store and index"), 1);
    let mut whole = Contest::new(format!("list {ROWS} of {sessions} sessions, whole command"), 1);
    let mut changed = Contest::new(format!("the same, {CHANGED} logs changed since"), 1);
    for kind in KINDS {
        let own = place.path().join(kind.name().trim_matches('*'));
        std::fs::create_dir(&own)?;
        // Whoever wrote them is gone: what a living handle has touched is looked at with every refresh.
        drop(prepare(kind, &own, sessions)?);
        let store = kind.open(&own)?;
        let index = Index::open(&*store)?;
        index.refresh(&*store)?;
        stores.push((kind, own, store, index));
    }
    for (kind, own, store, index) in &stores {
        let query = ListQuery { limit: Some(ROWS), ..ListQuery::default() };
        warm = warm.with(kind.name(), move |_| {
            let begun = Instant::now();
            index.refresh(&**store)?;
            let page = index.list(&query)?;
            let took = begun.elapsed();
            if page.rows.len() == ROWS { Ok(took) } else { Err(format!("{} rows", page.rows.len()).into()) }
        });
        whole = whole.with(kind.name(), |_| pod.run(*kind, own, &["list", "--limit", "50"]));
        let mut round = 0;
        changed = changed.with(kind.name(), move |_| {
            round += 1;
            let store = kind.open(own)?;
            for n in (0..sessions).step_by(usize::try_from((sessions / CHANGED).max(1))?) {
                let (session, segment) = entries::ids(n);
                store.append_with(
                    session,
                    segment,
                    &entries::entries(ENTRIES + round, 1),
                    &durable(Durability::Buffered),
                )?;
            }
            drop(store);
            pod.run(*kind, own, &["list", "--limit", "50"])
        });
    }
    Ok(vec![warm.run(setting)?, whole.run(setting)?, changed.run(setting)?])
}

/// A store with so many conversations of 50 entries each.
///
/// # Errors
/// Those of the store.
pub fn prepare(kind: Kind, folder: &std::path::Path, sessions: u64) -> Result<Box<dyn Backend>> {
    let store = kind.open(folder)?;
    let options = CreateOptions { durability: Some(Durability::Buffered) };
    for n in 0..sessions {
        let (session, segment) = entries::ids(n);
        let mut new = vec![entries::start(session)];
        new.extend(entries::entries(n % 5, ENTRIES - 1));
        store.create_segment(session, segment, &new, &options)?;
    }
    Ok(store)
}
