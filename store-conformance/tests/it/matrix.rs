//! What the checks can catch: each of them fails on a store that breaks one rule.

use store_conformance::{
    CHECKS, LEDGER_CHECKS, Matrix, SNAPSHOT_SET_CHECKS, faulty, run_ledger_model, run_snapshot_set_model,
};

#[test]
fn names_of_checks_and_faulty_stores_are_unique() {
    let sets = SNAPSHOT_SET_CHECKS.iter().map(|check| check.name);
    let sets = sets.chain(faulty::SNAPSHOT_SETS.iter().map(|set| set.name));
    let stores = CHECKS.iter().map(|check| check.name).chain(faulty::all().map(|store| store.name));
    let ledgers = LEDGER_CHECKS.iter().map(|check| check.name);
    let ledgers = ledgers.chain(faulty::ledgers().map(|ledger| ledger.name));
    let names: Vec<_> = stores.chain(sets).chain(ledgers).collect();
    let mut unique = names.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), names.len());
}

#[test]
fn every_check_is_failed_by_a_store_that_breaks_little_else() {
    let matrix = Matrix::run(faulty::all());
    println!("{} checks, {} faulty stores", CHECKS.len(), faulty::all().count());
    println!("{matrix}");
    assert_eq!(matrix.uncaught(), Vec::<&str>::new(), "faulty stores that no check fails on");
    assert_eq!(matrix.too_broken(), Vec::<&str>::new(), "faulty stores that fail more than a tenth of the checks");
    assert_eq!(matrix.unproved(), Vec::<&str>::new(), "checks that no faulty store fails");
    insta::assert_snapshot!(matrix);
}

#[test]
fn every_check_of_snapshot_sets_is_failed_by_a_set_that_breaks_little_else() {
    let matrix = Matrix::run_snapshot_sets(faulty::SNAPSHOT_SETS);
    println!("{matrix}");
    assert_eq!(matrix.uncaught(), Vec::<&str>::new(), "faulty sets that no check fails on");
    assert_eq!(matrix.too_broken(), Vec::<&str>::new(), "faulty sets that fail more than a tenth of the checks");
    assert_eq!(matrix.unproved(), Vec::<&str>::new(), "checks that no faulty set fails");
    insta::assert_snapshot!(matrix);
}

/// A hundred sequences do not come to every rule: two owners, threads, long shards, two writers of what is finished.
#[test]
fn most_faulty_snapshot_sets_are_caught_by_the_model_test() {
    let caught = |set: &&faulty::FaultySnapshotSet| run_snapshot_set_model(&|| set.fresh(), 100, 1).is_err();
    let (caught, missed): (Vec<_>, Vec<&faulty::FaultySnapshotSet>) = faulty::SNAPSHOT_SETS.iter().partition(caught);
    let missed: Vec<_> = missed.iter().map(|set| set.name).collect();
    insta::assert_snapshot!(format!("{} caught, not these:\n{}", caught.len(), missed.join("\n")));
}

#[test]
fn every_check_of_ledgers_is_failed_by_a_ledger_that_breaks_little_else() {
    let matrix = Matrix::run_ledgers(faulty::ledgers());
    println!("{matrix}");
    assert_eq!(matrix.uncaught(), Vec::<&str>::new(), "faulty ledgers that no check fails on");
    assert_eq!(matrix.too_broken(), Vec::<&str>::new(), "faulty ledgers that fail more than a tenth of the checks");
    assert_eq!(matrix.unproved(), Vec::<&str>::new(), "checks that no faulty ledger fails");
    insta::assert_snapshot!(matrix);
}

/// Sequences race nothing, shut nothing down twice and follow nothing; the snapshot names what they miss.
#[test]
fn most_faulty_ledgers_are_caught_by_the_model_test() {
    let caught = |ledger: &&faulty::FaultyLedger| run_ledger_model(&|| ledger.fresh(), 16, 30..=40, 1).is_err();
    let (caught, missed): (Vec<_>, Vec<&faulty::FaultyLedger>) = faulty::ledgers().partition(caught);
    let missed: Vec<_> = missed.iter().map(|ledger| ledger.name).collect();
    insta::assert_snapshot!(format!("{} caught, not these:\n{}", caught.len(), missed.join("\n")));
}
