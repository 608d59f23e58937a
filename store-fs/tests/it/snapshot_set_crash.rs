//! A snapshot set whose power is lost in any call, whose process dies in any call, and whose disk fails in any call.
//!
//! What is kept in the set is a counter: each number is appended to a diff and synced, which acknowledges it, and a full
//! snapshot says up to which number it goes. Whatever happens, the state that is restored has every acknowledged number.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use store_core::StoreError;
use store_core::snapshot_set::{
    PublishOptions, ShardWriter, SnapshotDamage, SnapshotError, SnapshotInfo, SnapshotOrdinal, SnapshotResult,
    SnapshotSet as _, SnapshotType, SnapshotsToRestore,
};
use store_fs::FileSnapshotSet;
use store_fs::simulate::{Fault, Loss, Random, SimDisk};

const SHARDS: u32 = 2;

fn open(disk: &SimDisk) -> SnapshotResult<FileSnapshotSet> {
    FileSnapshotSet::open_on(Arc::new(disk.clone()), Path::new("/home/ledger/snapshots"))
}

fn record(number: u64) -> String {
    format!("{number:08};")
}

/// What a shard of a full snapshot holds: more than a sector.
fn state(through: u64, shard: u32) -> String {
    format!("{through:08} {shard} {}", "s".repeat(700))
}

fn read(set: &FileSnapshotSet, info: &SnapshotInfo, shard: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    set.read_shard(info.ordinal, shard).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// Up to which number everything is there. A full snapshot has to be whole to the byte; a diff may end torn.
fn restored(set: &FileSnapshotSet, from: &SnapshotsToRestore) -> u64 {
    let mut through = 0;
    if let Some(full) = &from.full {
        let text = String::from_utf8(read(set, full, 0)).unwrap();
        through = text[..8].parse().unwrap();
        for shard in 0..SHARDS {
            assert_eq!(String::from_utf8(read(set, full, shard)).unwrap(), state(through, shard), "half a snapshot");
        }
    }
    let mut numbers = BTreeSet::new();
    for diff in &from.diffs {
        for shard in 0..diff.shard_count {
            let bytes = read(set, diff, shard);
            let whole = bytes.chunks(9).map_while(|chunk| {
                let number = std::str::from_utf8(chunk).ok()?.strip_suffix(';')?.parse::<u64>().ok()?;
                (chunk.len() == 9).then_some(number)
            });
            numbers.extend(whole);
        }
    }
    while numbers.contains(&(through + 1)) {
        through += 1;
    }
    through
}

/// What was promised.
#[derive(Clone, Copy, Debug, Default)]
struct Acknowledged {
    number: u64,
    full: SnapshotOrdinal,
}

/// Opens what is left, and holds it against what was promised.
fn judge(disk: &SimDisk, promised: Acknowledged) -> FileSnapshotSet {
    let set = open(disk).unwrap();
    assert_eq!(set.damage().unwrap(), [], "a crash is no damage");
    let from = set.get_snapshots_to_restore().unwrap();
    let full = from.full.map_or(SnapshotOrdinal(0), |full| full.ordinal);
    assert!(full >= promised.full, "full snapshot {full} is older than {promised:?}");
    assert!(restored(&set, &from) >= promised.number, "{from:?} does not hold {promised:?}");
    let fulls = set.list_snapshots().unwrap().into_iter().filter(|info| info.kind == SnapshotType::FullCompleted);
    assert!(fulls.count() <= 2, "more full snapshots than two");
    let leftovers = disk.tree().into_keys().filter(|path| path.to_string_lossy().contains("/.new-")).count();
    assert_eq!(leftovers, 0, "leftovers of a dead process");
    set
}

/// As [`judge`], where every diff could be written: the older one of the full snapshots is as good as the newest.
fn judge_both(disk: &SimDisk, promised: Acknowledged) {
    let set = judge(disk, promised);
    let Some(full) = set.get_snapshots_to_restore().unwrap().full else { return };
    // Without any full snapshot there are all diffs, or it is said that there are not.
    for before in [full.ordinal, SnapshotOrdinal(1)] {
        match set.get_snapshots_to_restore_before(before) {
            Err(SnapshotError::Damaged(SnapshotDamage::FullSnapshotLost { .. })) => {}
            from => {
                let from = from.unwrap();
                assert!(restored(&set, &from) >= promised.number, "{from:?} does not hold {promised:?}");
            }
        }
    }
}

/// The owner of a set: the counter, and the diff that it writes.
struct Owner<'a> {
    disk: &'a SimDisk,
    set: FileSnapshotSet,
    number: u64,
    writers: Vec<Box<dyn ShardWriter>>,
    promised: &'a mut Vec<Acknowledged>,
}

impl<'a> Owner<'a> {
    fn start(disk: &'a SimDisk, promised: &'a mut Vec<Acknowledged>) -> SnapshotResult<Self> {
        let set = open(disk)?;
        let number = restored(&set, &set.get_snapshots_to_restore()?);
        let mut owner = Self { disk, set, number, writers: Vec::new(), promised };
        owner.diff(false)?;
        Ok(owner)
    }

    fn promise(&mut self, change: impl FnOnce(&mut Acknowledged)) {
        let mut now = *self.promised.last().unwrap();
        change(&mut now);
        self.promised.push(now);
        self.disk.set_mark(self.promised.len() - 1);
    }

    fn diff(&mut self, may_append_existing: bool) -> SnapshotResult<()> {
        self.writers.clear();
        let diff = self.set.create_or_get_snapshot(SnapshotType::Diff, SHARDS, may_append_existing)?;
        for shard in 0..SHARDS {
            self.writers.push(self.set.write_shard(diff.ordinal, shard)?);
        }
        Ok(())
    }

    fn append(&mut self, count: u64) -> SnapshotResult<()> {
        for _ in 0..count {
            self.number += 1;
            let writer = &mut self.writers[usize::try_from(self.number % u64::from(SHARDS)).unwrap()];
            writer.write_all(record(self.number).as_bytes()).map_err(StoreError::backend)?;
        }
        for writer in &mut self.writers {
            writer.sync()?;
        }
        let number = self.number;
        self.promise(|now| now.number = number);
        Ok(())
    }

    fn full(&mut self, options: PublishOptions) -> SnapshotResult<()> {
        let pending = self.set.create_or_get_snapshot(SnapshotType::Pending, SHARDS, false)?;
        let through = self.number;
        self.diff(true)?;
        self.append(1)?;
        for shard in 0..SHARDS {
            let mut writer = self.set.write_shard(pending.ordinal, shard)?;
            writer.write_all(state(through, shard).as_bytes()).map_err(StoreError::backend)?;
            writer.finish()?;
        }
        self.append(1)?;
        self.set.publish_completed_snapshot(pending.ordinal, options)?;
        self.promise(|now| now.full = pending.ordinal);
        Ok(())
    }

    /// A full snapshot of what is known: what makes a failed sync good.
    fn recover(&mut self) -> SnapshotResult<()> {
        self.writers.clear();
        let pending = self.set.create_or_get_snapshot(SnapshotType::Pending, SHARDS, false)?;
        for shard in 0..SHARDS {
            let mut writer = self.set.write_shard(pending.ordinal, shard)?;
            writer.write_all(state(self.number, shard).as_bytes()).map_err(StoreError::backend)?;
            writer.finish()?;
        }
        self.set.publish_completed_snapshot(pending.ordinal, PublishOptions::default())?;
        let number = self.number;
        self.promise(|now| *now = Acknowledged { number, full: pending.ordinal });
        self.diff(false)
    }

    fn step(&mut self, step: usize) -> SnapshotResult<()> {
        const KEEP: PublishOptions = PublishOptions { purge_obsolete_diff: false, purge_obsolete_pending: false };
        match step {
            0 | 4 => self.append(3),
            1 => self.full(KEEP),
            2 | 6 => self.full(PublishOptions::PURGE_ALL),
            3 => {
                let unwanted = self.set.create_or_get_snapshot(SnapshotType::Pending, 1, false)?;
                drop(self.set.write_shard(unwanted.ordinal, 0)?);
                self.set.discard_pending_snapshot(unwanted.ordinal)?;
                self.diff(true)
            }
            5 => {
                // Left behind, for the purge.
                self.set.create_or_get_snapshot(SnapshotType::Pending, 1, false)?;
                self.diff(true)
            }
            _ => self.full(PublishOptions::PURGE_ALL),
        }
    }
}

const STEPS: usize = 8;

fn script(disk: &SimDisk, promised: &mut Vec<Acknowledged>) -> SnapshotResult<()> {
    let mut owner = Owner::start(disk, promised)?;
    (0..STEPS).try_for_each(|step| owner.step(step))
}

#[test]
fn a_power_loss_in_any_call_loses_no_snapshot_and_shows_no_half_one() {
    let disk = SimDisk::new();
    disk.keep_snapshots();
    let mut promised = vec![Acknowledged::default()];
    script(&disk, &mut promised).unwrap();
    let moments = disk.take_snapshots();
    assert!(moments.len() > 150, "{} calls", moments.len());
    let mut crashes = 0;
    for moment in &moments {
        for seed in 0..10 {
            let loss = Loss::ALL[usize::try_from(seed).unwrap() % Loss::ALL.len()];
            judge_both(&moment.crash(loss, moment.call * 100 + seed), promised[moment.mark]);
            crashes += 1;
        }
    }
    assert!(crashes > 1_500, "{crashes} crashes");
}

/// What one crash left is built on, and then the power is lost again.
#[test]
fn a_set_that_lost_power_is_gone_on_with_and_loses_power_again() {
    let disk = SimDisk::new();
    disk.keep_snapshots();
    let mut promised = vec![Acknowledged::default()];
    script(&disk, &mut promised).unwrap();
    for moment in disk.take_snapshots().iter().step_by(7) {
        let loss = Loss::ALL[usize::try_from(moment.call).unwrap() % Loss::ALL.len()];
        let second = moment.crash(loss, moment.call);
        second.keep_snapshots();
        let mut promised = vec![promised[moment.mark]];
        script(&second, &mut promised).unwrap();
        for (turn, moment) in second.take_snapshots().iter().enumerate().step_by(11) {
            judge_both(&moment.crash(Loss::ALL[turn % Loss::ALL.len()], moment.call), promised[moment.mark]);
        }
    }
}

/// The process dies; the next one goes on with what it sees, and only then the power is lost.
#[test]
fn what_a_dead_owner_left_is_made_to_last_by_the_next() {
    for call in 1.. {
        let disk = SimDisk::new();
        disk.plan(call, vec![(call, Fault::Death)]);
        let mut promised = vec![Acknowledged::default()];
        let first = script(&disk, &mut promised);
        let next = disk.start_process();
        let shown = judge(&next, *promised.last().unwrap()).list_snapshots().unwrap();
        let lasting = open(&next.crash(Loss::Everything, 0)).unwrap().list_snapshots().unwrap();
        assert_eq!(shown, lasting, "what was shown is lost, death in call {call}");
        let mut owner = Owner::start(&next, &mut promised).unwrap();
        owner.append(1).unwrap();
        drop(owner);
        for (seed, loss) in (0..).zip(Loss::ALL) {
            judge_both(&next.crash(loss, seed), *promised.last().unwrap());
        }
        if first.is_ok() {
            assert!(call > 100, "{call} calls");
            break;
        }
    }
}

#[test]
fn a_call_of_the_disk_that_fails_costs_nothing_that_was_acknowledged() {
    for fault in [Fault::Refused, Fault::Full, Fault::Short, Fault::ForgottenSync] {
        // A fault that needs a call of its kind waits for it.
        for call in (1..).step_by(if fault == Fault::Refused { 1 } else { 5 }) {
            let disk = SimDisk::new();
            disk.plan(call, vec![(call, fault)]);
            let mut promised = vec![Acknowledged::default()];
            let mut random = Random::of(call, 9);
            // A set that could not be opened promised nothing.
            let Ok(mut owner) = Owner::start(&disk, &mut promised) else { continue };
            for step in 0..STEPS {
                if owner.step(step).is_err() {
                    owner.recover().unwrap();
                }
            }
            let faulted = disk.faulted();
            drop(owner);
            for loss in [Loss::Everything, Loss::Nothing, Loss::Sectors] {
                drop(judge(&disk.crash(loss, random.number()), *promised.last().unwrap()));
            }
            if faulted == 0 {
                break;
            }
        }
    }
}

#[test]
fn a_diff_whose_creation_failed_and_that_is_given_all_the_same_lasts() {
    let mut given = 0;
    for call in 1.. {
        let disk = SimDisk::new();
        let set = open(&disk).unwrap();
        let call = disk.calls() + call;
        disk.plan(call, vec![(call, Fault::Refused)]);
        let created = set.create_or_get_snapshot(SnapshotType::Diff, 1, true);
        if disk.faulted() == 0 {
            break;
        }
        let diff = set.create_or_get_snapshot(SnapshotType::Diff, 1, true).unwrap();
        given += usize::from(created.is_err() && diff.ordinal == SnapshotOrdinal(1));
        let mut writer = set.write_shard(diff.ordinal, 0).unwrap();
        writer.write_all(b"kept").unwrap();
        writer.finish().unwrap();
        let after = open(&disk.crash(Loss::Everything, 0)).unwrap();
        assert_eq!(read(&after, &diff, 0), b"kept", "call {call}");
    }
    assert!(given > 0, "no creation failed after its rename");
}

#[test]
fn a_shard_whose_sync_failed_is_neither_published_nor_appended_to() {
    let disk = SimDisk::new();
    let set = open(&disk).unwrap();
    let diff = set.create_or_get_snapshot(SnapshotType::Diff, 1, false).unwrap();
    let mut writer = set.write_shard(diff.ordinal, 0).unwrap();
    writer.write_all(b"lost").unwrap();
    disk.plan(1, vec![(1, Fault::ForgottenSync)]);
    assert!(matches!(writer.sync().unwrap_err(), SnapshotError::Store(StoreError::Io { op: "sync", .. })));
    assert!(matches!(writer.sync().unwrap_err(), SnapshotError::ShardFailed { shard: 0, .. }));
    drop(writer);
    assert!(matches!(set.write_shard(diff.ordinal, 0).unwrap_err(), SnapshotError::ShardFailed { shard: 0, .. }));
    let next = set.create_or_get_snapshot(SnapshotType::Diff, 1, true).unwrap();
    assert!(next.ordinal > diff.ordinal);

    let pending = set.create_or_get_snapshot(SnapshotType::Pending, 1, false).unwrap();
    let mut writer = set.write_shard(pending.ordinal, 0).unwrap();
    writer.write_all(b"lost").unwrap();
    disk.plan(1, vec![(1, Fault::ForgottenSync)]);
    assert!(writer.finish().is_err());
    let refused = set.publish_completed_snapshot(pending.ordinal, PublishOptions::default()).unwrap_err();
    assert!(matches!(refused, SnapshotError::Unfinished { shards, .. } if shards == [0]));
}
