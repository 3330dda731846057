//! Tally of a batch: the number of its essays with each progress. The state and the counts of the
//! batch are computed from it.
//!
//! It is part of the row of the batch, so that an event needs only the essays that it names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::phase::{PhaseEnd, PhaseName};

/// Progress of an essay, as far as its batch needs it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct EssayProgress {
    /// Whether the batch was registered with the essay. Only such essays are counted for clients.
    #[serde(rename = "registered")]
    pub(crate) is_registered: bool,
    /// The phases that the essay has begun.
    pub(crate) phases: BTreeMap<PhaseName, PhaseState>,
}

/// State of an essay in a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PhaseState {
    Begun,
    Completed,
    Failed,
}

/// The essays that belong to a batch, counted by their progress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Entry>", into = "Vec<Entry>")]
pub(crate) struct Tally(BTreeMap<EssayProgress, u32>);

/// An entry of a tally in a document.
#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    progress: EssayProgress,
    essays: u32,
}

impl From<Option<PhaseEnd>> for PhaseState {
    fn from(end: Option<PhaseEnd>) -> Self {
        match end {
            None => Self::Begun,
            Some(PhaseEnd::Completed) => Self::Completed,
            Some(PhaseEnd::Failed) => Self::Failed,
        }
    }
}

impl EssayProgress {
    /// End of a phase, if it has ended.
    pub(crate) fn end_of(&self, phase: PhaseName) -> Option<PhaseEnd> {
        match self.phases.get(&phase)? {
            PhaseState::Begun => None,
            PhaseState::Completed => Some(PhaseEnd::Completed),
            PhaseState::Failed => Some(PhaseEnd::Failed),
        }
    }

    /// Whether any phase failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.phases.values().any(|state| *state == PhaseState::Failed)
    }
}

impl Tally {
    /// The tally of all essays of a batch, given the progress of each.
    pub(crate) fn of(essays: impl IntoIterator<Item = EssayProgress>) -> Self {
        let mut tally = Self::default();
        essays.into_iter().for_each(|progress| tally.add(progress));
        tally
    }

    /// Counts an essay.
    pub(crate) fn add(&mut self, progress: EssayProgress) {
        *self.0.entry(progress).or_default() += 1;
    }

    /// Removes an essay with this progress. False: no such essay is counted, so the tally is wrong,
    /// and all essays of the batch must be counted again.
    ///
    /// The fold never produces a wrong tally; a document that was edited by hand may have one, or
    /// one of another build that computes another progress from the same facts.
    #[must_use]
    pub(crate) fn remove(&mut self, progress: &EssayProgress) -> bool {
        let Some(essays) = self.0.get_mut(progress) else { return false };
        *essays -= 1;
        if *essays == 0 {
            self.0.remove(progress);
        }
        true
    }

    /// Every progress that some essay has.
    pub(crate) fn progress_values(&self) -> impl Iterator<Item = &EssayProgress> {
        self.0.keys()
    }

    /// Number of essays, of those the batch was registered with, whose progress satisfies a
    /// condition.
    pub(crate) fn count(&self, is_counted: impl Fn(&EssayProgress) -> bool) -> u32 {
        let counted = self.0.iter().filter(|(progress, _)| progress.is_registered);
        let counted = counted.filter(|(progress, _)| is_counted(progress));
        counted.map(|(_, essays)| essays).sum()
    }
}

impl From<Vec<Entry>> for Tally {
    fn from(entries: Vec<Entry>) -> Self {
        let entries = entries.into_iter().filter(|entry| entry.essays > 0);
        Self(entries.map(|Entry { progress, essays }| (progress, essays)).collect())
    }
}

impl From<Tally> for Vec<Entry> {
    fn from(tally: Tally) -> Self {
        let entry = |(progress, essays)| Entry { progress, essays };
        tally.0.into_iter().map(entry).collect()
    }
}
