//! The reference keeps the contract.

store_conformance::conformance_tests!(store_conformance::MemoryHarness);
