//! The reference keeps the contract.

store_conformance::conformance_tests!(store_conformance::MemoryHarness);
store_conformance::snapshot_set_conformance_tests!(store_conformance::MemorySnapshotSetHarness);
store_conformance::ledger_conformance_tests!(store_conformance::MemoryLedgerHarness);

#[test]
fn the_reference_ledger_answers_what_the_reference_answers() {
    store_conformance::ledger_model_test::<store_conformance::MemoryLedgerHarness>(16);
}
