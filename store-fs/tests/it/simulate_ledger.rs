//! The power is lost at every call of fixed scripts on a ledger and under random ones; and every mistake that is planted is found.
//!
//! A failure names the command that does the same again.

use store_fs::simulate::{Failure, Fault, LedgerScript, Lie, Loss, Simulation, Tally};

fn done(result: Result<Tally, Failure>) -> Tally {
    result.unwrap_or_else(|failure| panic!("{failure}"))
}

fn sparing(crashes_per_call: u64) -> Simulation {
    Simulation { crashes_per_call, crashes_per_script: 4, ..Simulation::default() }
}

#[test]
fn a_power_loss_in_any_call_on_a_ledger_loses_no_acknowledged_transaction() {
    let mut tally = Tally::default();
    for script in LedgerScript::fixed() {
        tally.add(&done(sparing(1).crash_ledger_everywhere(&script)));
    }
    assert!(tally.crashes > 500 && tally.losses.len() == Loss::ALL.len(), "{tally}");
    assert!(tally.transactions > 3_000 && tally.taken_out > 10, "{tally}");
}

#[test]
fn any_fault_in_a_call_on_a_ledger_loses_no_acknowledged_transaction() {
    let scripts = LedgerScript::fixed();
    for (script, fault) in
        scripts.iter().zip([Fault::ForgottenSync, Fault::Full, Fault::Death, Fault::Refused, Fault::Short])
    {
        let tally = done(sparing(1).fail_ledger_everywhere(script, fault, 9));
        assert!(tally.faults.get(&fault).is_some_and(|count| *count > 5), "{fault:?}: {tally}");
    }
}

#[test]
fn any_fault_in_a_repair_loses_nothing_that_stood_before_the_damage() {
    let script = LedgerScript::fixed().pop().unwrap();
    assert_eq!(script.name, "repairs");
    for fault in [Fault::ForgottenSync, Fault::Full, Fault::Death, Fault::Refused, Fault::Short] {
        let tally = done(sparing(1).fail_ledger_everywhere(&script, fault, 97));
        assert!(tally.faults.get(&fault).is_some_and(|count| *count > 3), "{fault:?}: {tally}");
    }
}

#[test]
fn random_scripts_on_a_ledger_lose_no_acknowledged_transaction() {
    let mut tally = Tally::default();
    for seed in 0..25 {
        tally.add(&done(sparing(1).random_ledger(seed)));
    }
    assert!(tally.crashes > 200 && tally.faults.len() >= 3, "{tally}");
}

#[test]
fn a_seed_of_a_ledger_does_the_same_again() {
    assert_eq!(sparing(1).random_ledger(7), sparing(1).random_ledger(7));
}

/// What the simulator says of a ledger with a mistake in it.
fn complaint(lie: Lie) -> Option<String> {
    let simulation = Simulation { crashes_per_call: 2, ..Simulation::lying(lie) };
    let scripts = LedgerScript::fixed();
    if lie == Lie::SyncRetried {
        // Only where a sync fails is there anything to try again.
        let failed = |script| simulation.fail_ledger_everywhere(script, Fault::ForgottenSync, 1).err();
        return scripts.iter().find_map(failed).map(|failure| failure.what);
    }
    let found = scripts.iter().find_map(|script| simulation.crash_ledger_everywhere(script).err());
    found.or_else(|| (0..200).find_map(|seed| simulation.random_ledger(seed).err())).map(|failure| failure.what)
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
        fn every_mistake_is_planted_in_a_ledger() {
            assert_eq!(Lie::ON_LEDGERS.to_vec(), [$(Lie::$lie),*]);
        }
    };
}

planted! {
    no_sync_of_folders_is_found: FoldersUnsynced => "acknowledged and not there";
    an_acknowledgement_before_the_sync_is_found: LogsUnsynced => "acknowledged and not there";
    no_quarantine_before_a_write_is_found: NoQuarantine => "taken out and not kept";
    a_quarantine_that_is_not_synced_is_found: QuarantineUnsynced => "taken out and not kept";
    a_rename_before_the_sync_is_found: RenamedUnsynced => "";
    more_that_is_ignored_is_found: MoreIgnored => "half a batch";
    a_retry_after_a_failed_sync_is_found: SyncRetried => "is not registered";
    a_mark_that_nobody_has_seen_to_is_found: MarkedEarly => "damaged";
    a_hole_that_is_cut_off_and_not_kept_is_found: HolesCut => "taken out and not kept";
    a_lock_that_nobody_has_is_found: LockIgnored => "two processes own the ledger";
}
