//! The checks that every backend of the conversation store passes.
//!
//! A backend author implements [`Harness`] and writes `conformance_tests!(MyHarness);` in an integration test: every
//! check of the one list becomes a `#[test]` of its own. The list ([`CHECKS`]) and the tests come from the same macro,
//! so that a backend cannot leave out a check silently.
//!
//! What the checks can catch is proved, not assumed: [`faulty`] holds stores that each break one rule, and
//! [`Matrix`] says which check fails on which of them.
//!
//! Nothing here knows a backend. Checks go through the public contract only.

mod checks;
pub mod faulty;
mod harness;
mod matrix;

pub use harness::{Check, Failure, Harness, MemoryHarness, Outcome, assert_conforms};
pub use matrix::Matrix;

/// Hands the one list of checks to a macro: `for_each_check!([path::of::callback] [arguments])`.
///
/// The callback is given `[arguments] group { check, … } …`.
#[macro_export]
macro_rules! for_each_check {
    ([$($callback:tt)+] [$($arguments:tt)*]) => {
        $($callback)+! {
            [$($arguments)*]
            create {
                a_created_segment_has_all_its_entries_in_order,
            }
        }
    };
}

/// Makes a `#[test]` of every check for one backend: `conformance_tests!(MyHarness);`.
///
/// The tests are in modules named after the groups of checks; call it in a module of its own.
#[macro_export]
macro_rules! conformance_tests {
    ($harness:ty) => {
        type ConformanceHarness = $harness;
        $crate::for_each_check!([$crate::__conformance_tests] []);
    };
}

/// The callback of [`conformance_tests!`]; of no use by itself.
#[macro_export]
#[doc(hidden)]
macro_rules! __conformance_tests {
    ([] $($group:ident { $($name:ident),+ $(,)? })+) => {$(
        mod $group {$(
            #[test]
            fn $name() {
                $crate::assert_conforms::<super::ConformanceHarness>(stringify!($group), stringify!($name));
            }
        )+}
    )+};
}

macro_rules! list_checks {
    ([] $($group:ident { $($name:ident),+ $(,)? })+) => {
        /// Every check, in the order of the contract.
        pub const CHECKS: &[Check] = &[$($(
            Check::new(stringify!($group), stringify!($name), checks::$group::$name),
        )+)+];
    };
}

for_each_check!([list_checks][]);
