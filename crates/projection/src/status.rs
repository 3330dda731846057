//! The states of a batch: as the platform names them, and as a client sees them.
//!
//! What makes a batch reach a state is `folder`'s business, not this file's.

use crate::names::named_values;

named_values! {
    /// State of a batch inside the platform.
    pub enum BatchStatus {
        /// Registered, its essays' contents not confirmed.
        AwaitingContentValidation = "awaiting_content_validation",
        /// The contents could not be taken in.
        ContentIngestionFailed = "content_ingestion_failed",
        /// Contents confirmed, no pipeline chosen.
        AwaitingPipelineConfiguration = "awaiting_pipeline_configuration",
        /// A pipeline can be started.
        ReadyForPipelineExecution = "ready_for_pipeline_execution",
        /// At least one phase has begun.
        ProcessingPipelines = "processing_pipelines",
        /// Students are to be matched to essays by the teacher.
        AwaitingStudentValidation = "awaiting_student_validation",
        /// The teacher has matched students to essays.
        StudentValidationCompleted = "student_validation_completed",
        /// The teacher did not match in time; processing went on without.
        ValidationTimeoutProcessed = "validation_timeout_processed",
        /// Every essay went through every phase.
        CompletedSuccessfully = "completed_successfully",
        /// Processing ended; some essays failed.
        CompletedWithFailures = "completed_with_failures",
        /// Processing ended without a result.
        FailedCritically = "failed_critically",
        /// Stopped on request.
        Cancelled = "cancelled",
    }
}

named_values! {
    /// State of a batch as a client sees it.
    pub enum ClientStatus {
        /// Waiting for contents or configuration.
        PendingContent = "pending_content",
        /// Can be started.
        Ready = "ready",
        /// Under way.
        Processing = "processing",
        /// Ended well.
        CompletedSuccessfully = "completed_successfully",
        /// Ended; some essays failed.
        CompletedWithFailures = "completed_with_failures",
        /// Ended without a result.
        Failed = "failed",
        /// Stopped on request.
        Cancelled = "cancelled",
    }
}

named_values! {
    /// Where the sender of an event was in its work. Checked in records, not kept.
    pub enum ProcessingStage {
        /// Not begun.
        Pending = "pending",
        /// Set up.
        Initialized = "initialized",
        /// Under way.
        Processing = "processing",
        /// Ended well.
        Completed = "completed",
        /// Ended badly.
        Failed = "failed",
        /// Stopped on request.
        Cancelled = "cancelled",
    }
}

impl BatchStatus {
    /// What a client sees of this state.
    pub const fn client(self) -> ClientStatus {
        match self {
            Self::AwaitingContentValidation | Self::AwaitingPipelineConfiguration => {
                ClientStatus::PendingContent
            }
            Self::ReadyForPipelineExecution => ClientStatus::Ready,
            Self::ProcessingPipelines
            | Self::AwaitingStudentValidation
            | Self::StudentValidationCompleted
            | Self::ValidationTimeoutProcessed => ClientStatus::Processing,
            Self::CompletedSuccessfully => ClientStatus::CompletedSuccessfully,
            Self::CompletedWithFailures => ClientStatus::CompletedWithFailures,
            Self::ContentIngestionFailed | Self::FailedCritically => ClientStatus::Failed,
            Self::Cancelled => ClientStatus::Cancelled,
        }
    }

    /// Whether processing has ended, well or badly.
    pub const fn is_terminal(self) -> bool {
        match self.client() {
            ClientStatus::CompletedSuccessfully
            | ClientStatus::CompletedWithFailures
            | ClientStatus::Failed
            | ClientStatus::Cancelled => true,
            ClientStatus::PendingContent | ClientStatus::Ready | ClientStatus::Processing => false,
        }
    }
}

/// In which words the answers name the state of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StatusValues {
    /// As a client sees it: [`BatchStatus::client`].
    #[default]
    Client,
    /// As the platform names it, for clients that translate by themselves.
    Internal,
}

impl StatusValues {
    /// The word for a state.
    pub const fn name(self, status: BatchStatus) -> &'static str {
        match self {
            Self::Client => status.client().as_str(),
            Self::Internal => status.as_str(),
        }
    }
}

/// What the word in a list's `status` filter stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFilter {
    /// One state inside the platform.
    Internal(BatchStatus),
    /// Every state that a client sees as this one.
    Client(ClientStatus),
}

/// A word that is no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown status, allowed: {}", allowed.join(", "))]
pub struct UnknownStatus {
    /// Every word that is one.
    pub allowed: Vec<&'static str>,
}

impl StatusFilter {
    /// The states that a filter's word selects. The empty word selects nothing in particular: an
    /// empty list, which stands for no filter.
    ///
    /// ```
    /// use projection::{BatchStatus, StatusFilter};
    ///
    /// let selected = StatusFilter::parse("failed")?;
    /// assert_eq!(selected, [BatchStatus::ContentIngestionFailed, BatchStatus::FailedCritically]);
    /// assert!(StatusFilter::parse("")?.is_empty());
    /// # Ok::<(), projection::UnknownStatus>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`UnknownStatus`] with all allowed words.
    pub fn parse(word: &str) -> Result<Vec<BatchStatus>, UnknownStatus> {
        if word.is_empty() {
            return Ok(Vec::new());
        }
        // A word that is both means the state inside the platform.
        let filter = BatchStatus::parse(word)
            .map(Self::Internal)
            .or_else(|| ClientStatus::parse(word).map(Self::Client))
            .ok_or_else(|| UnknownStatus { allowed: Self::words() })?;
        Ok(filter.statuses())
    }

    /// The states it selects, in the order of declaration.
    pub fn statuses(self) -> Vec<BatchStatus> {
        match self {
            Self::Internal(status) => vec![status],
            Self::Client(client) => BatchStatus::ALL
                .iter()
                .copied()
                .filter(|status| status.client() == client)
                .collect(),
        }
    }

    /// Every allowed word once, the platform's own first.
    fn words() -> Vec<&'static str> {
        let internal = BatchStatus::ALL.iter().map(|status| status.as_str());
        let client = ClientStatus::ALL.iter().map(|status| status.as_str());
        internal.chain(client.filter(|word| BatchStatus::parse(word).is_none())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_selects_by_either_name() {
        #[track_caller]
        fn check(word: &str, want: &[&str]) {
            let got: Vec<_> =
                StatusFilter::parse(word).unwrap().iter().map(|status| status.as_str()).collect();
            assert_eq!(got, want, "{word}");
        }

        check("", &[]);
        check(
            "pending_content",
            &["awaiting_content_validation", "awaiting_pipeline_configuration"],
        );
        check("ready", &["ready_for_pipeline_execution"]);
        check(
            "processing",
            &[
                "processing_pipelines",
                "awaiting_student_validation",
                "student_validation_completed",
                "validation_timeout_processed",
            ],
        );
        check("failed", &["content_ingestion_failed", "failed_critically"]);
        for status in BatchStatus::ALL {
            check(status.as_str(), &[status.as_str()]);
        }
    }

    #[test]
    fn internal_values_are_the_platforms_own() {
        for status in BatchStatus::ALL.iter().copied() {
            assert_eq!(StatusValues::Client.name(status), status.client().as_str());
            assert_eq!(StatusValues::Internal.name(status), status.as_str());
        }
        assert_eq!(StatusValues::default(), StatusValues::Client, "the contract");
    }

    #[test]
    fn another_word_is_answered_with_the_allowed_ones() {
        for word in ["nope", "Failed", " failed", "failed,ready", "\0"] {
            let allowed = StatusFilter::parse(word).unwrap_err().allowed;
            assert_eq!(allowed.len(), 16, "12 and 7, of which 3 are both: {word:?}");
            assert!(allowed.iter().all(|word| StatusFilter::parse(word).is_ok()));
        }
        let text = StatusFilter::parse("nope").unwrap_err().to_string();
        assert!(text.starts_with("unknown status, allowed: awaiting_content_validation, "));
        assert!(text.ends_with(", pending_content, ready, processing, failed"));
    }

    #[test]
    fn every_state_is_seen_as_something_and_every_sight_has_a_state() {
        let seen: std::collections::BTreeSet<_> =
            BatchStatus::ALL.iter().map(|status| status.client()).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ClientStatus::ALL);
    }
}
