//! The reference keeps the contract.

store_conformance::conformance_tests!(store_conformance::MemoryHarness);
store_conformance::snapshot_set_conformance_tests!(store_conformance::MemorySnapshotSetHarness);
