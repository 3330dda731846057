//! The states of a batch: as the platform names them, and as clients see them.
//!
//! The state of a batch is computed in `registered_batch`.

use crate::names::named_values;

named_values! {
    /// State of a batch inside the platform.
    pub enum BatchStatus {
        /// Registered; the contents of the essays are not confirmed.
        AwaitingContentValidation = "awaiting_content_validation",
        /// The contents could not be ingested.
        ContentIngestionFailed = "content_ingestion_failed",
        /// Contents confirmed; no pipeline is configured.
        AwaitingPipelineConfiguration = "awaiting_pipeline_configuration",
        /// A pipeline can be started.
        ReadyForPipelineExecution = "ready_for_pipeline_execution",
        /// At least one phase has begun.
        ProcessingPipelines = "processing_pipelines",
        /// Waits for the teacher to match students to essays.
        AwaitingStudentValidation = "awaiting_student_validation",
        /// The teacher has matched students to essays.
        StudentValidationCompleted = "student_validation_completed",
        /// The teacher did not match students in time; processing went on without.
        ValidationTimeoutProcessed = "validation_timeout_processed",
        /// Every essay completed every phase.
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
        /// Ready to start.
        Ready = "ready",
        /// In progress.
        Processing = "processing",
        /// Succeeded.
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
    /// Stage of the processing in an event. Checked in records, not kept.
    pub enum ProcessingStage {
        /// Not started.
        Pending = "pending",
        /// Initialized.
        Initialized = "initialized",
        /// In progress.
        Processing = "processing",
        /// Succeeded.
        Completed = "completed",
        /// Failed.
        Failed = "failed",
        /// Stopped on request.
        Cancelled = "cancelled",
    }
}

impl BatchStatus {
    /// The state as clients see it.
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

    /// Whether processing has ended.
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

/// Vocabulary for the state of a batch in answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StatusValues {
    /// The states for clients: [`BatchStatus::client`].
    #[default]
    Client,
    /// The states of the platform, for clients that map them themselves.
    Internal,
}

impl StatusValues {
    /// The name of a state.
    pub const fn name(self, status: BatchStatus) -> &'static str {
        match self {
            Self::Client => status.client().as_str(),
            Self::Internal => status.as_str(),
        }
    }
}

/// Meaning of the `status` filter of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFilter {
    /// One state of the platform.
    Internal(BatchStatus),
    /// Every state that clients see as this one.
    Client(ClientStatus),
}

/// The error for a name that is not a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown status, allowed: {}", allowed.join(", "))]
pub struct UnknownStatus {
    /// Every allowed name.
    pub allowed: Vec<&'static str>,
}

impl StatusFilter {
    /// The states that a filter selects. The empty string means no filter: an empty list.
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
    /// [`UnknownStatus`] with all allowed names.
    pub fn parse(name: &str) -> Result<Vec<BatchStatus>, UnknownStatus> {
        if name.is_empty() {
            return Ok(Vec::new());
        }
        // A name that is both means the state of the platform.
        let filter = BatchStatus::parse(name)
            .map(Self::Internal)
            .or_else(|| ClientStatus::parse(name).map(Self::Client))
            .ok_or_else(|| UnknownStatus { allowed: Self::names() })?;
        Ok(filter.statuses())
    }

    /// The selected states, in the order of declaration.
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

    /// Every allowed name once, those of the platform first.
    pub fn names() -> Vec<&'static str> {
        let internal = BatchStatus::ALL.iter().map(|status| status.as_str());
        let client = ClientStatus::ALL.iter().map(|status| status.as_str());
        internal.chain(client.filter(|name| BatchStatus::parse(name).is_none())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_accepts_client_and_platform_names() {
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
    fn internal_values_are_platform_names() {
        for status in BatchStatus::ALL.iter().copied() {
            assert_eq!(StatusValues::Client.name(status), status.client().as_str());
            assert_eq!(StatusValues::Internal.name(status), status.as_str());
        }
        assert_eq!(StatusValues::default(), StatusValues::Client, "the contract");
    }

    #[test]
    fn unknown_filter_error_lists_the_allowed_names() {
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
    fn every_client_status_has_a_batch_status() {
        let seen: std::collections::BTreeSet<_> =
            BatchStatus::ALL.iter().map(|status| status.client()).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ClientStatus::ALL);
    }
}
