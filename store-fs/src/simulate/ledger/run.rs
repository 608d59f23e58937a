//! Running scripts of ledgers, stopping them, and judging what is left.

use super::machine::{LedgerMachine, Told};
use super::oracle::{Recovered, examine};
use super::script::LedgerScript;
use crate::simulate::disk::{Fault, SimDisk, Snapshot};
use crate::simulate::image::Loss;
use crate::simulate::random::Random;
use crate::simulate::run::{COMMAND, Failure, Simulation, loss_of};
use crate::simulate::tally::Tally;

type Check<T = ()> = Result<T, String>;

/// A script that was run.
struct Ran {
    told: Vec<Told>,
    disk: SimDisk,
    snapshots: Vec<Snapshot>,
}

impl Simulation {
    /// As [`crash_everywhere`](Self::crash_everywhere), of a ledger.
    ///
    /// # Errors
    /// A promise was broken.
    pub fn crash_ledger_everywhere(&self, script: &LedgerScript) -> Result<Tally, Failure> {
        self.named_ledger(script, || {
            let mut tally = Tally::default();
            let ran = self.run_ledger(script, Vec::new(), 0, &mut tally)?;
            for snapshot in &ran.snapshots {
                for turn in 0..self.crashes_per_call {
                    let kinds = Loss::ALL.len() as u64;
                    let kind = if self.crashes_per_call < kinds { (snapshot.call + turn) % kinds } else { turn };
                    self.crash_ledger(&ran, snapshot, snapshot.call * 1000 + turn, Some(kind), &mut tally)?;
                }
            }
            self.end_ledger(&ran, 0, &mut tally)?;
            Ok(tally)
        })
    }

    /// As [`fail_everywhere`](Self::fail_everywhere), of a ledger: one fault happens in every `stride`-th call, one at a time.
    ///
    /// # Errors
    /// A promise was broken.
    pub fn fail_ledger_everywhere(&self, script: &LedgerScript, fault: Fault, stride: usize) -> Result<Tally, Failure> {
        self.named_ledger(script, || {
            let mut tally = Tally::default();
            for call in (1..).step_by(stride.max(1)) {
                let at = |error| format!("{fault:?} in call {call}: {error}");
                let ran = self.run_ledger(script, vec![(call, fault)], call, &mut tally).map_err(at)?;
                if ran.disk.faulted() == 0 {
                    break;
                }
                self.end_ledger(&ran, call, &mut tally).map_err(at)?;
                let mut random = Random::of(call, 23);
                let after = ran.snapshots.partition_point(|snapshot| snapshot.call < call);
                let later = &ran.snapshots[after.min(ran.snapshots.len().saturating_sub(1))..];
                for _ in 0..self.crashes_per_call.min(later.len() as u64) {
                    let snapshot = &later[random.below(later.len().min(12))];
                    self.crash_ledger(&ran, snapshot, random.number(), None, &mut tally).map_err(at)?;
                }
            }
            Ok(tally)
        })
    }

    /// As [`random`](Self::random), of a ledger.
    ///
    /// # Errors
    /// A promise was broken.
    pub fn random_ledger(&self, seed: u64) -> Result<Tally, Failure> {
        let mut tally = Tally::default();
        let done = self.live_ledger(seed, &mut tally);
        let syncs = if self.failed_syncs { "" } else { " --no-failed-syncs" };
        let again = format!("{COMMAND} --only ledgers --seeds 1 --seed {seed}{syncs}");
        done.map(|()| tally).map_err(|what| Failure { what: format!("ledger seed {seed}: {what}"), again })
    }

    fn live_ledger(&self, seed: u64, tally: &mut Tally) -> Check {
        let mut random = Random::of(seed, 24);
        let script = LedgerScript::random(random.number());
        let faults = self.random_faults(&mut random, 0);
        let ran = self.run_ledger(&script, faults, seed, tally)?;
        for _ in 0..self.crashes_per_script {
            if ran.snapshots.is_empty() {
                break;
            }
            let snapshot = &ran.snapshots[random.below(ran.snapshots.len())];
            self.crash_ledger(&ran, snapshot, random.number(), None, tally)?;
        }
        self.end_ledger(&ran, seed, tally)
    }

    fn run_ledger(&self, script: &LedgerScript, faults: Vec<(u64, Fault)>, seed: u64, tally: &mut Tally) -> Check<Ran> {
        tally.scripts += 1;
        let disk = SimDisk::new();
        disk.plan(seed, faults);
        disk.keep_snapshots();
        let mut machine = LedgerMachine::new(disk.clone(), self.lie);
        machine.run(&script.steps);
        let complaint = machine.complaints.lock().ok().and_then(|complaints| complaints.first().cloned());
        let told = machine.finish();
        let snapshots = disk.take_snapshots();
        for (fault, count) in disk.met() {
            *tally.faults.entry(fault).or_default() += count;
            tally.deaths += if fault == Fault::Death { count } else { 0 };
        }
        match complaint {
            Some(complaint) => Err(format!("without a crash: {complaint}")),
            None => Ok(Ran { told, disk, snapshots }),
        }
    }

    /// Judges a script that came to its end.
    fn end_ledger(&self, ran: &Ran, seed: u64, tally: &mut Tally) -> Check {
        let told = ran.told.last().cloned().unwrap_or_default();
        for loss in Loss::ALL {
            tally.crash(loss, None);
            let examined = examine(&told, &ran.disk.crash(loss, seed), self.lie, seed, &[]);
            let recovered = examined.map_err(|error| format!("{loss:?} lost at the end: {error}"))?;
            count(&recovered, tally);
        }
        Ok(())
    }

    /// Loses the power at a snapshot, and perhaps once more in the middle of the recovery.
    fn crash_ledger(&self, ran: &Ran, snapshot: &Snapshot, seed: u64, turn: Option<u64>, tally: &mut Tally) -> Check {
        let (loss, told) = (loss_of(seed, turn), &ran.told[snapshot.mark]);
        let disk = snapshot.crash(loss, seed);
        let before = disk.tree();
        tally.crash(loss, Some(snapshot.kind));
        let at =
            |error| format!("{loss:?} lost in call {} ({:?}), crash {seed}: {error}", snapshot.call, snapshot.kind);
        let recovered = examine(told, &disk, self.lie, seed, &[]).map_err(at)?;
        count(&recovered, tally);
        let mut random = Random::of(seed, 25);
        let times = if recovered.has_taken_out { 3 } else { usize::from(random.chance(20)) };
        for _ in 0..times.min(recovered.snapshots.len()) {
            let snapshot = &recovered.snapshots[random.below(recovered.snapshots.len())];
            let (loss, seed) = (random.pick(&Loss::ALL), random.number());
            let again = |error| {
                at(format!(
                    "then {loss:?} lost in call {} of the recovery ({:?}), crash {seed}: {error}",
                    snapshot.call, snapshot.kind
                ))
            };
            tally.crash(loss, Some(snapshot.kind));
            tally.in_recoveries += 1;
            let disk = snapshot.crash(loss, seed);
            examine(told, &disk, self.lie, seed, std::slice::from_ref(&before)).map_err(again)?;
        }
        Ok(())
    }

    fn named_ledger(&self, script: &LedgerScript, work: impl FnOnce() -> Check<Tally>) -> Result<Tally, Failure> {
        let again = format!(
            "{COMMAND} --only ledgers --seeds 0 --crashes-per-call {} --script {:?}",
            self.crashes_per_call, script.name
        );
        work().map_err(|what| Failure { what: format!("{}: {what}", script.name), again })
    }
}

fn count(recovered: &Recovered, tally: &mut Tally) {
    tally.transactions += recovered.found;
    tally.taken_out += u64::from(recovered.has_taken_out);
}
