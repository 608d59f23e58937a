//! Running scripts, stopping them, and judging what is left.

use std::fmt;

use super::disk::{Fault, SimDisk, Snapshot};
use super::image::Loss;
use super::lies::Lie;
use super::machine::{Machine, Setting};
use super::older;
use super::oracle::{Recovery, examine, look};
use super::random::Random;
use super::record::{Kept, Record};
use super::script::{Beginning, Script};
use super::tally::Tally;

/// How often a store is used again after a crash, each time by another script.
const LIVES_MAX: u64 = 3;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// The mistake that the disk hides, to see whether it is found.
    pub lie: Option<Lie>,
    /// How many crashes are tried at each call of a script that is stopped everywhere.
    pub crashes_per_call: u64,
    /// How many crashes are tried for each random script.
    pub crashes_per_script: u64,
    /// How many bytes a part of a log may have, if not as many as it may by default.
    pub max_part_bytes: Option<u64>,
    /// Whether scripts meet syncs that fail and forget what they were to sync.
    pub failed_syncs: bool,
}

impl Default for Simulation {
    fn default() -> Self {
        Self { lie: None, crashes_per_call: 5, crashes_per_script: 12, max_part_bytes: None, failed_syncs: true }
    }
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Where, and what.
    pub what: String,
    /// The command that does the same again.
    pub again: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nagain: {}", self.what, self.again)
    }
}

/// How many disks are looked at for holes.
const HOLE_SEEDS_MAX: u64 = 1000;

pub(super) const COMMAND: &str = "cargo run --release -p bench --bin simulate --";

/// A script that was run.
struct Ran {
    record: Record,
    number: u64,
    disk: SimDisk,
    snapshots: Vec<Snapshot>,
}

impl Simulation {
    /// A simulation with a mistake in it.
    pub fn lying(lie: Lie) -> Self {
        Self { lie: Some(lie), ..Self::default() }
    }

    /// Runs a script and loses the power at each call that changes the disk or syncs it, in several ways at each.
    ///
    /// # Errors
    /// A promise was broken.
    pub fn crash_everywhere(&self, script: &Script) -> Result<Tally, Failure> {
        self.named(script, || {
            let mut tally = Tally::default();
            let (disk, base) = beginning(script)?;
            let ran = self.run(disk, base, 0, script, &mut tally)?;
            self.crash_each_call(&ran, &mut tally)?;
            Ok(tally)
        })
    }

    const fn setting(&self) -> Setting {
        Setting { lie: self.lie, max_part_bytes: self.max_part_bytes }
    }

    fn parts_argument(&self) -> String {
        self.max_part_bytes.map_or_else(String::new, |bytes| format!(" --max-part-bytes {bytes}"))
    }

    fn crash_each_call(&self, ran: &Ran, tally: &mut Tally) -> Check {
        for snapshot in &ran.snapshots {
            for turn in 0..self.crashes_per_call {
                // Where there are fewer crashes than kinds of loss, the kinds take turns.
                let kinds = Loss::ALL.len() as u64;
                let kind = if self.crashes_per_call < kinds { (snapshot.call + turn) % kinds } else { turn };
                self.crash(ran, snapshot, snapshot.call * 1000 + turn, Some(kind), tally)?;
            }
        }
        self.end(ran, 0, tally)
    }

    /// Goes on where a power loss left holes, on so many disks with different ones, and loses the power again at each call.
    ///
    /// # Errors
    /// A promise was broken.
    pub fn crash_everywhere_with_holes(&self, disks: usize) -> Result<Tally, Failure> {
        let script = Script::onwards();
        self.named(&script, || {
            let mut tally = Tally::default();
            let before = self.run(SimDisk::new(), Record::default(), 0, &Script::unsynced(), &mut tally)?;
            let mut found = 0;
            for seed in 0..HOLE_SEEDS_MAX {
                if found == disks {
                    break;
                }
                // The processes are dead, so the power loss may be at the end.
                let disk = before.disk.crash(Loss::Sectors, seed);
                let seen = look(&disk).map_err(|error| format!("disk {seed}: {error}"))?;
                if seen.holes.is_empty() {
                    continue;
                }
                found += 1;
                let at = |error| format!("disk {seed}: {error}");
                let ran = self.run(disk, seen.to_record(), before.number, &script, &mut tally).map_err(at)?;
                self.crash_each_call(&ran, &mut tally).map_err(at)?;
            }
            if found == disks { Ok(tally) } else { Err(format!("only {found} disks have holes")) }
        })
    }

    /// Runs a script again and again, and each time lets one fault happen in a later call: the others go on.
    ///
    /// # Errors
    /// A promise was broken.
    pub fn fail_everywhere(&self, script: &Script, fault: Fault) -> Result<Tally, Failure> {
        self.named(script, || {
            let mut tally = Tally::default();
            for call in 1.. {
                let (disk, base) = beginning(script)?;
                let first = disk.calls();
                disk.plan(call, vec![(first + call, fault)]);
                let at = |error| format!("{fault:?} in call {call}: {error}");
                let ran = self.run(disk, base, 0, script, &mut tally).map_err(at)?;
                if ran.disk.faulted() == 0 {
                    break;
                }
                self.end(&ran, call, &mut tally).map_err(at)?;
                let mut random = Random::of(call, 4);
                let after = ran.snapshots.partition_point(|snapshot| snapshot.call < first + call);
                let later = &ran.snapshots[after.min(ran.snapshots.len() - 1)..];
                for _ in 0..self.crashes_per_call {
                    // Most of what a fault leads to happens soon after it.
                    let soon = if random.chance(60) { later.len().min(12) } else { later.len() };
                    let snapshot = &later[random.below(soon)];
                    self.crash(&ran, snapshot, random.number(), None, &mut tally).map_err(at)?;
                }
            }
            Ok(tally)
        })
    }

    /// Runs the script that belongs to a seed, with what goes wrong in it, and loses the power now and then.
    ///
    /// # Errors
    /// A promise was broken.
    pub fn random(&self, seed: u64) -> Result<Tally, Failure> {
        let mut tally = Tally::default();
        let done = self.live(SimDisk::new(), Record::default(), seed, (0, 0), &mut tally);
        let syncs = if self.failed_syncs { "" } else { " --no-failed-syncs" };
        let again = format!("{COMMAND} --only segments --seeds 1 --seed {seed}{syncs}{}", self.parts_argument());
        done.map(|()| tally).map_err(|what| Failure { what: format!("seed {seed}: {what}"), again })
    }

    fn live(&self, disk: SimDisk, base: Record, seed: u64, (life, number): (u64, u64), tally: &mut Tally) -> Check {
        let mut random = Random::of(seed, 10 + life);
        let script = Script::random(random.number(), "a random script");
        disk.plan(seed, self.random_faults(&mut random, disk.calls()));
        let ran = self.run(disk, base, number, &script, tally).map_err(|error| format!("life {life}: {error}"))?;
        for _ in 0..self.crashes_per_script {
            if ran.snapshots.is_empty() {
                break;
            }
            let snapshot = &ran.snapshots[random.below(ran.snapshots.len())];
            let crash = random.number();
            let recovery = self.crash(&ran, snapshot, crash, None, tally)?;
            if life + 1 < LIVES_MAX && random.chance(15) {
                let (loss, seed) = (loss_of(crash, None), crash);
                let base = recovery.seen.to_record();
                self.live(snapshot.crash(loss, seed), base, crash, (life + 1, recovery.number), tally)?;
            }
        }
        self.end(&ran, seed, tally)
    }

    pub(super) fn random_faults(&self, random: &mut Random, from: u64) -> Vec<(u64, Fault)> {
        let mut kinds = vec![Fault::Refused, Fault::Full, Fault::Short, Fault::Death];
        if self.failed_syncs {
            kinds.push(Fault::ForgottenSync);
        }
        let count = random.pick(&[0, 0, 1, 1, 2, 4]);
        (0..count).map(|_| (from + 1 + random.below(700) as u64, random.pick(&kinds))).collect()
    }

    fn run(&self, disk: SimDisk, base: Record, number: u64, script: &Script, tally: &mut Tally) -> Check<Ran> {
        tally.scripts += 1;
        disk.keep_snapshots();
        disk.set_mark(base.mark());
        let mut machine = Machine::new(disk.clone(), base, number, self.setting());
        machine.run(&script.steps);
        // The record ends before the handles are closed, which a crash in the middle of closing them sees too.
        machine.close();
        let snapshots = disk.take_snapshots();
        for (fault, count) in disk.met() {
            *tally.faults.entry(fault).or_default() += count;
            tally.deaths += if fault == Fault::Death { count } else { 0 };
        }
        if let Some(complaint) = machine.complaints.first() {
            return Err(format!("without a crash: {complaint}"));
        }
        let number = machine.number();
        Ok(Ran { record: machine.record, number, disk, snapshots })
    }

    /// Judges a script that came to its end.
    fn end(&self, ran: &Ran, seed: u64, tally: &mut Tally) -> Check {
        for loss in Loss::ALL {
            let disk = ran.disk.crash(loss, seed);
            tally.crash(loss, None);
            let mark = (&ran.record, usize::MAX);
            examine(mark, Self::kept(ran, loss), &disk, (ran.number, self.setting()), tally)
                .map_err(|error| format!("{loss:?} lost at the end: {error}"))?;
        }
        Ok(())
    }

    /// Loses the power at a snapshot, and perhaps once more in the middle of the recovery.
    fn crash(
        &self,
        ran: &Ran,
        snapshot: &Snapshot,
        seed: u64,
        turn: Option<u64>,
        tally: &mut Tally,
    ) -> Check<Recovery> {
        let loss = loss_of(seed, turn);
        let disk = snapshot.crash(loss, seed);
        tally.crash(loss, Some(snapshot.kind));
        let at =
            |error| format!("{loss:?} lost in call {} ({:?}), crash {seed}: {error}", snapshot.call, snapshot.kind);
        let recovery =
            examine((&ran.record, snapshot.mark), Self::kept(ran, loss), &disk, (ran.number, self.setting()), tally)
                .map_err(at)?;
        self.crash_recovery(&recovery, seed, tally).map_err(at)?;
        Ok(recovery)
    }

    fn crash_recovery(&self, recovery: &Recovery, seed: u64, tally: &mut Tally) -> Check {
        let mut random = Random::of(seed, 5);
        let count = if recovery.has_taken_out() { 4 } else { usize::from(random.chance(20)) };
        for _ in 0..count.min(recovery.snapshots.len()) {
            let snapshot = &recovery.snapshots[random.below(recovery.snapshots.len())];
            let (loss, seed) = (random.pick(&Loss::ALL), random.number());
            let at = |error| {
                format!(
                    "then {loss:?} lost in call {} of the recovery ({:?}), crash {seed}: {error}",
                    snapshot.call, snapshot.kind
                )
            };
            tally.crash(loss, Some(snapshot.kind));
            tally.in_recoveries += 1;
            recovery.check_interrupted(&snapshot.crash(loss, seed)).map_err(at)?;
            let disk = snapshot.crash(loss, seed);
            let kept = if loss == Loss::Nothing { Kept::Acknowledged } else { Kept::Synced };
            examine((&recovery.record, snapshot.mark), kept, &disk, (recovery.number, self.setting()), tally)
                .map_err(at)?;
        }
        Ok(())
    }

    /// Bytes that a failed sync forgot are seen by every process, and by nobody after a crash that loses nothing else.
    fn kept(ran: &Ran, loss: Loss) -> Kept {
        match loss {
            Loss::Nothing if !ran.disk.met().contains_key(&Fault::ForgottenSync) => Kept::Acknowledged,
            _ => Kept::Synced,
        }
    }

    fn named(&self, script: &Script, work: impl FnOnce() -> Check<Tally>) -> Result<Tally, Failure> {
        let again = format!(
            "{COMMAND} --only segments --seeds 0 --crashes-per-call {}{}",
            self.crashes_per_call,
            self.parts_argument()
        );
        // Those that no list has are begun by what the others left.
        let is_listed = Script::fixed().iter().any(|fixed| fixed.name == script.name);
        let again = if is_listed { format!("{again} --script {:?}", script.name) } else { again };
        work().map_err(|what| Failure { what: format!("{}: {what}", script.name), again })
    }
}

type Check<T = ()> = Result<T, String>;

/// The disk on which a script begins, and what stands there.
fn beginning(script: &Script) -> Check<(SimDisk, Record)> {
    match script.beginning {
        Beginning::Nothing => Ok((SimDisk::new(), Record::default())),
        Beginning::OlderLayouts => {
            let disk = older::disk()?;
            let base = look(&disk)?.to_record();
            Ok((disk, base))
        }
    }
}

pub(super) fn loss_of(seed: u64, turn: Option<u64>) -> Loss {
    match turn.and_then(|turn| usize::try_from(turn).ok()).and_then(|turn| Loss::ALL.get(turn)) {
        Some(loss) => *loss,
        None => Random::of(seed, 6).pick(&[
            Loss::Everything,
            Loss::Nothing,
            Loss::Ordered,
            Loss::Torn,
            Loss::Torn,
            Loss::Sectors,
        ]),
    }
}
