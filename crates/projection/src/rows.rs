//! Rows in memory, and the fold that applies an event to them.
//!
//! Loading and writing rows is the job of `database`. The fold makes no difference between a loaded
//! and a new row: if the [`Needs`] of an event were loaded, no row is missing.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::batch::{Batch, JOBS_PER_BATCH_MAX, RUNS_PER_BATCH_MAX};
use crate::essay::{Claim, Essay};
use crate::event::{
    AssessmentResult, BatchEssaysRegistered, BatchPhaseOutcome, BatchPipelineCompleted,
    EssaySlotAssigned, Event, Fact, Needs, SpellcheckResult,
};
use crate::excerpt::excerpt;
use crate::ids::{BatchId, CorrelationId, EssayId};
use crate::join::{Revision, Source};
use crate::phase::PhaseEnd;
use crate::refusal::{Refusal, RefusalCode};
use crate::registered_batch::RegisteredBatch;
use crate::status::BatchStatus;
use crate::tally::Tally;

/// Most essays that all registrations of one batch may list together. A batch is a few
/// classes at most; without a limit a row could grow until the database refuses it.
pub const ESSAYS_PER_BATCH_MAX: usize = 10_000;

/// Rows in memory: the loaded rows with the applied events.
///
/// The fold is a join: any order and any repetition of the same events gives the same rows, and so
/// does a fact that is sent again in a new envelope with a later time. There are two exceptions: of
/// registrations for different owners the first one applied wins, and facts beyond the limits are
/// discarded or refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Batches, registered or not.
    pub batches: BTreeMap<BatchId, Batch>,
    /// Essays, whatever batch they belong to.
    pub essays: BTreeMap<EssayId, Essay>,
    /// The essays that the registrations of a batch list. Kept apart from the row of the batch,
    /// which is written far more often than a batch is registered.
    pub listed: BTreeMap<BatchId, BTreeSet<EssayId>>,
    /// Batches whose tally did not contain the former progress of a changed essay. Then discard the
    /// result: write these batches [without their tally](Batch::without_tally), load all their
    /// essays, and fold again. Empty, unless a row was edited by hand or another build counts
    /// differently.
    pub miscounted: BTreeSet<BatchId>,
}

impl Rows {
    /// The batches that loaded essays belong to and that are missing in `needs`, so that they are
    /// not locked. Their answers change with these essays: add them to the needs and load again.
    pub fn unlocked_batches(&self, needs: &Needs) -> BTreeSet<BatchId> {
        let batches = self.essays.values().map(Essay::batch_id);
        batches.filter(|id| !needs.batches.contains(*id)).cloned().collect()
    }

    /// Adds the tally to each of these batches whose row has none; all essays of those batches must
    /// be loaded. Moves the ids of listed essays out of rows of earlier builds, which kept them
    /// there.
    pub fn add_missing_tallies(&mut self, batches: &BTreeSet<BatchId>) {
        let mut tallies: BTreeMap<&BatchId, Tally> = BTreeMap::new();
        for essay in self.essays.values() {
            tallies.entry(essay.batch_id()).or_default().add(essay.progress());
        }
        for id in batches {
            let tally = tallies.remove(id);
            if tally.is_some() && !self.batches.contains_key(id) {
                self.batches.insert(id.clone(), Batch::new(id.clone()));
            }
            let Some(batch) = self.batches.get_mut(id) else { continue };
            batch.tally_mut().get_or_insert_with(|| tally.unwrap_or_default());
            if let Some(listed) = batch.take_listed_essays() {
                self.listed.entry(id.clone()).or_default().extend(listed);
            }
        }
    }

    /// The states of the registered batches. Correct for each batch whose row has a tally, or whose
    /// essays are all loaded.
    pub fn statuses(&self) -> BTreeMap<&BatchId, BatchStatus> {
        self.registered_batches().into_iter().map(|(id, batch)| (id, batch.status())).collect()
    }

    /// State of one batch; None unless it is registered.
    pub fn status_of(&self, id: &BatchId) -> Option<BatchStatus> {
        let batch = self.batches.get(id)?;
        Some(RegisteredBatch::new(batch, self.tally_of(batch))?.status())
    }

    /// The registered batches, each with its tally.
    pub(crate) fn registered_batches(&self) -> BTreeMap<&BatchId, RegisteredBatch<'_>> {
        let registered =
            |(id, batch)| Some((id, RegisteredBatch::new(batch, self.tally_of(batch))?));
        self.batches.iter().filter_map(registered).collect()
    }

    fn tally_of<'a>(&self, batch: &'a Batch) -> Cow<'a, Tally> {
        match batch.tally() {
            Some(tally) => Cow::Borrowed(tally),
            None => Cow::Owned(self.count_essays(&batch.id)),
        }
    }

    fn count_essays(&self, batch: &BatchId) -> Tally {
        let essays = self.essays.values().filter(|essay| essay.batch_id() == batch);
        Tally::of(essays.map(Essay::progress))
    }

    /// Applies one event. Returns the affected batches, whose answers may have changed: the one
    /// that the event names, and every one that shows or has shown an essay of the event.
    ///
    /// # Errors
    ///
    /// `ConflictingOwner` for a registration of a batch that is registered for another user, and
    /// `TooLarge` for an event that would leave the batch with more than [`ESSAYS_PER_BATCH_MAX`]
    /// essays, [`RUNS_PER_BATCH_MAX`] pipeline runs or [`JOBS_PER_BATCH_MAX`] assessment jobs. In
    /// both cases nothing is changed.
    pub fn apply(&mut self, event: &Event) -> Result<BTreeSet<BatchId>, Refusal> {
        let revision = Revision { at: event.at, by: event.id };
        let source = Source { revision, fact: event.fact_id };
        let correlation_id = event.correlation_id;
        let mut affected = BTreeSet::from([event.fact.batch_id().clone()]);
        match &event.fact {
            Fact::BatchEssaysRegistered(fact) => self.register(fact, source, &mut affected)?,
            Fact::EssaySlotAssigned(fact) => self.assign_slot(fact, source, &mut affected),
            Fact::BatchPhaseOutcome(fact) => self.end_phase(fact, source, &mut affected),
            Fact::SpellcheckResult(fact) => self.check_spelling(fact, source, &mut affected),
            Fact::AssessmentResult(fact) => {
                self.assess(fact, correlation_id, source, &mut affected)?;
            }
            Fact::BatchPipelineCompleted(fact) => self.complete(fact, correlation_id, source)?,
        }
        Ok(affected)
    }

    /// The affected batches of an event that was applied before. Changes nothing, so that a
    /// repetition has no effect even if it carries another time.
    pub fn affected_by(&self, event: &Event) -> BTreeSet<BatchId> {
        let Needs { batches: mut affected, essays, .. } = event.needs();
        for essay in essays.iter().filter_map(|id| self.essays.get(id)) {
            affected.extend(essay.claiming_batches());
        }
        affected
    }

    fn register(
        &mut self,
        fact: &BatchEssaysRegistered,
        source: Source,
        affected: &mut BTreeSet<BatchId>,
    ) -> Result<(), Refusal> {
        let known = self.batches.get(&fact.batch_id);
        if known.and_then(Batch::user_id).is_some_and(|owner| *owner != fact.user_id) {
            // The owner is not named: the sender must not learn it.
            let detail = format!(
                "data.user_id: the batch `{}` is registered for another user",
                excerpt(fact.batch_id.as_str())
            );
            return Err(Refusal::new(RefusalCode::ConflictingOwner, detail));
        }
        // The decoder limits the essays of one event.
        let mut listed = self.listed.get(&fact.batch_id).cloned().unwrap_or_default();
        listed.extend(known.and_then(Batch::listed_essays).into_iter().flatten().cloned());
        listed.extend(fact.essay_ids.iter().cloned());
        let essays = listed.len();
        if essays > ESSAYS_PER_BATCH_MAX {
            let detail = format!(
                "data.essay_ids: the batch would have {essays} essays, allowed: up to \
                 {ESSAYS_PER_BATCH_MAX}"
            );
            return Err(Refusal::new(RefusalCode::TooLarge, detail));
        }
        let batch = self.batch(&fact.batch_id);
        batch.take_listed_essays();
        batch.register(fact, u32::try_from(essays).unwrap_or(u32::MAX), source);
        self.listed.insert(fact.batch_id.clone(), listed);
        for id in &fact.essay_ids {
            let batch_id = fact.batch_id.clone();
            let essay = Essay::new(id.clone(), Claim::Registered, batch_id, source);
            self.join_essay(essay, affected);
        }
        Ok(())
    }

    fn assign_slot(
        &mut self,
        fact: &EssaySlotAssigned,
        source: Source,
        affected: &mut BTreeSet<BatchId>,
    ) {
        let essay = named(&fact.essay_id, &fact.batch_id, source).with_slot(fact, source);
        self.join_essay(essay, affected);
    }

    fn end_phase(
        &mut self,
        fact: &BatchPhaseOutcome,
        source: Source,
        affected: &mut BTreeSet<BatchId>,
    ) {
        self.batch(&fact.batch_id).end_phase(fact, source);
        let processed = fact.processed_essay_ids.iter().map(|id| (id, PhaseEnd::Completed));
        let failed = fact.failed_essay_ids.iter().map(|id| (id, PhaseEnd::Failed));
        for (id, end) in processed.chain(failed) {
            let essay = named(id, &fact.batch_id, source);
            self.join_essay(essay.with_phase(fact.phase, Some(end), source), affected);
        }
    }

    fn check_spelling(
        &mut self,
        fact: &SpellcheckResult,
        source: Source,
        affected: &mut BTreeSet<BatchId>,
    ) {
        let essay = named(&fact.essay_id, &fact.batch_id, source).with_spellcheck(fact, source);
        self.join_essay(essay, affected);
    }

    fn assess(
        &mut self,
        fact: &AssessmentResult,
        correlation_id: CorrelationId,
        source: Source,
        affected: &mut BTreeSet<BatchId>,
    ) -> Result<(), Refusal> {
        let jobs =
            self.batches.get(&fact.batch_id).map_or(1, |batch| batch.jobs_with(&fact.job_id));
        if jobs > JOBS_PER_BATCH_MAX {
            let detail = format!(
                "data.cj_assessment_job_id: the batch would have {jobs} assessment jobs, allowed: up \
                 to {JOBS_PER_BATCH_MAX}"
            );
            return Err(Refusal::new(RefusalCode::TooLarge, detail));
        }
        self.batch(&fact.batch_id).assess(fact, correlation_id, source);
        for ranking in &fact.rankings {
            let essay = named(&ranking.essay_id, &fact.batch_id, source);
            self.join_essay(essay.with_ranking(ranking, fact.comparison_count, source), affected);
        }
        Ok(())
    }

    fn complete(
        &mut self,
        fact: &BatchPipelineCompleted,
        correlation_id: CorrelationId,
        source: Source,
    ) -> Result<(), Refusal> {
        let runs = self.batches.get(&fact.batch_id).map_or(1, |batch| batch.runs_with(fact.run_id));
        if runs > RUNS_PER_BATCH_MAX {
            let detail = format!(
                "data.correlation_id: the batch would have {runs} pipeline runs, allowed: up to \
                 {RUNS_PER_BATCH_MAX}"
            );
            return Err(Refusal::new(RefusalCode::TooLarge, detail));
        }
        self.batch(&fact.batch_id).complete(fact, correlation_id, source);
        Ok(())
    }

    /// The row of a batch that an event names, with its tally.
    fn batch(&mut self, id: &BatchId) -> &mut Batch {
        if self.batches.get(id).is_none_or(|batch| !batch.has_tally()) {
            let tally = self.count_essays(id);
            let batch = self.batches.entry(id.clone());
            let batch = batch.or_insert_with_key(|id| Batch::new(id.clone()));
            *batch.tally_mut() = Some(tally);
        }
        self.batches.entry(id.clone()).or_insert_with_key(|id| Batch::new(id.clone()))
    }

    /// Joins what an event says about an essay, moves the essay in the tallies, and adds the
    /// batches that show or have shown it to `affected`.
    fn join_essay(&mut self, new: Essay, affected: &mut BTreeSet<BatchId>) {
        // The tallies are made before the essay is one of those that they count.
        self.batch(new.batch_id());
        let id = new.id.clone();
        let before = self.essays.get(&id).map(|essay| (essay.batch_id().clone(), essay.progress()));
        if let Some((batch_id, _)) = &before {
            self.batch(batch_id);
        }
        let essay = match self.essays.entry(id) {
            Entry::Vacant(vacant) => vacant.insert(new),
            Entry::Occupied(occupied) => {
                let essay = occupied.into_mut();
                affected.extend(essay.claiming_batches());
                essay.join(new);
                affected.extend(essay.claiming_batches());
                essay
            }
        };
        let after = (essay.batch_id().clone(), essay.progress());
        if before.as_ref() == Some(&after) {
            return;
        }
        if let Some((batch_id, progress)) = before
            && !self.tally(&batch_id).remove(&progress)
        {
            self.miscounted.insert(batch_id);
        }
        let (batch_id, progress) = after;
        self.tally(&batch_id).add(progress);
    }

    /// The tally of a batch, made if its row has none.
    fn tally(&mut self, id: &BatchId) -> &mut Tally {
        self.batch(id).tally_mut().get_or_insert_default()
    }
}

/// An essay that a fact other than a registration names, for the batch that it names.
fn named(id: &EssayId, batch_id: &BatchId, source: Source) -> Essay {
    Essay::new(id.clone(), Claim::Named, batch_id.clone(), source)
}
