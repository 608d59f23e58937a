//! How much was tried, and what was met on the way.

use std::collections::BTreeMap;
use std::fmt;

use super::disk::{CallKind, Fault};
use super::image::Loss;

/// Counts of what a simulation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Scripts that were run, each run counted.
    pub scripts: u64,
    /// Crashes that were tried and recovered from.
    pub crashes: u64,
    /// Of these, crashes in the middle of a recovery.
    pub in_recoveries: u64,
    /// Processes that died in a call while others went on.
    pub deaths: u64,
    /// Crashes by what was lost.
    pub losses: BTreeMap<Loss, u64>,
    /// Crashes by the call that they fell into.
    pub calls: BTreeMap<CallKind, u64>,
    /// Faults of the disk that happened.
    pub faults: BTreeMap<Fault, u64>,
    /// Logs from which a recovery took something out, a hole or a torn tail.
    pub taken_out: u64,
    /// Places in the changes that were asked from after a crash.
    pub cursors: u64,
    /// Acknowledged transactions of ledgers that were found after a crash.
    pub transactions: u64,
    /// Holes that a power loss left behind the end of a segment.
    pub holes: u64,
}

impl Tally {
    pub(super) fn crash(&mut self, loss: Loss, kind: Option<CallKind>) {
        self.crashes += 1;
        *self.losses.entry(loss).or_default() += 1;
        if let Some(kind) = kind {
            *self.calls.entry(kind).or_default() += 1;
        }
    }

    /// Adds what another simulation did.
    pub fn add(&mut self, other: &Self) {
        self.scripts += other.scripts;
        self.crashes += other.crashes;
        self.in_recoveries += other.in_recoveries;
        self.deaths += other.deaths;
        self.taken_out += other.taken_out;
        self.cursors += other.cursors;
        self.holes += other.holes;
        self.transactions += other.transactions;
        add_all(&mut self.losses, &other.losses);
        add_all(&mut self.calls, &other.calls);
        add_all(&mut self.faults, &other.faults);
    }
}

fn add_all<K: Ord + Copy>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (kind, count) in from {
        *to.entry(*kind).or_default() += count;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} crashes tried, {} of them in a recovery", self.crashes, self.in_recoveries)?;
        writeln!(f, "{} runs of scripts, {} deaths of a process beside a living one", self.scripts, self.deaths)?;
        for (loss, count) in &self.losses {
            writeln!(f, "  lost {:<12} {count}", format!("{loss:?}"))?;
        }
        for (kind, count) in &self.calls {
            writeln!(f, "  in   {:<12} {count}", format!("{kind:?}"))?;
        }
        for (fault, count) in &self.faults {
            writeln!(f, "  met  {:<12} {count}", format!("{fault:?}"))?;
        }
        writeln!(
            f,
            "{} torn tails and holes taken out and kept, {} of them holes of segments",
            self.taken_out, self.holes
        )?;
        writeln!(f, "{} places in the changes asked from", self.cursors)?;
        write!(f, "{} acknowledged transactions of ledgers found again", self.transactions)
    }
}
