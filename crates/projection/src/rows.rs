//! Rows in memory, and how one event changes them.
//!
//! Loading and writing them is the store's work. Nothing here knows whether a row was loaded or
//! made: an event whose [`Needs`] were loaded finds all it looks at.

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
use crate::join::{Source, Stamp};
use crate::phase::End;
use crate::refusal::{Refusal, RefusalCode};
use crate::registered_batch::RegisteredBatch;
use crate::status::BatchStatus;
use crate::tally::Tally;

/// Most essays that all registrations of one batch may list together. The largest class is a
/// thousandth of it; without a limit a row could grow until no database takes it.
pub const ESSAYS_PER_BATCH_MAX: usize = 10_000;

/// Rows in memory: what was loaded, plus what the fold made of it.
///
/// The fold is a join: any order and any repetition of the same events gives the same rows, and so
/// does a fact that is sent again in a new envelope with a later time. The exceptions are a batch
/// that two owners claim, which the first one to be folded in keeps, and what is beyond the limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Batches, registered or not.
    pub batches: BTreeMap<BatchId, Batch>,
    /// Essays, wherever they belong.
    pub essays: BTreeMap<EssayId, Essay>,
    /// The essays that the registrations of a batch list. Apart from its row, which is written far
    /// more often than a batch is registered.
    pub listed: BTreeMap<BatchId, BTreeSet<EssayId>>,
    /// Batches of which an essay moved that their row did not count where it stood. What was folded in
    /// is of no use then: write them [without their tally](Batch::without_tally), load all their
    /// essays, and begin again. Empty, unless a row was altered or another build counts otherwise.
    pub miscounted: BTreeSet<BatchId>,
}

impl Rows {
    /// The batches that loaded essays belong to and that `needs` leaves out. Their answers change
    /// with these essays: add them to the needs and load again.
    pub fn unlocked_batches(&self, needs: &Needs) -> BTreeSet<BatchId> {
        let homes = self.essays.values().map(Essay::batch_id);
        homes.filter(|home| !needs.batches.contains(*home)).cloned().collect()
    }

    /// Counts the essays of each of these batches whose row does not tell, all of which must be here.
    /// Their ids come out of the row if an earlier build kept them there.
    pub fn add_missing_tallies(&mut self, batches: &BTreeSet<BatchId>) {
        let mut tallies: BTreeMap<&BatchId, Tally> = BTreeMap::new();
        for essay in self.essays.values() {
            tallies.entry(essay.batch_id()).or_default().add(essay.standing());
        }
        for id in batches {
            let tally = tallies.remove(id);
            if tally.is_some() && !self.batches.contains_key(id) {
                self.batches.insert(id.clone(), Batch::named(id.clone()));
            }
            let Some(batch) = self.batches.get_mut(id) else { continue };
            batch.tally_mut().get_or_insert_with(|| tally.unwrap_or_default());
            if let Some(listed) = batch.take_listed_essays() {
                self.listed.entry(id.clone()).or_default().extend(listed);
            }
        }
    }

    /// The states of the registered batches. Right for each batch whose row counts its essays, or of
    /// which all essays are here.
    pub fn statuses(&self) -> BTreeMap<&BatchId, BatchStatus> {
        self.registered_batches().into_iter().map(|(id, folder)| (id, folder.status())).collect()
    }

    /// The state of one batch; None unless it is registered.
    pub fn status_of(&self, id: &BatchId) -> Option<BatchStatus> {
        let batch = self.batches.get(id)?;
        Some(RegisteredBatch::new(batch, self.tally_of(batch))?.status())
    }

    /// The registered batches, each with what is counted of its essays.
    pub(crate) fn registered_batches(&self) -> BTreeMap<&BatchId, RegisteredBatch<'_>> {
        let folder = |(id, batch)| Some((id, RegisteredBatch::new(batch, self.tally_of(batch))?));
        self.batches.iter().filter_map(folder).collect()
    }

    fn tally_of<'a>(&self, batch: &'a Batch) -> Cow<'a, Tally> {
        match batch.tally() {
            Some(tally) => Cow::Borrowed(tally),
            None => Cow::Owned(self.count_essays(&batch.id)),
        }
    }

    fn count_essays(&self, batch: &BatchId) -> Tally {
        Tally::of(self.essays.values().filter(|essay| essay.batch_id() == batch))
    }

    /// Folds one event in. Returns the batches whose answers changed or may have: the one that the
    /// event names, and every one that shows or has shown one of the event's essays.
    ///
    /// # Errors
    ///
    /// `ConflictingOwner` for a registration of a batch that is registered for another user, and
    /// `TooLarge` for an event that would leave the batch with more than [`ESSAYS_PER_BATCH_MAX`]
    /// essays, [`RUNS_PER_BATCH_MAX`] pipeline runs or [`JOBS_PER_BATCH_MAX`] assessment jobs. Then
    /// nothing changed.
    pub fn apply(&mut self, event: &Event) -> Result<BTreeSet<BatchId>, Refusal> {
        let stamp = Stamp { at: event.at, by: event.id };
        let source = Source { stamp, fact: event.fact_id };
        let correlation_id = event.correlation_id;
        let mut touched = BTreeSet::from([event.fact.batch_id().clone()]);
        match &event.fact {
            Fact::BatchEssaysRegistered(fact) => self.register(fact, source, &mut touched)?,
            Fact::EssaySlotAssigned(fact) => self.assign_slot(fact, source, &mut touched),
            Fact::BatchPhaseOutcome(fact) => self.end_phase(fact, source, &mut touched),
            Fact::SpellcheckResult(fact) => self.check_spelling(fact, source, &mut touched),
            Fact::AssessmentResult(fact) => {
                self.assess(fact, correlation_id, source, &mut touched)?;
            }
            Fact::BatchPipelineCompleted(fact) => self.complete(fact, correlation_id, source)?,
        }
        Ok(touched)
    }

    /// The batches whose answers an event changed that was folded in before. Changes nothing, so
    /// that a repetition has no effect even if its time is told differently.
    pub fn affected_by(&self, event: &Event) -> BTreeSet<BatchId> {
        let Needs { batches: mut touched, essays, .. } = event.needs();
        for essay in essays.iter().filter_map(|id| self.essays.get(id)) {
            touched.extend(essay.claimants());
        }
        touched
    }

    fn register(
        &mut self,
        fact: &BatchEssaysRegistered,
        source: Source,
        touched: &mut BTreeSet<BatchId>,
    ) -> Result<(), Refusal> {
        let known = self.batches.get(&fact.batch_id);
        if known.and_then(Batch::user_id).is_some_and(|owner| *owner != fact.user_id) {
            // Only the batch is named: whose it is, is not the sender's to learn.
            let detail = format!(
                "data.user_id: the batch `{}` is registered for another user",
                excerpt(fact.batch_id.as_str())
            );
            return Err(Refusal::new(RefusalCode::ConflictingOwner, detail));
        }
        // One event alone is within the limit.
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
            let said = Essay::claimed(id.clone(), Claim::Registered, batch_id, source);
            self.join_essay(said, touched);
        }
        Ok(())
    }

    fn assign_slot(
        &mut self,
        fact: &EssaySlotAssigned,
        source: Source,
        touched: &mut BTreeSet<BatchId>,
    ) {
        let said = named(&fact.essay_id, &fact.batch_id, source).with_slot(fact, source);
        self.join_essay(said, touched);
    }

    fn end_phase(
        &mut self,
        fact: &BatchPhaseOutcome,
        source: Source,
        touched: &mut BTreeSet<BatchId>,
    ) {
        self.batch(&fact.batch_id).end_phase(fact, source);
        let processed = fact.processed_essay_ids.iter().map(|id| (id, End::Completed));
        let failed = fact.failed_essay_ids.iter().map(|id| (id, End::Failed));
        for (id, end) in processed.chain(failed) {
            let said = named(id, &fact.batch_id, source);
            self.join_essay(said.with_phase(fact.phase, Some(end), source), touched);
        }
    }

    fn check_spelling(
        &mut self,
        fact: &SpellcheckResult,
        source: Source,
        touched: &mut BTreeSet<BatchId>,
    ) {
        let said = named(&fact.essay_id, &fact.batch_id, source).with_spellcheck(fact, source);
        self.join_essay(said, touched);
    }

    fn assess(
        &mut self,
        fact: &AssessmentResult,
        correlation_id: CorrelationId,
        source: Source,
        touched: &mut BTreeSet<BatchId>,
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
            let said = named(&ranking.essay_id, &fact.batch_id, source);
            self.join_essay(said.with_ranking(ranking, fact.comparison_count, source), touched);
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

    /// The row of a batch that an event names, with its essays counted.
    fn batch(&mut self, id: &BatchId) -> &mut Batch {
        if self.batches.get(id).is_none_or(|batch| !batch.has_tally()) {
            let tally = self.count_essays(id);
            let batch = self.batches.entry(id.clone());
            let batch = batch.or_insert_with_key(|id| Batch::named(id.clone()));
            *batch.tally_mut() = Some(tally);
        }
        self.batches.entry(id.clone()).or_insert_with_key(|id| Batch::named(id.clone()))
    }

    /// Takes in what an event says about an essay, counts it where it stands now, and notes the batch
    /// that showed it before.
    fn join_essay(&mut self, said: Essay, touched: &mut BTreeSet<BatchId>) {
        // Before the essay is one of theirs.
        self.batch(said.batch_id());
        let id = said.id.clone();
        let before = self.essays.get(&id).map(|essay| (essay.batch_id().clone(), essay.standing()));
        if let Some((home, _)) = &before {
            self.batch(home);
        }
        let essay = match self.essays.entry(id) {
            Entry::Vacant(vacant) => vacant.insert(said),
            Entry::Occupied(occupied) => {
                let essay = occupied.into_mut();
                touched.extend(essay.claimants());
                essay.join(said);
                touched.extend(essay.claimants());
                essay
            }
        };
        let after = (essay.batch_id().clone(), essay.standing());
        if before.as_ref() == Some(&after) {
            return;
        }
        if let Some((home, standing)) = before
            && !self.tally(&home).remove(&standing)
        {
            self.miscounted.insert(home);
        }
        let (home, standing) = after;
        self.tally(&home).add(standing);
    }

    /// The tally of a batch whose essays are counted.
    fn tally(&mut self, id: &BatchId) -> &mut Tally {
        self.batch(id).tally_mut().get_or_insert_default()
    }
}

/// An essay of which an event says something, for a batch that did not register it by that.
fn named(id: &EssayId, batch_id: &BatchId, source: Source) -> Essay {
    Essay::claimed(id.clone(), Claim::Named, batch_id.clone(), source)
}
