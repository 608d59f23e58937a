//! What must be true of a ledger after a crash, whatever the crash left.
//!
//! Every transaction that was acknowledged is there once, where its receipt says; what is there was asked for; a batch is whole or not there; the ledger verifies; every key answers
//! with its first receipt, also when the keys and snapshots beside the log are gone or spoilt; and what recovery took out of the log is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store_core::Seq;
use store_core::ledger::{
    Event, EventBody, Ledger, LedgerError, LedgerFindingKind, LedgerReport, Receipt, verify_ledger,
};

use super::machine::{Beside, Harm, Told, harm_beside, maintenance, open};
use super::script::{book, draft, key_of, may_be_refused, prepare};
use crate::layout::{BookKey, Layout};
use crate::simulate::disk::{SimDisk, Snapshot};
use crate::simulate::lies::Lie;
use crate::simulate::machine::STORE;
use crate::simulate::random::Random;
use crate::simulate::tree::Tree;

type Check<T = ()> = Result<T, String>;

/// The numbers of scripts are below this, and the oracle's own from there on.
const OWN: u64 = 1_000;

/// Where each number that is there stands.
type Stands = BTreeMap<u64, Receipt>;

/// What a recovery did, to be crashed in turn.
pub(super) struct Recovered {
    pub(super) snapshots: Vec<Snapshot>,
    /// How many acknowledged transactions were found.
    pub(super) found: u64,
    pub(super) has_taken_out: bool,
}

/// Checks everything about what a crash left, and goes on with it. `before` is what stood on the disk at earlier crashes.
pub(super) fn examine(told: &Told, disk: &SimDisk, lie: Option<Lie>, seed: u64, before: &[Tree]) -> Check<Recovered> {
    disk.keep_snapshots();
    let mut trees = before.to_vec();
    trees.push(disk.tree());
    // The recovery makes the planted mistake too; what is left of it is judged by a ledger that makes none.
    let ledger = open(&disk.start_process(), lie).map_err(|error| format!("opening: {error}"))?;
    let mut told = told.clone();
    let was_rotten = told.rotten.is_some();
    repair(&mut told, &ledger, disk)?;
    let told = &told;
    let snapshots = disk.take_snapshots();
    let after = disk.tree();
    check_aside(told, &after)?;
    let mut has_taken_out = false;
    // Of a log that is repaired more is cut off than a crash left of it, and that is looked for as it was.
    for tree in trees.iter().filter(|_| !was_rotten) {
        has_taken_out |= check_kept(tree, &after)?;
    }
    ledger.shutdown().map_err(|error| format!("shutting down: {error}"))?;
    drop(ledger);
    let stands = check_ledger(told, disk)?;
    check_beside(&stands, disk, seed)?;
    go_on(&stands, disk)?;
    Ok(Recovered { snapshots, found: told.acknowledged.len() as u64, has_taken_out })
}

/// A damaged log is the one that was damaged, or the repaired one; and then it is repaired.
fn repair(told: &mut Told, ledger: &dyn Ledger, disk: &SimDisk) -> Check {
    let Some(rotten) = &told.rotten else { return Ok(()) };
    if let Err(LedgerError::Damaged { .. }) = ledger.read_events(&book(), Seq(1), usize::MAX) {
        let tree = disk.tree();
        // Something may have been written behind it since.
        let differs = |(path, bytes): &&(PathBuf, Arc<[u8]>)| {
            !tree.get(path).and_then(Option::as_deref).is_some_and(|stands| stands.starts_with(bytes))
        };
        if let Some((path, _)) = rotten.parts.iter().find(differs) {
            return Err(format!("the log is neither the old one nor the repaired one: {}", path.display()));
        }
        let done = ledger.repair(Some(&book()), &maintenance()).map_err(|error| format!("repairing: {error}"))?;
        let kept = done.books.first().map(|one| one.kept + 1);
        if kept != Some(rotten.seq.0) {
            return Err(format!("event {} was damaged, and the repair says {done:?}", rotten.seq));
        }
    }
    told.repaired();
    Ok(())
}

/// What repairs set aside is there, whole.
fn check_aside(told: &Told, after: &Tree) -> Check {
    let first = Layout::new(Path::new(STORE)).book_log_name(BookKey::new(&book()));
    let kept: Vec<&[u8]> = after
        .iter()
        .filter(|(path, _)| path.starts_with(&first.quarantine))
        .filter_map(|(_, bytes)| bytes.as_deref())
        .collect();
    match told.aside.iter().find(|bytes| !kept.iter().any(|kept| kept.starts_with(bytes))) {
        Some(bytes) => Err(format!("{} bytes of a repaired log were not set aside", bytes.len())),
        None => Ok(()),
    }
}

fn check_ledger(told: &Told, disk: &SimDisk) -> Check<Stands> {
    let ledger = open(&disk.start_process(), None).map_err(|error| format!("opening again: {error}"))?;
    let events = events_of(&ledger)?;
    let stands = standing(told, &events)?;
    for (n, receipt) in &told.acknowledged {
        if stands.get(n) != Some(receipt) {
            let found = stands.get(n);
            return Err(format!("transaction {n}: {receipt:?} was acknowledged and not there, but {found:?}"));
        }
    }
    let is_there = |n: &&u64| stands.contains_key(n);
    let sure: BTreeSet<u64> = told.begun.iter().copied().filter(|n| !may_be_refused(*n)).collect();
    let there = sure.iter().filter(is_there).count();
    if told.is_batch && there != 0 && there != sure.len() {
        return Err(format!("half a batch: {there} of {} are there", sure.len()));
    }
    if told.is_prepared && events.iter().filter(|event| matches!(event.body, EventBody::AccountOpened(_))).count() != 5
    {
        return Err("the accounts were acknowledged and not there".to_owned());
    }
    check_report(&verify_ledger(&ledger).map_err(|error| format!("verifying: {error}"))?, told.is_harmed)?;
    check_keys(&ledger, &stands)?;
    Ok(stands)
}

fn events_of(ledger: &dyn Ledger) -> Check<Vec<Event>> {
    ledger.read_events(&book(), Seq(1), usize::MAX).map_err(|error| format!("reading: {error}"))
}

/// Which numbers are there, each once and as it was asked for.
fn standing(told: &Told, events: &[Event]) -> Check<Stands> {
    let mut stands = Stands::new();
    for event in events {
        let EventBody::Transaction(found) = &event.body else { continue };
        let number = found.key.rsplit_once(' ').and_then(|(_, n)| n.parse().ok());
        let possible = |n: &u64| told.possible.contains(n) || told.begun.contains(n);
        let Some(n) = number.filter(possible).filter(|n| *found == draft(*n)) else {
            return Err(format!("nobody asked for {:?} at {}", found.key, event.seq));
        };
        if stands.insert(n, Receipt { id: found.id, seq: event.seq, at: event.at }).is_some() {
            return Err(format!("transaction {n} stands there twice"));
        }
    }
    Ok(stands)
}

/// Nothing is wrong with the ledger, but what was done to what stands beside its logs.
fn check_report(report: &LedgerReport, is_harmed: bool) -> Check {
    let excused = |kind| is_harmed && kind == LedgerFindingKind::Projection;
    match report.damage.iter().find(|finding| !excused(finding.kind)) {
        Some(finding) => Err(format!("damaged: {finding:?}")),
        None => Ok(()),
    }
}

/// Every key answers with its first receipt, and nothing is written for it.
fn check_keys(ledger: &dyn Ledger, stands: &Stands) -> Check {
    let before = events_of(ledger)?.len();
    for (n, receipt) in stands {
        let again = ledger.commit(&book(), &draft(*n)).map_err(|error| format!("repeating {}: {error}", key_of(*n)))?;
        if again != *receipt {
            return Err(format!("transaction {n} stands at {receipt:?} and is answered with {again:?}"));
        }
        let found = ledger.transaction(draft(*n).id).map_err(|error| error.to_string())?;
        if found.is_none_or(|found| found.seq != receipt.seq) {
            return Err(format!("transaction {n} is not found by its id"));
        }
    }
    let after = events_of(ledger)?.len();
    if after == before { Ok(()) } else { Err(format!("repetitions wrote {} events", after - before)) }
}

/// The same when what stands beside the log is gone or spoilt.
fn check_beside(stands: &Stands, disk: &SimDisk, seed: u64) -> Check {
    let mut random = Random::of(seed, 22);
    let (beside, harm) = (random.pick(&[Beside::Keys, Beside::Snapshots]), random.pick(&[Harm::Gone, Harm::Spoilt]));
    harm_beside(disk, beside, harm);
    let at = |error| format!("{beside:?} {harm:?}: {error}");
    let ledger = open(&disk.start_process(), None).map_err(|error| at(format!("opening: {error}")))?;
    check_keys(&ledger, stands).map_err(at)?;
    check_report(&verify_ledger(&ledger).map_err(|error| at(error.to_string()))?, true).map_err(at)
}

/// The ledger is gone on with as if nothing had been.
fn go_on(stands: &Stands, disk: &SimDisk) -> Check {
    let told = |error| format!("going on: {error}");
    let ledger = open(&disk.start_process(), None).map_err(|error| told(error.to_string()))?;
    prepare(&ledger).map_err(|error| told(error.to_string()))?;
    let before = events_of(&ledger)?.len() as u64;
    // Of these numbers none can be refused.
    let drafts: Vec<_> = (0..3).map(|n| draft(OWN + 4 * n + 1)).collect();
    let answers = ledger.commit_batch(&book(), &drafts).map_err(|error| told(error.to_string()))?;
    for (answer, seq) in answers.into_iter().zip(before + 1..) {
        let receipt = answer.map_err(|error| told(error.to_string()))?;
        if receipt.seq != Seq(seq) {
            return Err(told(format!("event {seq} was committed as {}", receipt.seq)));
        }
    }
    ledger.snapshot_now(&book()).map_err(|error| told(error.to_string()))?;
    ledger.shutdown().map_err(|error| told(error.to_string()))?;
    let ledger = open(&disk.start_process(), None).map_err(|error| told(error.to_string()))?;
    check_keys(&ledger, stands).map_err(told)
}

/// What a recovery cut off the log is kept in quarantine; whether it cut anything.
fn check_kept(before: &Tree, after: &Tree) -> Check<bool> {
    let mut has_taken_out = false;
    for book in [book(), store_core::ledger::BookName::system()] {
        let first = Layout::new(Path::new(STORE)).book_log_name(BookKey::new(&book));
        for (path, stood) in (1..)
            .map(|part| first.of_part(part).path)
            .map_while(|path| Some((before.get(&path)?, path)))
            .map(|(stood, path)| (path, stood))
        {
            let (stood, stands) = (stood.as_deref().unwrap_or_default(), after.get(&path).and_then(Option::as_deref));
            let stands = stands.unwrap_or_default();
            // A log that was written anew, or whose last line was healed, goes on otherwise.
            if !stood.starts_with(stands) || stood.len() == stands.len() {
                continue;
            }
            let cut = &stood[stands.len()..];
            has_taken_out = true;
            let kept = after
                .iter()
                .filter(|(path, _)| path.starts_with(&first.quarantine))
                .any(|(_, bytes)| bytes.as_deref().is_some_and(|bytes| memchr::memmem::find(bytes, cut).is_some()));
            if !kept {
                return Err(format!("{} bytes of {} were taken out and not kept", cut.len(), path.display()));
            }
        }
    }
    Ok(has_taken_out)
}
