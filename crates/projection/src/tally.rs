//! How many essays of a batch stand where: what the state and the counts of the batch rest on.
//!
//! Kept in the row of the batch, so that an event needs the essays that it names and no others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::essay::Essay;
use crate::phase::{End, PhaseName};

/// Where an essay stands, as far as its batch is concerned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// Whether its batch was registered with it. Only these essays are counted for clients.
    #[serde(rename = "registered")]
    pub(crate) is_registered: bool,
    /// The phases that it has begun.
    pub(crate) phases: BTreeMap<PhaseName, Step>,
}

/// How far an essay has come in a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    Begun,
    Completed,
    Failed,
}

/// The essays that belong to a batch, counted by where they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Entry>", into = "Vec<Entry>")]
pub(crate) struct Tally(BTreeMap<Standing, u32>);

/// An entry of a tally as a document has it.
#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    standing: Standing,
    essays: u32,
}

impl From<Option<End>> for Step {
    fn from(end: Option<End>) -> Self {
        match end {
            None => Self::Begun,
            Some(End::Completed) => Self::Completed,
            Some(End::Failed) => Self::Failed,
        }
    }
}

impl Standing {
    /// How a phase ended, if it has.
    pub(crate) fn end_of(&self, phase: PhaseName) -> Option<End> {
        match self.phases.get(&phase)? {
            Step::Begun => None,
            Step::Completed => Some(End::Completed),
            Step::Failed => Some(End::Failed),
        }
    }

    /// Whether any phase ended badly.
    pub(crate) fn has_failed(&self) -> bool {
        self.phases.values().any(|step| *step == Step::Failed)
    }
}

impl Tally {
    /// The tally of all essays of a batch.
    pub(crate) fn of<'a>(essays: impl IntoIterator<Item = &'a Essay>) -> Self {
        let mut tally = Self::default();
        for essay in essays {
            tally.add(essay.standing());
        }
        tally
    }

    pub(crate) fn add(&mut self, standing: Standing) {
        *self.0.entry(standing).or_default() += 1;
    }

    /// Takes out an essay that stood there. False: none was counted there, so the tally is wrong, and
    /// all essays of the batch have to be counted again.
    ///
    /// The fold never leaves such a tally; a document that somebody altered may have one, or one of
    /// another build for which the same facts are another standing.
    #[must_use]
    pub(crate) fn remove(&mut self, standing: &Standing) -> bool {
        let Some(essays) = self.0.get_mut(standing) else { return false };
        *essays -= 1;
        if *essays == 0 {
            self.0.remove(standing);
        }
        true
    }

    /// Every standing of any essay.
    pub(crate) fn standings(&self) -> impl Iterator<Item = &Standing> {
        self.0.keys()
    }

    /// How many essays that the batch was registered with stand somewhere.
    pub(crate) fn count(&self, is_counted: impl Fn(&Standing) -> bool) -> u32 {
        let counted = self.0.iter().filter(|(standing, _)| standing.is_registered);
        let counted = counted.filter(|(standing, _)| is_counted(standing));
        counted.map(|(_, essays)| essays).sum()
    }
}

impl From<Vec<Entry>> for Tally {
    fn from(entries: Vec<Entry>) -> Self {
        let entries = entries.into_iter().filter(|entry| entry.essays > 0);
        Self(entries.map(|Entry { standing, essays }| (standing, essays)).collect())
    }
}

impl From<Tally> for Vec<Entry> {
    fn from(tally: Tally) -> Self {
        let entry = |(standing, essays)| Entry { standing, essays };
        tally.0.into_iter().map(entry).collect()
    }
}
