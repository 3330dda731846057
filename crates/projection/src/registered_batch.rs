//! A registered batch with its essays: its state, its counts and its current phase.
//!
//! Everything here is a pure function of the row of the batch, in which its essays are counted.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::batch::{Batch, Registration};
use crate::join::Latest;
use crate::phase::{PhaseEnd, PhaseName};
use crate::status::BatchStatus;
use crate::tally::{EssayProgress, Tally};

/// The phases that must end before a batch is finished, in the order in which they run.
pub(crate) const DECISIVE_PHASES: [PhaseName; 2] = [PhaseName::Spellcheck, PhaseName::CjAssessment];

/// A registered batch with its essays.
#[derive(Clone, Debug)]
pub(crate) struct RegisteredBatch<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) registration: &'a Registration,
    /// Every essay that belongs to the batch, counted.
    tally: Cow<'a, Tally>,
}

/// Numbers of completed and failed essays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) completed: u32,
    pub(crate) failed: u32,
}

impl<'a> RegisteredBatch<'a> {
    /// A batch with the tally of **all** its essays. None if it is not registered.
    pub(crate) fn new(batch: &'a Batch, tally: Cow<'a, Tally>) -> Option<Self> {
        let registration = batch.registration()?;
        Some(Self { batch, registration, tally })
    }

    /// State of the batch: the first rule that holds.
    pub(crate) fn status(&self) -> BatchStatus {
        // From the last step of processing to the first, so that a late fact about an earlier step
        // does not hide a fact about a later one.
        if let Some(pipeline) = self.batch.pipeline() {
            pipeline.value().final_status
        } else if self.batch.has_failed_critically() {
            BatchStatus::FailedCritically
        } else if self.is_finished() {
            self.status_when_finished()
        } else if self.reported_phases().is_empty() {
            BatchStatus::AwaitingContentValidation
        } else {
            BatchStatus::ProcessingPipelines
        }
    }

    fn status_when_finished(&self) -> BatchStatus {
        if self.tally.count(EssayProgress::has_failed) > 0 {
            BatchStatus::CompletedWithFailures
        } else {
            BatchStatus::CompletedSuccessfully
        }
    }

    /// The counts that a client sees. Their sum is at most the number of essays of the batch.
    pub(crate) fn counts(&self) -> Counts {
        self.clamped(match self.batch.pipeline().map(Latest::value) {
            Some(outcome) => Counts {
                completed: outcome.successful_essay_count,
                failed: outcome.failed_essay_count,
            },
            None => self.counts_so_far(),
        })
    }

    /// Reported counts, reduced so that their sum is at most the number of essays of the batch.
    pub(crate) fn clamped(&self, counts: Counts) -> Counts {
        let essay_count = *self.registration.essay_count.value();
        // Failures are kept first, so that no success hides one.
        let failed = counts.failed.min(essay_count);
        Counts { completed: counts.completed.min(essay_count - failed), failed }
    }

    fn counts_so_far(&self) -> Counts {
        let phases = self.reported_phases();
        let is_completed = |essay: &EssayProgress| {
            !phases.is_empty()
                && phases.iter().all(|phase| essay.end_of(*phase) == Some(PhaseEnd::Completed))
        };
        Counts {
            completed: self.tally.count(|essay| !essay.has_failed() && is_completed(essay)),
            failed: self.tally.count(EssayProgress::has_failed),
        }
    }

    /// Numbers of essays for which a phase has ended.
    pub(crate) fn counts_of(&self, phase: PhaseName) -> Counts {
        let count = |end| self.tally.count(|essay| essay.end_of(phase) == Some(end));
        Counts { completed: count(PhaseEnd::Completed), failed: count(PhaseEnd::Failed) }
    }

    /// The current phase, if the batch is being processed.
    pub(crate) fn current_phase(&self) -> Option<PhaseName> {
        if self.status() != BatchStatus::ProcessingPipelines {
            return None;
        }
        DECISIVE_PHASES.into_iter().find(|phase| self.has_open(*phase))
    }

    /// Whether the decisive phases have ended for every listed essay. A batch without essays is
    /// never finished.
    fn is_finished(&self) -> bool {
        let is_empty = self.registration.listed_essay_count() == 0;
        !is_empty && !DECISIVE_PHASES.into_iter().any(|phase| self.has_open(phase))
    }

    /// Whether a phase has not ended for some listed essay. For an essay that belongs to another
    /// batch, which registered it earlier, it has not.
    fn has_open(&self, phase: PhaseName) -> bool {
        let ended = self.tally.count(|essay| essay.end_of(phase).is_some());
        ended < self.registration.listed_essay_count()
    }

    /// The phases with any fact about the batch or one of its essays.
    fn reported_phases(&self) -> BTreeSet<PhaseName> {
        let of_essays = self.tally.progress_values().flat_map(|essay| essay.phases.keys().copied());
        self.batch.reported_phases().chain(of_essays).collect()
    }
}
