//! The power is lost at every call of fixed scripts and under random ones; and every mistake that is planted is found.
//!
//! A failure names the command that does the same again.

use store_fs::simulate::{Beginning, Failure, Fault, Lie, Loss, Script, Simulation, Tally};

fn done(result: Result<Tally, Failure>) -> Tally {
    result.unwrap_or_else(|failure| panic!("{failure}"))
}

#[test]
fn a_power_loss_in_any_call_of_a_script_breaks_no_promise() {
    let simulation = Simulation { crashes_per_call: 1, ..Simulation::default() };
    let mut tally = Tally::default();
    for script in Script::fixed() {
        tally.add(&done(simulation.crash_everywhere(&script)));
    }
    assert!(tally.crashes > 800 && tally.losses.len() == Loss::ALL.len(), "{tally}");
    assert!(tally.taken_out > 50, "{tally}");
}

#[test]
fn a_power_loss_in_any_call_after_one_that_left_holes_breaks_no_promise() {
    let simulation = Simulation { crashes_per_call: 2, ..Simulation::default() };
    let tally = done(simulation.crash_everywhere_with_holes(2));
    assert!(tally.crashes > 200 && tally.holes > 50, "{tally}");
}

#[test]
fn any_sync_may_fail_and_forget_and_no_promise_is_broken() {
    let simulation = Simulation { crashes_per_call: 1, ..Simulation::default() };
    let scripts = Script::fixed();
    let script = scripts.iter().find(|script| script.name == "writers beside each other").unwrap();
    let tally = done(simulation.fail_everywhere(script, Fault::ForgottenSync));
    assert!(tally.faults.get(&Fault::ForgottenSync).is_some_and(|count| *count > 40), "{tally}");
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
fn a_process_that_dies_in_the_first_append_to_a_log_of_an_older_layout_breaks_no_promise() {
    let simulation = Simulation { crashes_per_call: 1, ..Simulation::default() };
    let scripts = Script::fixed();
    let script = scripts.iter().find(|script| script.beginning == Beginning::OlderLayouts).unwrap();
    let tally = done(simulation.fail_everywhere(script, Fault::Death));
    assert!(tally.deaths > 100, "{tally}");
}

#[test]
fn random_scripts_with_faults_break_no_promise() {
    let simulation = Simulation { crashes_per_script: 4, ..Simulation::default() };
    let mut tally = Tally::default();
    for seed in 0..30 {
        tally.add(&done(simulation.random(seed)));
    }
    assert!(tally.crashes > 500 && tally.faults.len() >= 4, "{tally}");
}

/// Logs of a part for every few entries: whatever stops while one goes on in the next is stopped there too.
fn in_parts() -> Simulation {
    Simulation { max_part_bytes: Some(400), ..Simulation::default() }
}

#[test]
fn a_power_loss_in_any_call_of_a_script_on_logs_of_parts_breaks_no_promise() {
    let simulation = Simulation { crashes_per_call: 1, ..in_parts() };
    let mut tally = Tally::default();
    for script in Script::fixed() {
        tally.add(&done(simulation.crash_everywhere(&script)));
    }
    assert!(tally.crashes > 800, "{tally}");
}

#[test]
fn random_scripts_with_faults_on_logs_of_parts_break_no_promise() {
    let simulation = Simulation { crashes_per_script: 4, ..in_parts() };
    let mut tally = Tally::default();
    for seed in 0..100 {
        tally.add(&done(simulation.random(seed)));
    }
    assert!(tally.crashes > 700 && tally.faults.len() >= 4, "{tally}");
}

#[test]
fn a_seed_does_the_same_again() {
    let simulation = Simulation::default();
    assert_eq!(simulation.random(7), simulation.random(7));
}

/// What the simulator says of a store with a mistake in it.
fn complaint(lie: Lie) -> Option<String> {
    let simulation = Simulation::lying(lie);
    if lie == Lie::SyncRetried {
        // Only where a sync fails is there anything to try again.
        let scripts = Script::fixed();
        let failed = |script| simulation.fail_everywhere(script, Fault::ForgottenSync).err();
        return scripts.iter().rev().find_map(failed).map(|failure| failure.what);
    }
    let fixed = Script::fixed().iter().find_map(|script| simulation.crash_everywhere(script).err());
    let found = fixed.or_else(|| simulation.crash_everywhere_with_holes(1).err());
    found.or_else(|| (0..300).find_map(|seed| simulation.random(seed).err())).map(|failure| failure.what)
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
    no_sync_of_folders_is_found: FoldersUnsynced => "is lost";
    an_acknowledgement_before_the_sync_is_found: LogsUnsynced => "acknowledged and not there";
    an_acknowledged_fact_that_is_not_synced_is_found: FactsUnsynced => "acknowledged and not there";
    no_quarantine_before_a_write_is_found: NoQuarantine => "taken out and not kept";
    a_quarantine_that_is_not_synced_is_found: QuarantineUnsynced => "taken out and not kept";
    a_rename_before_the_sync_is_found: RenamedUnsynced => "store.json";
    more_that_is_ignored_is_found: MoreIgnored => "half a call";
    an_announcement_after_the_append_is_found: AnnouncedLate => "is told to be gone";
    an_announcement_that_is_not_synced_is_found: AnnouncedUnsynced => "is not named";
    a_retry_after_a_failed_sync_is_found: SyncRetried => "Segment(";
    a_mark_that_nobody_has_seen_to_is_found: MarkedEarly => "damaged: segment";
    a_hole_that_is_cut_off_and_not_kept_is_found: HolesCut => "taken out and not kept";
    a_stale_descriptor_is_found: StaleDescriptor => "acknowledged and not there";
}
