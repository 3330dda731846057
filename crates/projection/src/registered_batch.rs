//! A registered batch with its essays, and what follows from both together: its state, its counts,
//! the phase it is in.
//!
//! Everything here is a pure function of the batch's row, in which its essays are counted.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::batch::{Batch, Registration};
use crate::join::Latest;
use crate::phase::{End, PhaseName};
use crate::status::BatchStatus;
use crate::tally::{Standing, Tally};

/// The phases without whose end no batch is finished, in the order in which they run.
pub(crate) const DECISIVE_PHASES: [PhaseName; 2] = [PhaseName::Spellcheck, PhaseName::CjAssessment];

/// A registered batch with its essays.
#[derive(Clone, Debug)]
pub(crate) struct RegisteredBatch<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) registration: &'a Registration,
    /// Every essay that belongs to the batch, counted.
    tally: Cow<'a, Tally>,
}

/// How many essays came to which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) completed: u32,
    pub(crate) failed: u32,
}

impl<'a> RegisteredBatch<'a> {
    /// A batch with the tally of **all** its essays. None: it is not registered, so there is nothing
    /// to say.
    pub(crate) fn new(batch: &'a Batch, tally: Cow<'a, Tally>) -> Option<Self> {
        let registration = batch.registration()?;
        Some(Self { batch, registration, tally })
    }

    /// The state of the batch: the first rule that holds.
    pub(crate) fn status(&self) -> BatchStatus {
        // From the last step of processing to the first, so that a fact which arrives early is not
        // hidden by one that arrives late.
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
        if self.tally.count(Standing::has_failed) > 0 {
            BatchStatus::CompletedWithFailures
        } else {
            BatchStatus::CompletedSuccessfully
        }
    }

    /// The counts that a client sees: together never more than the batch has essays.
    pub(crate) fn counts(&self) -> Counts {
        self.limited(match self.batch.pipeline().map(Latest::value) {
            Some(outcome) => Counts {
                completed: outcome.successful_essay_count,
                failed: outcome.failed_essay_count,
            },
            None => self.counts_so_far(),
        })
    }

    /// Counts that somebody told, so that together they are never more than the batch has essays.
    pub(crate) fn limited(&self, counts: Counts) -> Counts {
        let essay_count = *self.registration.essay_count.value();
        // A failure is not to be hidden by a success, so it has the first place.
        let failed = counts.failed.min(essay_count);
        Counts { completed: counts.completed.min(essay_count - failed), failed }
    }

    fn counts_so_far(&self) -> Counts {
        let phases = self.reported_phases();
        let is_completed = |essay: &Standing| {
            !phases.is_empty()
                && phases.iter().all(|phase| essay.end_of(*phase) == Some(End::Completed))
        };
        Counts {
            completed: self.tally.count(|essay| !essay.has_failed() && is_completed(essay)),
            failed: self.tally.count(Standing::has_failed),
        }
    }

    /// How many essays a phase has ended for.
    pub(crate) fn counts_of(&self, phase: PhaseName) -> Counts {
        let count = |end| self.tally.count(|essay| essay.end_of(phase) == Some(end));
        Counts { completed: count(End::Completed), failed: count(End::Failed) }
    }

    /// The phase that the batch is in, if it is in any.
    pub(crate) fn current_phase(&self) -> Option<PhaseName> {
        if self.status() != BatchStatus::ProcessingPipelines {
            return None;
        }
        DECISIVE_PHASES.into_iter().find(|phase| self.has_open(*phase))
    }

    /// Whether every expected essay has come to an end in the decisive phases. A batch without
    /// essays has nothing to finish.
    fn is_finished(&self) -> bool {
        let is_empty = self.registration.listed_essay_count() == 0;
        !is_empty && !DECISIVE_PHASES.into_iter().any(|phase| self.has_open(phase))
    }

    /// Whether an expected essay has not come to its end in a phase. One that another batch
    /// registered earlier, and so is not here, has not.
    fn has_open(&self, phase: PhaseName) -> bool {
        let ended = self.tally.count(|essay| essay.end_of(phase).is_some());
        ended < self.registration.listed_essay_count()
    }

    /// The phases of which there is any fact, about the batch or one of its essays.
    fn reported_phases(&self) -> BTreeSet<PhaseName> {
        let of_essays = self.tally.standings().flat_map(|essay| essay.phases.keys().copied());
        self.batch.reported_phases().chain(of_essays).collect()
    }
}
