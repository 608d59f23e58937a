//! The suite of ledgers: what an implementation gives to be checked, and the one list of its checks.
//!
//! Apart from the suite of stores, because a ledger is no part of a store: who keeps a ledger may keep no conversation.

mod model;

use std::fmt;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use store_core::Seq;
use store_core::ledger::{BookName, Clock, Ledger, LedgerResult, MemoryLedger, MemoryLedgerMedium};

pub use self::model::{ledger_model_test, run_ledger_model, run_ledger_operations};
use crate::checks::ledger;
use crate::harness::words_of;
use crate::{Failure, Outcome};

/// One empty ledger, and the way to it.
pub trait LedgerHarness: Send + Sync {
    /// An empty ledger that shares nothing with any other.
    fn fresh() -> Self
    where
        Self: Sized;

    /// Opens the ledger, which nobody has open, as often as it is asked for: as so many processes would, or, where one process at a time may write, as that
    /// many handles of one. Dropping what is given back closes it.
    ///
    /// # Errors
    /// Those of the implementation.
    fn open(&self, clock: &Clock, count: usize) -> LedgerResult<Vec<Box<dyn Ledger>>>;

    /// How long a check waits for an event that has to come.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// Whether [`damage`](Self::damage) reaches stored bytes. Where it does not, the checks of damage are skipped, and every run says so by its name on standard error.
    fn can_damage(&self) -> bool {
        true
    }

    /// Flips a bit of a stored event, which is the last of no book, while nobody has the ledger open, and answers whether it did. Where that is expected and is not done, the checks of damage fail.
    fn damage(&self, _book: &BookName, _seq: Seq) -> bool {
        false
    }
}

/// One check of the suite of ledgers.
#[derive(Clone, Copy)]
pub struct LedgerCheck {
    /// What it holds, as a statement in snake_case.
    pub name: &'static str,
    run: fn(&dyn LedgerHarness) -> Outcome,
}

impl fmt::Debug for LedgerCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl LedgerCheck {
    /// Runs the check on a fresh ledger. A ledger that panics has failed it.
    ///
    /// # Errors
    /// What the ledger did instead of what the contract says.
    pub fn run(&self, harness: &dyn LedgerHarness) -> Outcome {
        let ran = catch_unwind(AssertUnwindSafe(|| (self.run)(harness)));
        ran.unwrap_or_else(|panic| Err(Failure::new(format!("the ledger panicked: {}", words_of(&*panic)))))
    }
}

/// Hands the one list of checks of ledgers to a macro, as [`for_each_check!`](crate::for_each_check) does.
#[macro_export]
macro_rules! for_each_ledger_check {
    ([$($callback:tt)+] [$($arguments:tt)*]) => {
        $($callback)+! {
            [$($arguments)*]
            ledger {
                a_registered_asset_is_given_back,
                an_asset_that_is_registered_twice_is_one,
                an_asset_of_another_precision_is_refused,
                a_refused_registration_writes_nothing,
                an_asset_may_have_18_digits_and_no_more,
                an_unknown_asset_is_told,
                assets_are_listed_by_name,
                assets_are_recorded_in_the_reserved_book,
                of_registrations_at_once_one_is_recorded,
                an_opened_account_is_listed_as_it_was_opened,
                an_account_that_is_opened_twice_is_one,
                an_account_of_another_definition_is_refused,
                a_known_account_is_told_before_its_asset,
                an_account_of_an_unregistered_asset_is_refused,
                a_refused_account_makes_no_book,
                an_account_in_the_reserved_book_is_refused_first,
                a_clearing_account_has_no_minimum,
                of_openings_at_once_one_is_recorded,
                accounts_are_listed_by_path,
                an_unused_book_has_no_accounts,
                accounts_of_one_path_in_two_books_are_two,
                paths_with_separators_are_kept_apart,
                a_transaction_moves_an_amount,
                balances_count_on_the_normal_side,
                a_receipt_tells_where_the_transaction_stands,
                an_unbalanced_transaction_is_refused,
                a_transaction_balances_in_each_asset,
                an_account_may_be_posted_to_twice,
                a_transaction_without_postings_is_refused,
                an_amount_below_one_is_refused,
                a_posting_to_an_unknown_account_is_refused,
                a_posting_to_another_book_is_refused,
                a_commit_to_the_reserved_book_is_refused_first,
                an_overflow_is_refused_before_anything_is_written,
                the_largest_balances_are_held,
                a_minimum_is_held_on_the_normal_side,
                a_balance_at_its_minimum_is_accepted,
                a_minimum_is_looked_at_after_all_postings,
                a_refused_transaction_changes_nothing,
                a_refused_transaction_uses_up_no_seq,
                what_is_remembered_of_a_transaction_comes_back,
                a_repeated_key_answers_with_the_first_receipt,
                a_key_is_looked_at_before_the_id,
                a_key_with_another_amount_is_refused,
                a_key_with_other_accounts_is_refused,
                a_known_key_does_not_ask_whether_it_could_be_committed,
                the_key_of_a_refused_transaction_is_free,
                a_key_belongs_to_its_book,
                a_known_id_is_refused_in_any_book,
                a_known_id_is_told_before_an_unknown_account,
                an_idempotency_key_has_1_to_1024_bytes,
                hostile_keys_of_transactions_are_kept_apart,
                keys_of_transactions_are_remembered_after_a_reopen,
                ids_of_transactions_are_remembered_after_a_reopen,
                many_keys_are_remembered,
                a_batch_answers_by_position,
                one_bad_draft_leaves_the_others_whole,
                a_batch_without_drafts_answers_nothing,
                a_batch_of_bad_drafts_writes_nothing,
                a_key_twice_in_a_batch_is_committed_once,
                a_key_of_the_past_is_answered_in_a_batch,
                a_key_twice_in_a_batch_with_other_postings_is_refused,
                the_key_of_a_bad_draft_is_free_within_the_batch,
                an_id_twice_in_a_batch_is_refused,
                a_batch_is_judged_in_its_order,
                a_large_batch_is_committed_whole,
                an_unknown_account_has_no_balance,
                an_account_that_nothing_was_posted_to_holds_nothing,
                a_balance_before_the_first_posting_is_nothing,
                a_balance_as_of_a_time_counts_what_was_there,
                a_time_includes_its_own_microsecond,
                reading_makes_no_book,
                a_history_starts_behind_its_after,
                a_history_stops_at_its_limit,
                a_historys_limit_parts_no_transaction,
                a_history_of_no_transactions_is_empty,
                a_history_tells_each_posting,
                an_unknown_account_has_no_history,
                a_transaction_is_found_in_any_book,
                an_unknown_transaction_is_none,
                a_trial_balance_is_equal_on_both_sides,
                a_trial_balance_is_sorted_by_asset,
                a_trial_balance_as_of_a_time_counts_what_was_there,
                a_trial_balance_of_no_postings_is_empty,
                an_asset_whose_balances_are_zero_is_in_the_trial_balance,
                events_are_numbered_without_gaps,
                events_are_read_from_the_first_that_is_named,
                events_are_read_up_to_a_limit,
                an_unused_book_has_no_events,
                events_hold_what_was_written,
                commit_times_never_go_back,
                commit_times_do_not_go_back_after_a_reopen,
                a_book_has_a_time_of_its_own,
                microseconds_come_back,
                books_are_listed_by_name,
                a_subscription_gives_what_stands_there,
                a_subscription_begins_with_the_event_it_names,
                a_subscription_goes_on_with_what_is_committed,
                a_subscription_may_wait_for_a_book,
                another_handle_sees_what_was_committed,
                a_ledger_is_the_same_after_a_reopen,
                a_minimum_is_held_after_a_reopen,
                seqs_go_on_after_a_reopen,
                commits_at_once_are_all_there,
                a_key_is_committed_once_by_many,
                a_minimum_holds_against_commits_at_once,
                a_snapshot_of_an_unused_book_is_refused,
                a_snapshot_changes_no_answer,
                adopted_events_are_as_they_were,
                an_adopted_book_is_gone_on_with,
                events_that_stand_there_are_adopted_once,
                adopted_events_leave_no_gap,
                adopted_events_do_not_go_back_in_time,
                an_event_that_stands_there_otherwise_is_not_adopted,
                adopted_transactions_are_judged,
                of_events_with_an_unfit_one_none_is_adopted,
                an_account_is_not_adopted_without_its_asset,
                a_whole_ledger_verifies,
                a_damaged_event_is_told,
                a_whole_ledger_needs_no_repair,
                a_dry_run_of_a_repair_changes_nothing,
                a_repair_keeps_what_stands_before_the_damage,
                a_repaired_book_takes_what_was_lost,
                a_repair_of_one_book_leaves_the_others,
                a_repair_of_an_unused_book_is_refused,
                a_repaired_book_needs_no_second_repair,
                a_book_whose_first_event_is_damaged_is_empty_again,
                assets_behind_a_damaged_one_are_registered_again,
                a_ledger_that_was_shut_down_refuses_everything,
                a_ledger_may_be_shut_down_twice,
                a_subscription_ends_with_the_shutdown,
            }
        }
    };
}

/// Makes a `#[test]` of every check of ledgers for one implementation: `ledger_conformance_tests!(MyHarness);`.
#[macro_export]
macro_rules! ledger_conformance_tests {
    ($harness:ty) => {
        type LedgerConformanceHarness = $harness;
        $crate::for_each_ledger_check!([$crate::__ledger_conformance_tests] []);
    };
}

/// The callback of [`ledger_conformance_tests!`]; of no use by itself.
#[macro_export]
#[doc(hidden)]
macro_rules! __ledger_conformance_tests {
    ([] $($group:ident { $($name:ident),+ $(,)? })+) => {$(
        mod $group {$(
            #[test]
            fn $name() {
                $crate::assert_ledger_conforms::<super::LedgerConformanceHarness>(stringify!($name));
            }
        )+}
    )+};
}

macro_rules! list_ledger_checks {
    ([] $($group:ident { $($name:ident),+ $(,)? })+) => {
        /// Every check of ledgers, in the order of the contract.
        pub const LEDGER_CHECKS: &[LedgerCheck] = &[$($(
            LedgerCheck { name: stringify!($name), run: $group::$name },
        )+)+];
    };
}

for_each_ledger_check!([list_ledger_checks][]);

/// The checks that have nothing to find where stored bytes cannot be damaged.
const NEEDS_DAMAGE: &[&str] = &[
    "a_damaged_event_is_told",
    "a_dry_run_of_a_repair_changes_nothing",
    "a_repair_keeps_what_stands_before_the_damage",
    "a_repaired_book_takes_what_was_lost",
    "a_repair_of_one_book_leaves_the_others",
    "a_repaired_book_needs_no_second_repair",
    "a_book_whose_first_event_is_damaged_is_empty_again",
    "assets_behind_a_damaged_one_are_registered_again",
];

/// Runs one check on a fresh ledger of `H`; what [`ledger_conformance_tests!`](crate::ledger_conformance_tests) calls.
///
/// # Panics
/// The check fails, or the list has no such check.
pub fn assert_ledger_conforms<H: LedgerHarness>(name: &str) {
    let check = LEDGER_CHECKS.iter().find(|check| check.name == name);
    let Some(check) = check else { panic!("the list has no check {name}") };
    let harness = H::fresh();
    if NEEDS_DAMAGE.contains(&name) && !harness.can_damage() {
        let _ = writeln!(std::io::stderr(), "skipped ledger::{name}: the harness cannot damage stored bytes");
        return;
    }
    if let Err(failure) = check.run(&harness) {
        panic!("ledger::{name}: {failure}");
    }
}

/// The reference: a ledger in memory.
#[derive(Debug, Default)]
pub struct MemoryLedgerHarness(MemoryLedgerMedium);

impl LedgerHarness for MemoryLedgerHarness {
    fn fresh() -> Self {
        Self::default()
    }

    fn open(&self, clock: &Clock, count: usize) -> LedgerResult<Vec<Box<dyn Ledger>>> {
        let open = |_| Box::new(MemoryLedger::open(&self.0, clock.clone())) as Box<dyn Ledger>;
        Ok((0..count).map(open).collect())
    }

    fn damage(&self, book: &BookName, seq: Seq) -> bool {
        self.0.damage(book, seq)
    }
}
