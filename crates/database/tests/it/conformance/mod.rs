//! The rules of the repositories, each as a check that any database can be put to.
//!
//! The name of a check starts with the number of its rule.

mod dead_letters;
mod earlier;
mod inbox;
mod outbox;
mod reads;
mod starts;
mod units;
mod versions;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use database::{DbError, Repository};

pub(crate) use self::{
    dead_letters::*, earlier::*, inbox::*, outbox::*, reads::*, starts::*, units::*, versions::*,
};

/// A database of its own for one check, empty at first.
pub(crate) trait Backend: Send + Sync + 'static {
    /// Creates the database, without a schema.
    fn empty() -> impl Future<Output = Self>;

    /// Opens it, as another process would.
    fn try_open(&self) -> impl Future<Output = Result<Arc<dyn Repository>, DbError>> + Send;

    /// Opens it, and expects that to succeed.
    fn open(&self) -> impl Future<Output = Arc<dyn Repository>> + Send {
        async { self.try_open().await.unwrap() }
    }

    /// Runs a statement on the database, bypassing the repository.
    fn execute(&self, statement: &'static str) -> impl Future<Output = ()>;

    /// Rewrites all batches as a build wrote them that did not count essays.
    fn uncount_essays(&self) -> impl Future<Output = ()>;

    /// Fingerprint, key, headers and bytes of all dead letters, by fingerprint.
    fn dead_letters(&self) -> impl Future<Output = Vec<DeadLetterColumns>>;
}

pub(crate) type DeadLetterColumns = (String, Option<Vec<u8>>, String, Vec<u8>);

/// One test per check, for one backend.
macro_rules! conformance_tests {
    ($Backend:ty) => {
        conformance_tests! { $Backend:
            r1_committed_rows_are_read_back,
            r2_dropped_unit_leaves_nothing,
            r3_inbox_has_exactly_the_committed_events,
            r3_event_written_twice_is_a_conflict,
            r3_event_twice_in_one_unit_is_one_event,
            r4_units_of_one_batch_wait_for_each_other,
            r4_units_of_one_essay_lose_no_update,
            r4_rows_that_were_not_loaded_are_rejected,
            r5_units_locking_in_any_order_never_deadlock,
            r5_unit_above_the_batch_limit_is_refused,
            r6_pages_are_slices_of_one_order,
            r6_filtered_page_has_the_filtered_total,
            r6_empty_page_has_its_total,
            r7_page_is_one_snapshot,
            r7_batch_and_essays_are_one_snapshot,
            r7_essay_is_always_in_one_batch,
            r7_current_batch_of_a_moving_essay_is_loaded,
            r8_only_registered_batches_are_shown,
            r9_ids_are_opaque,
            r10_dead_letter_is_stored_once,
            r10_dead_letter_is_stored_whatever_its_content,
            r11_unit_writes_ten_thousand_essays,
            r12_cancelled_begin_leaves_no_transaction,
            r12_cancelled_unit_is_atomic,
            r13_concurrent_starts_on_an_empty_database_succeed,
            r13_compatible_newer_schema_is_accepted,
            r13_changed_migration_is_refused,
            r13_breaking_newer_schema_is_refused,
            r14_unreadable_document_is_corrupt,
            r14_document_of_a_newer_format_is_recognised,
            r14_fields_of_a_newer_build_are_kept,
            r15_outgoing_event_is_stored_unchanged,
            r15_dropped_unit_writes_no_outgoing_event,
            r15_outgoing_event_is_stored_once,
            r16_positions_ascend_in_commit_order,
            r17_second_claim_is_refused_while_one_is_held,
            r17_dropped_claim_is_released_and_marks_nothing,
            r17_cancelled_claim_is_released,
            r17_claim_blocks_no_writer,
            r18_claim_is_ordered_and_within_its_limits,
            r18_skipped_keys_are_not_claimed,
            r18_skipped_topics_are_not_claimed,
            r19_published_records_are_not_claimed_again,
            r19_concurrent_senders_send_each_record_once_in_order,
            r20_read_continues_after_a_position,
            r19_depth_counts_unpublished_records,
            r21_remove_published_takes_the_oldest_published,
            r21_remove_written_takes_the_oldest_written,
            r21_positions_are_never_reused,
            r22_commit_wakes_all_notifiers,
            r23_inbox_emptied_by_retention_is_not_a_new_database,
            r23_only_events_that_cannot_be_redelivered_are_purged,
            r23_log_start_of_another_topic_purges_nothing,
            r23_offset_of_a_later_copy_is_recorded,
            r23_event_without_recorded_offsets_is_kept,
            r24_each_row_is_in_one_chunk,
            r25_ids_are_never_reused,
            r26_list_has_exactly_the_selected_dead_letters,
            r26_pages_show_each_dead_letter_once,
            r26_filtered_page_scans_a_limited_number,
            r27_dead_letter_is_read_back_unchanged,
            r27_missing_received_at_is_the_time_of_refusal,
            r28_dead_letter_is_deleted_once,
            r28_dead_letter_refused_again_is_not_deleted,
            r29_refusing_again_changes_only_the_refusal,
            r30_oldest_dead_letters_are_purged_first,
            r30_dead_letters_of_one_time_are_purged_in_chunks,
            r31_usage_follows_each_change,
            r32_uncounted_rows_are_read,
            r32_next_event_counts_the_essays,
            r35_change_raises_the_versions_of_its_owners,
            r35_change_of_an_essay_alone_raises_the_versions,
            r35_nothing_new_raises_no_version,
            r35_dropped_unit_raises_no_version,
            r35_unit_raises_a_version_once,
            r35_concurrent_units_of_one_user_each_raise_its_version,
            r35_read_has_the_version_of_its_snapshot,
            r36_commit_is_heard_by_all_that_listen,
            r36_versions_of_several_users_are_read_at_once,
            r33_stored_records_are_recognised,
            r34_groups_count_the_newest_dead_letters,
            r37_applied_events_and_dead_letters_are_known,
        }
    };
    ($Backend:ty: $($check:ident,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $check() {
                let backend = <$Backend as crate::conformance::Backend>::empty().await;
                crate::conformance::$check(backend).await;
            }
        )+
    };
}
pub(crate) use conformance_tests;

/// Drops `future` after so many polls, unless it is ready by then.
async fn cancelled_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polls_left = polls;
    poll_fn(|context| {
        if polls_left == 0 {
            return Poll::Ready(None);
        }
        polls_left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polls_left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
