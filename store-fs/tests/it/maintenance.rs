//! Rollbacks, repairs, checkpoints and collections that are stopped at every call: afterwards the store is the old one or the new one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store_core::integrity::{
    EventKind, Finding, FindingKind, Integrity as _, MaintenanceOptions, NewCheckpoint, Outcome, VerifyOptions, verify,
};
use store_core::{AppendOptions, CreateOptions, NewEntry, Result, Seq, Store as _};
use store_fs::disk::{Disk as _, OpenMode};
use store_fs::simulate::{Fault, Loss, SimDisk};
use store_fs::{FsOptions, FsStore, OpenAs};

use crate::support::{NOW, note, note_text, options, segment, session, start};

const ROOT: &str = "/home/store";

fn open_as(disk: &SimDisk, open_as: OpenAs, part_bytes: u64) -> Result<FsStore> {
    let options = FsOptions { max_part_bytes: part_bytes, ..options() };
    FsStore::open_on(Arc::new(disk.start_process()), Path::new(ROOT), open_as, &options)
}

fn open(disk: &SimDisk, part_bytes: u64) -> FsStore {
    open_as(disk, OpenAs::Shared, part_bytes).unwrap()
}

fn append(store: &FsStore, notes: &[u64]) -> Result<()> {
    let entries: Vec<NewEntry> = notes.iter().map(|n| note(*n).with_key(format!("key {n}"))).collect();
    store.append_with(session(1), segment(1), &entries, &AppendOptions::default()).map(|_| ())
}

fn checkpoint(store: &FsStore) -> Result<u64> {
    let new = NewCheckpoint { reason: "a test".to_owned(), name: None, now: NOW };
    store.checkpoint(session(1), segment(1), &new).map(|made| made.number)
}

fn maintenance() -> MaintenanceOptions {
    MaintenanceOptions { now: NOW, ..MaintenanceOptions::default() }
}

/// What the contract shows of a segment: its entries' texts, and its checkpoints.
type State = (Vec<String>, Vec<(u64, bool)>);

fn state(store: &FsStore) -> Result<State> {
    let records = store.read_range(session(1), segment(1), Seq::START, usize::MAX)?;
    let listed = store.checkpoints(session(1), segment(1))?;
    let listed = listed.into_iter().map(|one| (one.checkpoint.number, one.void)).collect();
    Ok((records.into_iter().map(|record| record.text).collect(), listed))
}

fn log_files(disk: &SimDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(ROOT).join(session(1).to_string());
    let is_log = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_str().unwrap();
        path.parent() == Some(&folder)
            && name.ends_with(".jsonl")
            && !name.contains("checkpoints")
            && name != "facts.jsonl"
    };
    disk.tree().into_iter().filter(|(path, _)| is_log(path)).filter_map(|(path, bytes)| Some((path, bytes?))).collect()
}

/// Six calls with a checkpoint after each second one, on stable storage.
fn conversation(part_bytes: u64) -> SimDisk {
    let disk = SimDisk::new();
    let store = open(&disk, part_bytes);
    store.create_segment(session(1), segment(1), &[start(session(1), None)], &CreateOptions::default()).unwrap();
    for n in 0..6 {
        append(&store, &[10 * n + 1, 10 * n + 2]).unwrap();
        if n % 2 == 1 {
            checkpoint(&store).unwrap();
        }
    }
    drop(store);
    disk.crash(Loss::Nothing, 0)
}

/// Everything that is asked of what a crash left. `was` and `is` are the states before and after the maintenance.
fn judge(disk: &SimDisk, part_bytes: u64, (was, is): (&State, &State), lines: &BTreeSet<Vec<u8>>, what: &str) -> bool {
    // Who may not write sees the same as who makes it so.
    let read =
        state(&open_as(disk, OpenAs::ReadOnly, part_bytes).unwrap()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let store = open(disk, part_bytes);
    append(&store, &[77]).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut now = state(&store).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(now.0.pop(), Some(note_text(77)), "{what}");
    assert!(now == *was || now == *is, "{what}: neither the old nor the new, {} entries, {:?}", now.0.len(), now.1);
    assert_eq!(read, now, "{what}: what was read before is not what there is");
    let report = verify(&store, &VerifyOptions::default(), &|_| std::ops::ControlFlow::Continue(())).unwrap();
    // What a power loss left of an event or a checkpoint that nobody was promised is told until somebody takes note of it.
    let is_left = |finding: &Finding| matches!(finding.kind, FindingKind::Hole | FindingKind::TornTail);
    assert!(report.damage.iter().all(is_left), "{what}: {:?}", report.damage);
    let done = store.events().unwrap().into_iter().filter(|event| {
        matches!(event.what, EventKind::RolledBack { .. } | EventKind::Repaired { .. }) && event.outcome == Outcome::Ok
    });
    assert!(done.count() == 0 || now == *is, "{what}: it is recorded and did not happen");
    drop(store);
    let all: Vec<u8> = disk.tree().into_values().flatten().flatten().collect();
    for line in lines {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        assert!(memchr::memmem::find(&all, text).is_some(), "{what}: lost {}", String::from_utf8_lossy(text));
    }
    now == *is
}

/// What a crash in a call loses: nothing, and each other kind in its turn.
fn losses(call: u64) -> [(u64, Loss); 2] {
    let others = [Loss::Everything, Loss::Torn, Loss::Sectors, Loss::Ordered];
    [(0, Loss::Nothing), (call, others[usize::try_from(call % 4).unwrap()])]
}

/// Stops `work` at every call, by a death and by an error, and judges what each kind of power loss leaves of it.
fn stop_everywhere(before: &SimDisk, part_bytes: u64, work: impl Fn(&FsStore) -> Result<()>) {
    let was = state(&open(&before.crash(Loss::Nothing, 0), part_bytes)).unwrap_or_default();
    let ended = before.crash(Loss::Nothing, 0);
    work(&open(&ended, part_bytes)).unwrap();
    let is = state(&open(&ended, part_bytes)).unwrap();
    let lines: BTreeSet<Vec<u8>> = log_files(before)
        .into_iter()
        .flat_map(|(_, bytes)| bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>())
        .collect();
    let (mut old, mut new) = (0, 0);
    for fault in [Fault::Death, Fault::Refused] {
        for call in 1.. {
            let disk = before.crash(Loss::Nothing, 0);
            disk.plan(call, vec![(call, fault)]);
            let worked = open_as(&disk, OpenAs::Shared, part_bytes).and_then(|store| work(&store));
            let was_met = disk.faulted() > 0;
            for (seed, loss) in losses(call) {
                let what = format!("{fault:?} in call {call}, then {loss:?} lost");
                let is_new = judge(&disk.crash(loss, seed), part_bytes, (&was, &is), &lines, &what);
                assert!(is_new || worked.is_err(), "{what}: it was acknowledged and is gone");
                *(if is_new { &mut new } else { &mut old }) += 1;
            }
            if !was_met {
                break;
            }
        }
    }
    assert!(old > 5 && new > 5 || was == is, "{old} times the old, {new} times the new");
}

#[test]
fn a_rollback_that_is_stopped_anywhere_leaves_the_old_segment_or_the_new_one() {
    for (part_bytes, number) in [(u64::MAX, 2), (500, 3), (500, 1)] {
        let before = conversation(part_bytes);
        assert_eq!(log_files(&before).len() > 1, part_bytes < 1000);
        stop_everywhere(&before, part_bytes, |store| {
            store.rollback(session(1), segment(1), number, &maintenance()).map(|_| ())
        });
    }
}

#[test]
fn a_checkpoint_that_is_stopped_anywhere_is_made_or_not() {
    let before = conversation(500);
    stop_everywhere(&before, 500, |store| checkpoint(store).map(|_| ()));
}

/// Flips a bit in the text of one line of a part.
fn damage(disk: &SimDisk, part: usize, line: usize) {
    let (path, mut bytes) = log_files(disk)[part].clone();
    let ends: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b'\n').collect();
    bytes[ends[line] - 25] ^= 1;
    let file = disk.start_process().open(&path, OpenMode::Read).unwrap();
    file.set_writable(true).unwrap();
    let file = disk.start_process().open(&path, OpenMode::Append).unwrap();
    file.truncate(0).unwrap();
    let mut done = 0;
    while done < bytes.len() {
        done += file.append(&bytes[done..]).unwrap();
    }
    file.sync_file().unwrap();
}

#[test]
fn a_repair_that_is_stopped_anywhere_leaves_the_damaged_segment_or_the_whole_one() {
    for (part_bytes, part, line) in [(u64::MAX, 0, 4), (500, 1, 1)] {
        let before = conversation(part_bytes);
        damage(&before, part, line);
        let before = before.crash(Loss::Nothing, 0);
        let ended = before.crash(Loss::Nothing, 0);
        open(&ended, part_bytes).repair(session(1), segment(1), &maintenance()).unwrap();
        let whole = state(&open(&ended, part_bytes)).unwrap();
        for fault in [Fault::Death, Fault::Refused] {
            for call in 1.. {
                let disk = before.crash(Loss::Nothing, 0);
                disk.plan(call, vec![(call, fault)]);
                let repair = |store: FsStore| store.repair(session(1), segment(1), &maintenance());
                let worked = open_as(&disk, OpenAs::Shared, part_bytes).and_then(repair);
                let was_met = disk.faulted() > 0;
                for (seed, loss) in losses(call) {
                    let what = format!("{fault:?} in call {call}, then {loss:?} lost");
                    let disk = disk.crash(loss, seed);
                    let store = open(&disk, part_bytes);
                    // The damage is still where it was, or it is repaired; a second repair always comes to the same.
                    if let Ok(now) = state(&store) {
                        assert_eq!(now, whole, "{what}");
                    } else {
                        assert!(worked.is_err(), "{what}: it was acknowledged and is gone");
                        store.repair(session(1), segment(1), &maintenance()).unwrap();
                    }
                    judge(&disk, part_bytes, (&whole, &whole), &BTreeSet::new(), &what);
                }
                if !was_met {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_collection_that_is_stopped_anywhere_removes_nothing_that_is_referred_to() {
    let before = SimDisk::new();
    let store = open(&before, u64::MAX);
    store.create_segment(session(1), segment(1), &[start(session(1), None)], &CreateOptions::default()).unwrap();
    let kept = store.put_blob(b"kept").unwrap();
    let text = serde_json::to_string(kept.reference()).unwrap();
    let entry = NewEntry::text(format!(r#"{{"kind":"note","ts":1,"blob":{text}}}"#));
    store.append_with(session(1), segment(1), &[entry], &AppendOptions::default()).unwrap();
    let kept = kept.reference().clone();
    for n in 0..5 {
        store.put_blob(format!("unused {n}").as_bytes()).unwrap();
    }
    drop(store);
    for fault in [Fault::Death, Fault::Refused] {
        for call in 1.. {
            let disk = before.crash(Loss::Nothing, 0);
            disk.plan(call, vec![(call, fault)]);
            let _ = open_as(&disk, OpenAs::Shared, u64::MAX).and_then(|store| store.collect(false));
            let was_met = disk.faulted() > 0;
            for loss in Loss::ALL {
                let store = open(&disk.crash(loss, call), u64::MAX);
                assert_eq!(store.get_blob(&kept).unwrap(), b"kept", "{fault:?} in call {call}, then {loss:?} lost");
                store.collect(false).unwrap();
                assert_eq!(store.collect(true).unwrap().blobs.removed, 0, "a second one leaves nothing");
                assert_eq!(store.get_blob(&kept).unwrap(), b"kept");
            }
            if !was_met {
                break;
            }
        }
    }
}
