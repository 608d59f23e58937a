//! The checks that every backend of the conversation store passes.
//!
//! A backend author implements [`Harness`] and calls [`conformance_tests!`] in an integration test: every check of the
//! one list becomes a `#[test]` of its own. The list ([`CHECKS`]) and the tests are made by the same macro, so that a
//! backend cannot leave out a check silently.
//!
//! ```
//! use store_conformance::Harness;
//! use store_core::{Backend, FactScope, MemoryStore, SegmentId, Seq, SessionId};
//!
//! struct Mine(MemoryStore);
//!
//! impl Harness for Mine {
//!     fn fresh() -> Self {
//!         Self(MemoryStore::new())
//!     }
//!     fn store(&self) -> &dyn Backend {
//!         &self.0
//!     }
//!     fn second_handle(&self) -> Box<dyn Backend> {
//!         Box::new(self.0.clone())
//!     }
//!     fn reopen(&mut self) {
//!         self.0 = self.0.clone();
//!     }
//!     fn damage(&mut self, session: SessionId, segment: SegmentId, seq: Seq) -> bool {
//!         self.0.damage(session, segment, seq).is_ok()
//!     }
//!     fn damage_fact(&mut self, scope: FactScope, number: u64) -> bool {
//!         self.0.damage_fact(scope, number).is_ok()
//!     }
//! }
//!
//! store_conformance::conformance_tests!(Mine);
//! # let failed = store_conformance::CHECKS.iter().find(|check| check.run(&mut Mine::fresh()).is_err());
//! # assert!(failed.is_none(), "{failed:?}");
//! ```
//!
//! What the checks can catch is proved, not assumed: [`faulty`] holds stores that each break one rule, and [`Matrix`]
//! says which check fails on which of them.
//!
//! Sets of snapshots, which are no part of a store, have a suite of their own of the same form:
//! [`snapshot_set_conformance_tests!`], [`SNAPSHOT_SET_CHECKS`].
//!
//! Ledgers have one too: [`ledger_conformance_tests!`], [`LEDGER_CHECKS`].
//!
//! [`model_test`] compares any sequence of calls, on several handles, with the reference.
//!
//! Nothing here knows a backend. Checks go through the public contract only: what a crash leaves, damage to stored
//! bytes and the cost of a call are for a backend's own tests.

mod checks;
pub mod faulty;
mod harness;
mod ledgers;
mod matrix;
mod model;
mod race;
mod snapshot_sets;

pub use harness::{Capability, Check, Failure, Harness, Limits, MemoryHarness, Outcome, assert_conforms};
pub use ledgers::{
    LEDGER_CHECKS, LedgerCheck, LedgerHarness, MemoryLedgerHarness, assert_ledger_conforms, ledger_model_test,
    run_ledger_model, run_ledger_operations,
};
pub use matrix::Matrix;
pub use model::{model_test, run_model};
pub use snapshot_sets::{
    MemorySnapshotSetHarness, SNAPSHOT_SET_CHECKS, SnapshotSetCheck, SnapshotSetHarness, assert_snapshot_set_conforms,
    run_snapshot_set_model, snapshot_set_model_test,
};

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
                a_creation_answers_with_every_position_from_one,
                a_creation_without_entries_is_refused,
                a_first_entry_that_is_no_start_is_refused,
                a_start_that_names_another_session_is_refused,
                a_second_start_in_a_creation_is_refused,
                a_segment_cannot_be_created_twice,
                a_segment_id_is_unique_across_sessions,
                a_refused_second_creation_changes_nothing,
                a_refused_creation_leaves_nothing_behind,
                an_id_that_was_refused_can_be_created_after_all,
                segments_of_one_session_are_separate_logs,
            }
            create_many {
                sessions_are_created_with_all_their_entries,
                sessions_are_created_with_their_facts_in_order,
                creating_sessions_answers_with_every_position,
                sessions_that_were_created_have_changed,
                a_session_that_is_refused_touches_no_other,
                a_session_whose_last_segment_is_refused_is_not_there,
                a_session_whose_last_fact_is_refused_is_not_there,
                a_session_that_exists_gets_nothing,
                a_session_stands_once_in_a_call,
                a_session_without_a_segment_is_refused,
                a_session_may_continue_one_before_it_in_the_call,
            }
            origin {
                a_fork_of_another_sessions_entry_is_created,
                a_fork_of_the_last_entry_is_created,
                a_fork_copies_nothing,
                an_origin_in_a_missing_segment_is_refused,
                an_origin_in_itself_is_refused,
                an_origin_that_names_the_wrong_session_is_refused,
                an_origin_before_the_first_entry_is_refused,
                an_origin_beyond_the_end_is_refused,
                a_compaction_origin_beyond_the_end_is_refused,
                two_origins_at_once_are_refused,
                history_up_to_the_origin_is_accepted,
                history_behind_the_origin_is_refused,
                history_of_a_strange_segment_is_refused,
                history_that_runs_backwards_is_refused,
                history_of_a_grandparent_is_accepted,
                a_refused_origin_leaves_nothing_behind,
            }
            append {
                appended_entries_stand_in_the_order_of_the_calls,
                the_entries_of_a_call_stand_in_its_order,
                an_append_answers_with_the_positions_that_are_read,
                appended_entries_are_numbered_without_gaps,
                one_entry_can_be_appended_alone,
                typed_entries_of_every_kind_come_back,
                an_append_to_an_unknown_segment_is_not_found,
                an_append_by_another_session_is_not_found,
                a_call_without_entries_is_refused,
                one_bad_entry_refuses_the_whole_call,
                a_start_behind_the_first_entry_is_refused,
                a_text_that_is_no_json_object_is_refused,
                an_entry_without_kind_or_time_is_refused,
                an_entry_with_two_kinds_is_refused,
                an_entry_on_several_lines_is_refused,
                a_control_character_in_an_entry_is_refused,
                white_space_around_an_entry_is_refused,
                a_known_kind_in_a_wrong_shape_is_refused,
                a_name_that_belongs_to_the_line_is_refused,
                a_name_of_the_line_may_stand_further_in,
                an_unknown_kind_comes_back_byte_for_byte,
                unknown_fields_of_a_known_kind_come_back,
                white_space_inside_an_entry_comes_back,
                numbers_come_back_as_they_were_spelt,
                escapes_come_back_as_they_were_spelt,
                nul_escapes_come_back,
                line_separators_of_unicode_come_back,
                text_beyond_the_basic_plane_comes_back,
                equal_entries_without_keys_are_all_written,
            }
            expected {
                an_append_at_the_expected_count_succeeds,
                an_append_with_a_stale_count_is_refused,
                an_append_with_a_count_beyond_the_end_is_refused,
                an_append_at_the_answered_position_succeeds,
                an_append_at_the_read_position_succeeds,
                an_append_at_an_earlier_position_is_refused,
                an_append_at_a_position_with_another_checksum_is_refused,
                a_conflict_tells_where_the_log_ends,
                a_conflict_writes_nothing,
            }
            key {
                a_repeated_keyed_entry_is_written_once,
                a_repeated_keyed_call_answers_with_the_first_positions,
                a_partly_present_call_writes_only_the_rest,
                a_partly_present_call_answers_in_its_own_order,
                a_key_with_another_text_is_refused,
                a_key_with_the_same_json_spelt_otherwise_is_refused,
                a_call_with_a_reused_key_writes_nothing,
                keys_are_looked_at_before_the_expected_end,
                a_partly_present_call_looks_at_the_expected_end,
                a_key_twice_in_a_call_is_written_once,
                a_key_twice_in_a_call_with_other_texts_is_refused,
                the_keys_of_a_creation_are_remembered,
                a_key_twice_in_a_creation_is_written_once,
                a_key_twice_in_a_creation_with_other_texts_is_refused,
                keys_are_remembered_after_a_reopen,
                keys_of_another_handle_are_known,
                a_key_belongs_to_its_segment,
                other_keys_for_the_same_text_are_other_entries,
                records_tell_their_keys,
                hostile_keys_are_kept_apart_and_come_back,
                an_empty_key_is_refused,
                a_key_of_1024_bytes_is_accepted,
                a_key_of_1025_bytes_is_refused,
            }
            read {
                a_range_starts_behind_its_after,
                a_range_stops_at_its_limit,
                a_range_may_end_exactly_at_the_end,
                a_range_without_bounds_is_the_whole_segment,
                a_range_of_zero_entries_is_empty,
                a_range_behind_the_last_entry_is_empty,
                a_range_far_behind_the_end_is_empty,
                a_tail_is_the_last_entries_in_order,
                a_tail_of_more_than_there_is_is_everything,
                a_tail_of_zero_entries_is_empty,
                a_tail_has_what_a_range_has,
                the_count_is_the_last_seq,
                a_record_holds_the_entry_of_its_text,
                reading_all_gives_every_entry_in_order,
                different_entries_have_different_checksums,
                ranges_and_tails_of_an_unknown_segment_are_not_found,
                the_count_of_an_unknown_segment_is_not_found,
                another_session_reads_no_segment_that_is_not_its_own,
            }
            list {
                a_new_store_has_no_sessions,
                a_session_exists_from_its_first_segment_on,
                sessions_are_listed_newest_first,
                a_session_is_listed_once,
                segments_are_listed_newest_first,
                a_session_lists_its_own_segments_only,
                an_unknown_session_lists_nothing,
                lists_are_the_same_after_a_reopen,
                a_segment_is_looked_up_without_its_session,
                an_unknown_segment_has_no_session,
                a_segment_is_looked_up_after_a_reopen,
            }
            trace {
                traces_come_back_in_order,
                a_segment_without_traces_has_an_empty_trace,
                traces_are_not_counted_in_the_log,
                traces_belong_to_their_segment,
                a_trace_of_an_unknown_segment_is_not_found,
                a_trace_of_another_sessions_segment_is_not_found,
                traces_are_there_after_a_reopen,
                a_trace_nested_too_deep_is_refused,
            }
            fact {
                facts_come_back_in_the_order_they_were_put,
                equal_facts_are_all_kept,
                facts_about_the_store_come_back_in_order,
                a_new_store_has_no_facts,
                a_new_session_has_no_facts,
                facts_about_a_session_are_not_about_the_store,
                facts_belong_to_their_session,
                a_fact_about_an_unknown_session_is_not_found,
                the_facts_of_an_unknown_session_are_not_found,
                a_fact_disturbs_no_log,
                facts_are_there_after_a_reopen,
                facts_of_another_handle_are_seen,
                a_facts_value_comes_back_as_it_was,
                a_fact_without_a_domain_is_refused,
                a_domain_may_have_4096_bytes_and_no_more,
                a_fact_may_be_nested_127_deep_and_no_deeper,
            }
            blob {
                a_blob_comes_back_byte_for_byte,
                an_empty_blob_comes_back,
                a_blob_is_named_by_its_sha256_and_length,
                the_same_bytes_can_be_put_again,
                blobs_are_kept_apart,
                an_unknown_blob_is_not_found,
                a_reference_with_the_wrong_length_is_corrupt,
                a_reference_that_is_no_address_is_not_found,
                blobs_are_there_after_a_reopen,
                blobs_of_another_handle_are_seen,
            }
            change {
                a_new_store_has_no_changes,
                without_a_cursor_everything_has_changed,
                with_an_unknown_cursor_everything_has_changed,
                a_created_segment_has_changed,
                a_created_session_has_changed,
                a_segment_that_was_appended_to_has_changed,
                every_append_between_two_cursors_is_named,
                an_earlier_cursor_can_be_used_again,
                a_session_with_a_new_fact_has_changed,
                a_deleted_session_has_changed,
                changes_of_another_handle_are_named,
                changes_of_a_handle_that_was_closed_are_named,
                a_cursor_is_good_after_a_reopen,
                changes_are_named_once_and_ascending,
            }
            delete {
                a_deleted_session_is_in_no_list,
                the_segments_of_a_deleted_session_are_unknown,
                the_facts_and_traces_of_a_deleted_session_are_unknown,
                an_append_to_a_deleted_session_is_not_found,
                deleting_an_unknown_session_is_not_found,
                other_sessions_stay_when_one_is_deleted,
                facts_about_the_store_outlive_every_session,
                deleted_ids_can_be_used_again,
                nothing_comes_back_with_a_deleted_id,
                a_session_that_another_one_continues_is_not_deleted,
                a_refused_deletion_deletes_nothing,
                a_sessions_own_forks_do_not_keep_it,
                a_session_can_be_deleted_after_those_that_continue_it,
                a_continued_segment_is_kept_after_a_reopen_too,
                a_deletion_holds_after_a_reopen,
                a_deletion_by_another_handle_is_seen,
            }
            durability {
                a_buffered_append_is_seen_by_another_handle,
                a_synced_append_is_seen_by_another_handle,
                a_buffered_creation_is_seen_by_another_handle,
                a_synced_creation_is_seen_by_another_handle,
                an_open_handle_sees_what_another_one_appends,
                handles_append_in_turn,
                a_handle_is_told_of_the_others_append_by_a_conflict,
                a_segment_that_another_handle_created_can_be_appended_to,
                a_log_is_the_same_after_a_reopen,
                appending_goes_on_after_a_reopen,
            }
            concurrency {
                appends_at_once_lose_nothing,
                appends_at_once_answer_with_their_own_positions,
                calls_at_once_stay_whole,
                a_reader_sees_whole_calls_only,
                of_creations_at_once_one_wins,
                of_appends_at_the_same_end_one_wins,
                a_keyed_entry_is_written_once_by_many,
                no_append_outlives_a_deletion,
            }
            watch {
                a_tail_gives_what_stands_in_the_log,
                a_tail_goes_on_with_what_is_appended,
                a_tail_goes_on_with_what_another_handle_appends,
                a_waiting_tail_is_given_what_is_appended,
                a_waiting_tail_is_given_what_another_handle_appends,
                a_tail_begins_behind_the_position_it_is_given,
                a_tail_resumes_without_loss_or_repetition,
                a_tail_from_the_end_gives_only_what_is_appended,
                a_tail_gives_every_record_once_beside_writers,
                two_tails_both_give_everything,
                a_tail_with_nothing_to_give_says_so,
                a_tail_goes_on_after_it_had_nothing_to_give,
                stopping_a_tail_ends_its_wait,
                a_stopped_tail_stays_stopped,
                a_tail_tells_where_it_is,
                a_tail_outlives_the_handle_that_made_it,
                a_tail_of_an_unknown_segment_is_not_found,
                a_tail_of_another_sessions_segment_is_not_found,
                a_tail_of_a_segment_that_is_deleted_ends_with_not_found,
                a_tail_from_a_position_with_another_checksum_has_diverged,
                a_tail_from_beyond_the_end_has_diverged,
                a_tail_of_a_segment_that_was_made_anew_has_diverged,
                a_diverged_tail_says_what_still_stands,
                one_handle_gets_a_lease_once,
                a_lease_keeps_other_handles_from_it,
                a_refused_lease_tells_who_holds_it_and_since_when,
                a_lease_is_free_when_it_is_given_up,
                the_holder_of_a_lease_can_be_asked_for,
                nobody_holds_a_lease_that_is_free,
                asking_for_the_holder_takes_no_lease,
                appends_ignore_leases,
                leases_of_two_segments_are_independent,
                a_lease_of_an_unknown_segment_is_not_found,
                a_lease_of_another_sessions_segment_is_not_found,
                the_holder_of_an_unknown_segments_lease_is_not_found,
                a_holder_may_be_called_anything,
                a_holders_text_has_1024_bytes_and_no_more,
                of_leases_at_once_one_is_given,
                a_session_with_a_leased_segment_is_not_deleted,
                a_session_is_deleted_when_its_lease_is_given_up,
                of_a_lease_and_a_deletion_at_once_one_wins,
                a_lease_is_taken_again_after_a_reopen,
            }
            integrity {
                a_new_store_verifies,
                a_store_with_something_of_everything_verifies,
                an_examination_of_whole_sessions_finds_nothing,
                a_scan_hands_over_every_entry_in_order,
                a_scan_can_be_broken_off,
                a_scan_of_an_unknown_segment_is_not_found,
                a_scan_of_another_sessions_segment_is_not_found,
                the_head_of_known_texts_is_the_documented_one,
                heads_depend_on_texts_alone,
                an_expected_head_is_found_at_the_end,
                an_expected_head_of_an_earlier_moment_is_found,
                verifying_a_fork_verifies_what_it_continues,
                a_blob_that_is_missing_is_told,
                a_manifest_tells_what_is_stored,
                a_checkpoint_remembers_where_the_segment_ends,
                checkpoints_are_numbered_from_one_upward,
                checkpoints_are_listed_as_they_were_made,
                a_segment_has_no_checkpoints_at_first,
                a_checkpoint_disturbs_no_log,
                checkpoints_are_there_after_a_reopen,
                checkpoints_of_another_handle_are_seen,
                checkpoints_belong_to_their_segment,
                checkpoints_go_with_their_session,
                a_checkpoint_of_an_unknown_segment_is_not_found,
                the_checkpoints_of_an_unknown_segment_are_not_found,
                a_checkpoints_name_is_neither_empty_nor_a_number,
                a_checkpoints_name_has_256_bytes_and_no_more,
                numbers_of_void_checkpoints_are_not_used_again,
                a_checkpoint_ignores_leases,
                a_rollback_leaves_exactly_the_entries_of_the_checkpoint,
                a_rollback_is_seen_by_another_handle,
                a_rollback_holds_after_a_reopen,
                a_segment_goes_on_after_a_rollback,
                the_keys_of_removed_entries_are_free_again,
                another_handle_forgets_the_keys_of_removed_entries,
                the_keys_of_kept_entries_stand_after_a_rollback,
                a_tail_of_a_segment_that_is_rolled_back_has_diverged,
                a_rollback_is_named_by_changes,
                checkpoints_behind_a_rollback_are_void,
                a_rollback_to_the_end_removes_nothing,
                a_rollback_to_an_unknown_checkpoint_is_not_found,
                a_rollback_of_an_unknown_segment_is_not_found,
                a_rollback_behind_a_fork_of_the_same_session_is_refused,
                a_rollback_behind_a_fork_of_another_session_is_refused,
                a_rollback_behind_a_compaction_is_refused,
                a_refused_rollback_changes_nothing,
                a_rollback_up_to_what_forks_continue_succeeds,
                other_segments_stay_in_a_rollback,
                a_rollback_of_a_leased_segment_is_refused,
                a_rolled_back_segment_can_be_leased,
                a_dry_rollback_changes_nothing,
                a_dry_rollback_is_refused_where_a_real_one_is,
                a_rollback_answers_with_what_it_did,
                a_rollback_is_recorded,
                a_refused_rollback_is_recorded,
                a_rollback_and_appends_at_once_leave_a_whole_log,
                a_repair_of_a_whole_segment_changes_nothing,
                a_repair_of_an_unknown_segment_is_not_found,
                a_new_store_has_no_events,
                recorded_events_come_back_in_order,
                events_are_there_after_a_reopen,
                events_of_another_handle_are_seen,
                a_hole_is_told_until_it_is_acknowledged,
                a_blob_that_nothing_refers_to_is_collected,
                a_blob_that_an_entry_refers_to_is_kept,
                a_blob_that_is_referred_to_deep_within_an_entry_is_kept,
                a_blob_whose_reference_is_spelt_with_escapes_is_kept,
                a_blob_that_a_fact_refers_to_is_kept,
                a_blob_that_a_fact_about_the_store_refers_to_is_kept,
                a_blob_of_entries_that_were_rolled_back_is_kept,
                a_blob_of_a_deleted_session_is_collected,
                nothing_is_collected_while_a_guard_lives,
                a_guard_of_another_handle_keeps_blobs,
                a_dry_collection_removes_nothing,
                a_blob_that_was_collected_can_be_put_again,
                collections_and_puts_at_once_lose_nothing,
            }
            damage {
                a_damaged_entry_is_told_where_it_stands,
                a_scan_goes_on_behind_damage,
                damage_is_never_read_over,
                nothing_is_appended_behind_a_damaged_end,
                salvage_gives_every_valid_entry,
                a_damaged_segment_gets_no_checkpoint,
                damage_behind_a_checkpoint_is_rolled_back,
                damage_before_a_checkpoint_refuses_the_rollback,
                a_repair_keeps_every_valid_entry_at_its_seq,
                a_repaired_segment_says_what_is_lost,
                a_repaired_segment_verifies,
                a_repair_of_a_lost_start_makes_one_that_says_so,
                the_seq_of_a_lost_last_entry_is_not_given_again,
                a_repair_keeps_what_forks_continue,
                a_repair_makes_void_what_does_not_hold_any_more,
                keys_of_kept_entries_stand_after_a_repair,
                a_repair_is_seen_by_another_handle,
                a_repair_is_named_by_changes,
                a_dry_repair_changes_nothing,
                a_repair_is_recorded,
                a_repair_of_a_leased_segment_is_refused,
                nothing_is_collected_beside_damage,
                damaged_facts_are_told_and_never_read_over,
                a_repair_of_facts_keeps_every_other_in_order,
                repaired_facts_are_gone_on_with,
                damaged_facts_keep_nobody_from_the_log,
                facts_about_the_store_are_repaired,
                a_dry_repair_of_facts_changes_nothing,
                a_repair_of_facts_is_recorded,
                a_repair_of_facts_names_the_session_as_changed,
                whole_records_need_no_repair,
                an_unknown_session_has_no_records_to_repair,
            }
            limits {
                an_entry_nested_128_deep_comes_back,
                a_known_kind_nested_128_deep_comes_back,
                an_entry_nested_129_deep_is_refused,
                a_string_of_10_mib_comes_back,
                a_string_of_10_mib_of_escapes_comes_back,
                a_call_of_a_thousand_entries_is_whole,
                the_largest_entry_comes_back,
                an_entry_over_the_largest_is_refused,
                a_call_over_the_largest_is_refused,
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
