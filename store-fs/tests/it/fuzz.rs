//! Recovery of logs with anything behind their entries. The body is that of the fuzz target.

#[path = "../../../fuzz/bodies/bounded.rs"]
mod bounded;
#[path = "../../../fuzz/bodies/fs_recovery.rs"]
mod fs_recovery;

#[test]
fn recovery_loses_nothing_valid_and_leaves_nothing_for_a_second() {
    bounded::run("fs_recovery", 60, fs_recovery::recovery);
}
