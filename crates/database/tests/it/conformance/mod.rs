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

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll};

use database::{DbError, Repository};

pub(crate) use self::{
    dead_letters::*, earlier::*, inbox::*, outbox::*, reads::*, starts::*, units::*,
};

/// A database of its own for one check, empty at first.
pub(crate) trait Backend: Send + Sync + 'static {
    /// Makes the database. It has no schema yet.
    fn empty() -> impl Future<Output = Self>;

    /// Opens it, as another process would.
    fn try_open(&self) -> impl Future<Output = Result<Arc<dyn Repository>, DbError>> + Send;

    /// Opens it where nothing stands in the way.
    fn open(&self) -> impl Future<Output = Arc<dyn Repository>> + Send {
        async { self.try_open().await.unwrap() }
    }

    /// Does behind the store's back what no store does.
    fn execute(&self, statement: &'static str) -> impl Future<Output = ()>;

    /// Makes of all batches what builds wrote that did not count their essays.
    fn uncount_essays(&self) -> impl Future<Output = ()>;

    /// Fingerprint, key, headers and bytes of all dead letters, by fingerprint.
    fn dead_letters(&self) -> impl Future<Output = Vec<StoredDeadLetter>>;
}

pub(crate) type StoredDeadLetter = (String, Option<Vec<u8>>, String, Vec<u8>);

/// One test per check, for one backend.
macro_rules! conformance_tests {
    ($Backend:ty) => {
        conformance_tests! { $Backend:
            r1_committed_rows_are_read_back,
            r2_a_dropped_unit_leaves_nothing,
            r3_the_inbox_knows_what_was_committed,
            r3_an_event_is_not_written_twice,
            r3_an_event_twice_in_one_group_is_one_event,
            r4_units_of_one_batch_wait_for_each_other,
            r4_units_of_one_essay_lose_no_update,
            r4_rows_that_were_not_loaded_are_not_written,
            r5_no_order_of_batches_is_a_deadlock,
            r5_a_unit_has_a_limit,
            r6_pages_are_cut_from_one_order,
            r6_a_filter_counts_what_it_selects,
            r6_a_page_without_batches_has_its_total,
            r7_a_page_is_of_one_moment,
            r7_a_batch_and_its_essays_are_of_one_moment,
            r7_an_essay_is_always_in_one_batch,
            r7_the_batch_that_an_essay_leaves_is_loaded,
            r8_only_registered_batches_are_shown,
            r9_ids_are_opaque,
            r10_a_dead_letter_is_kept_once,
            r10_a_dead_letter_is_kept_whatever_is_in_it,
            r11_ten_thousand_essays_are_one_unit,
            r12_a_cancelled_begin_leaves_no_transaction,
            r12_a_cancelled_unit_is_written_whole_or_not_at_all,
            r13_many_may_start_at_once,
            r13_a_newer_schema_does_not_stop_a_start,
            r13_a_changed_migration_does,
            r13_a_newer_schema_that_breaks_this_build_does,
            r14_an_unreadable_document_is_an_error,
            r14_a_document_of_a_newer_build_is_told_apart,
            r14_fields_of_a_newer_build_are_kept,
            r15_an_outgoing_event_is_kept_as_it_was_made,
            r15_a_dropped_unit_announces_nothing,
            r15_an_outgoing_event_is_kept_once,
            r16_positions_ascend_as_units_commit,
            r17_there_is_one_claim_at_a_time,
            r17_a_dropped_claim_is_free_and_marks_nothing,
            r17_a_cancelled_claim_is_free,
            r17_a_claim_holds_up_no_writer,
            r18_a_claim_is_in_order_and_within_its_limits,
            r18_keys_may_be_left_out,
            r18_topics_may_be_left_out,
            r19_what_is_published_is_not_claimed_again,
            r19_many_who_send_send_each_record_once_and_in_order,
            r20_a_read_goes_on_after_a_position,
            r19_the_depth_is_what_is_not_published,
            r21_removal_takes_what_was_published_long_ago,
            r21_removal_takes_what_was_written_long_ago,
            r21_no_position_is_given_out_again,
            r22_a_commit_rings_the_bells,
            r23_an_inbox_emptied_by_retention_is_no_new_database,
            r23_only_what_cannot_come_again_is_forgotten,
            r23_another_topic_s_beginning_says_nothing,
            r23_a_later_copy_is_remembered,
            r23_what_nobody_noted_the_place_of_is_kept,
            r24_each_row_is_looked_at_in_one_stretch,
            r25_an_id_is_never_given_again,
            r26_a_list_has_what_its_query_selects,
            r26_pages_show_each_dead_letter_once,
            r26_a_filter_that_nothing_passes_looks_at_a_part_of_them,
            r27_a_dead_letter_is_read_back_as_it_was_kept,
            r27_a_dead_letter_of_an_older_program_came_when_it_was_refused,
            r28_a_dead_letter_is_removed_once,
            r28_a_dead_letter_that_was_refused_again_is_not_removed,
            r29_a_refusal_is_all_that_changes,
            r30_the_oldest_dead_letters_are_removed_first,
            r30_dead_letters_that_share_one_time_are_removed_chunk_by_chunk,
            r31_what_dead_letters_take_is_known_after_each_change,
            r32_rows_of_a_build_that_counted_no_essays_are_read,
            r32_the_next_event_counts_them,
            r33_records_that_are_kept_already_are_known,
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

/// Drops `future` right after it was polled that often, if it has not ended by then.
async fn cancelled_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
