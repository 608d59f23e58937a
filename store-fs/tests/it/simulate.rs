//! The power is lost at every call of fixed scripts and under random ones; and every mistake that is planted is found.
//!
//! A failure names the command that does the same again.

use std::path::Path;
use std::sync::Arc;

use store_core::{AppendOptions, CreateOptions, Durability, Fact, FactScope, Result, Store as _};
use store_fs::simulate::{Failure, Fault, Lie, Loss, Script, SimDisk, Simulation, Tally};
use store_fs::{FsStore, OpenAs};

use crate::support::{NOW, note, options, segment, session, start};

fn done(result: std::result::Result<Tally, Failure>) -> Tally {
    result.unwrap_or_else(|failure| panic!("{failure}"))
}

#[test]
fn a_power_loss_in_any_call_of_a_script_breaks_no_promise() {
    let simulation = Simulation { crashes_per_call: 5, ..Simulation::default() };
    let mut tally = Tally::default();
    for script in Script::fixed() {
        tally.add(&done(simulation.crash_everywhere(&script)));
    }
    assert!(tally.crashes > 2_000, "{tally}");
    assert!(tally.taken_out > 100, "{tally}");
}

#[test]
fn a_process_that_dies_in_any_call_harms_no_other_and_no_promise() {
    let simulation = Simulation { crashes_per_call: 1, ..Simulation::default() };
    let scripts = Script::fixed();
    let script = scripts.iter().find(|script| script.name == "dead writers").unwrap();
    let tally = done(simulation.fail_everywhere(script, Fault::Death));
    assert!(tally.deaths > 100, "{tally}");
}

#[test]
fn random_scripts_with_faults_break_no_promise() {
    let simulation = Simulation { crashes_per_script: 4, ..Simulation::default() };
    let mut tally = Tally::default();
    for seed in 0..200 {
        tally.add(&done(simulation.random(seed)));
    }
    assert!(tally.crashes > 1_500 && tally.faults.len() >= 4, "{tally}");
}

#[test]
fn a_seed_does_the_same_again() {
    let simulation = Simulation::default();
    assert_eq!(simulation.random(7), simulation.random(7));
}

/// What the simulator says of a store with a mistake in it.
fn complaint(lie: Lie) -> Option<String> {
    let simulation = Simulation::lying(lie);
    let fixed = Script::fixed().iter().find_map(|script| simulation.crash_everywhere(script).err());
    fixed.or_else(|| (0..300).find_map(|seed| simulation.random(seed).err())).map(|failure| failure.what)
}

macro_rules! planted {
    ($($name:ident: $lie:ident => $said:literal;)*) => {
        $(
            #[test]
            fn $name() {
                let said = complaint(Lie::$lie).expect("the mistake is found");
                assert!(said.contains($said), "{said}");
            }
        )*

        #[test]
        fn every_mistake_is_planted() {
            assert_eq!(Lie::ALL.to_vec(), [$(Lie::$lie),*]);
        }
    };
}

planted! {
    no_sync_of_folders_is_found: FoldersUnsynced => "is not a store";
    an_acknowledgement_before_the_sync_is_found: LogsUnsynced => "acknowledged and not there";
    an_acknowledged_fact_that_is_not_synced_is_found: FactsUnsynced => "acknowledged and not there";
    no_quarantine_before_a_write_is_found: NoQuarantine => "taken out and not kept";
    a_quarantine_that_is_not_synced_is_found: QuarantineUnsynced => "taken out and not kept";
    a_rename_before_the_sync_is_found: RenamedUnsynced => "store.json";
    more_that_is_ignored_is_found: MoreIgnored => "half a call";
    an_announcement_after_the_append_is_found: AnnouncedLate => "is not named";
    an_announcement_that_is_not_synced_is_found: AnnouncedUnsynced => "is not named";
    a_stale_descriptor_is_found: StaleDescriptor => "acknowledged and not there";
}

fn open(disk: &SimDisk) -> Result<FsStore> {
    FsStore::open_on(Arc::new(disk.start_process()), Path::new("/home/store"), OpenAs::Shared, &options())
}

fn create(store: &FsStore, n: u64) -> Result<()> {
    store.create_segment(session(n), segment(n), &[start(session(n), None)], &CreateOptions::default()).map(|_| ())
}

fn append(store: &FsStore, n: u64, durability: Durability) -> Result<()> {
    let call = AppendOptions { durability: Some(durability), ..AppendOptions::default() };
    store.append_with(session(n), segment(n), &[note(n)], &call).map(|_| ())
}

fn put_fact(store: &FsStore, scope: FactScope) -> Result<()> {
    store.put_fact(scope, &Fact { ts: NOW, domain: "title".into(), value: 1.into() })
}

fn make_everything(store: &FsStore, blob: &[u8]) -> Result<()> {
    create(store, 1)?;
    put_fact(store, FactScope::Session(session(1)))?;
    put_fact(store, FactScope::Store)?;
    store.put_blob(blob).map(|_| ())
}

/// A name made by a process that died before it synced the folder was never synced by those who went on with it, and
/// what they acknowledged as synced was lost with the name: the store's folder, a session, a side log, a folder of blobs.
#[test]
fn what_is_acknowledged_behind_a_name_of_a_dead_process_survives_a_power_loss() {
    for call in 1.. {
        let disk = SimDisk::new();
        disk.plan(call, vec![(call, Fault::Death)]);
        let first = open(&disk).and_then(|store| make_everything(&store, b"blob"));
        let store = open(&disk).unwrap();
        if store.exists(session(1)).unwrap() {
            append(&store, 1, Durability::Synced).unwrap();
        } else {
            create(&store, 1).unwrap();
        }
        let count = store.read_entry_count(session(1), segment(1)).unwrap();
        put_fact(&store, FactScope::Session(session(1))).unwrap();
        put_fact(&store, FactScope::Store).unwrap();
        let blob = store.put_blob(b"blob").unwrap();
        let after = open(&disk.crash(Loss::Everything, 0)).unwrap();
        assert_eq!(after.lookup_session_of(segment(1)).unwrap(), Some(session(1)), "death in call {call}");
        assert_eq!(after.read_entry_count(session(1), segment(1)).unwrap(), count, "death in call {call}");
        assert!(!after.facts(FactScope::Session(session(1))).unwrap().is_empty(), "death in call {call}");
        assert!(!after.facts(FactScope::Store).unwrap().is_empty(), "death in call {call}");
        assert_eq!(after.get_blob(blob.reference()).unwrap(), b"blob", "death in call {call}");
        if first.is_ok() {
            break;
        }
    }
}

/// A process died between the rename that deletes a session and its sync; the next one removed what led to the session's
/// segments, and the power loss brought the session back without it.
#[test]
fn a_deletion_that_comes_back_has_all_that_led_to_it() {
    let before = SimDisk::new();
    make_everything(&open(&before).unwrap(), b"blob").unwrap();
    for call in 1.. {
        let disk = before.crash(Loss::Nothing, 0);
        disk.plan(call, vec![(call, Fault::Death)]);
        let deleted = open(&disk).and_then(|store| store.delete_session(session(1)));
        drop(open(&disk).unwrap());
        for seed in 0..20 {
            let after = open(&disk.crash(Loss::Torn, seed)).unwrap();
            let listed = after.list_sessions().unwrap().first().copied();
            assert_eq!(after.lookup_session_of(segment(1)).unwrap(), listed, "death in call {call}");
        }
        if deleted.is_ok() {
            break;
        }
    }
}

/// A closed handle's list stood behind every cursor while its buffered entries were not on stable storage: when they were
/// lost, nobody who had seen them was told.
#[test]
fn entries_that_a_power_loss_takes_back_are_named_to_who_has_seen_them() {
    let disk = SimDisk::new();
    let store = open(&disk).unwrap();
    create(&store, 1).unwrap();
    append(&store, 1, Durability::Buffered).unwrap();
    drop(store);
    let watcher = open(&disk).unwrap();
    let cursor = watcher.changes(None).unwrap().cursor;
    let seen = watcher.read_entry_count(session(1), segment(1)).unwrap();
    let after = open(&disk.crash(Loss::Everything, 0)).unwrap();
    let is_named = after.changes(Some(&cursor)).unwrap().segments.contains(&(session(1), segment(1)));
    assert!(is_named || after.read_entry_count(session(1), segment(1)).unwrap() == seen);
}
