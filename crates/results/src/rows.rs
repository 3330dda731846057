//! Rows in memory, and how one event changes them.
//!
//! Loading and writing them is the store's work. Nothing here knows whether a row was loaded or
//! made: an event whose [`Needs`] were loaded finds all it looks at.

use std::collections::{BTreeMap, BTreeSet};

use crate::batch::Batch;
use crate::essay::{Claim, Essay};
use crate::event::{BatchEssaysRegistered, EssaySlotAssigned, Event, Fact, Needs};
use crate::excerpt::excerpt;
use crate::ids::{BatchId, EssayId};
use crate::join::Stamp;
use crate::refusal::{Refusal, RefusalCode};

/// Most essays that all registrations of one batch may list together. The largest class is a
/// thousandth of it; without a limit a row could grow until no database takes it.
pub const ESSAYS_PER_BATCH_MAX: usize = 10_000;

/// Rows in memory: what was loaded, plus what the fold made of it.
///
/// The fold is a join: any order and any repetition of the same events gives the same rows. The one
/// exception is a batch that two owners claim: the first one to be folded in keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Batches, registered or not.
    pub batches: BTreeMap<BatchId, Batch>,
    /// Essays, wherever they belong.
    pub essays: BTreeMap<EssayId, Essay>,
}

impl Rows {
    /// Folds one event in. Returns the batches whose answers changed or may have: the one that the
    /// event names, and every one that shows or has shown one of the event's essays.
    ///
    /// # Errors
    ///
    /// `ConflictingOwner` for a registration of a batch that is registered for another user, and
    /// `TooLarge` for one that would leave the batch with more than [`ESSAYS_PER_BATCH_MAX`] essays.
    /// Then nothing changed.
    pub fn apply(&mut self, event: &Event) -> Result<BTreeSet<BatchId>, Refusal> {
        let stamp = Stamp { at: event.at, by: event.id };
        match &event.fact {
            Fact::BatchEssaysRegistered(fact) => self.register(fact, stamp),
            Fact::EssaySlotAssigned(fact) => Ok(self.assign_slot(fact, stamp)),
        }
    }

    /// The batches whose answers an event changed that was folded in before. Changes nothing, so
    /// that a repetition has no effect even if its time is told differently.
    pub fn touched_by(&self, event: &Event) -> BTreeSet<BatchId> {
        let Needs { batches: mut touched, essays } = event.needs();
        for essay in essays.iter().filter_map(|id| self.essays.get(id)) {
            touched.extend(essay.claimants());
        }
        touched
    }

    fn register(
        &mut self,
        fact: &BatchEssaysRegistered,
        stamp: Stamp,
    ) -> Result<BTreeSet<BatchId>, Refusal> {
        let batch = self
            .batches
            .entry(fact.batch_id.clone())
            .or_insert_with_key(|id| Batch::named_at(id.clone(), stamp.at));
        if batch.user_id().is_some_and(|owner| *owner != fact.user_id) {
            // Only the batch is named: whose it is, is not the sender's to learn.
            let detail = format!(
                "data.user_id: the batch `{}` is registered for another user",
                excerpt(fact.batch_id.as_str())
            );
            return Err(Refusal::new(RefusalCode::ConflictingOwner, detail));
        }
        let essays = batch.essays_with(&fact.essay_ids);
        if essays > ESSAYS_PER_BATCH_MAX {
            let detail = format!(
                "data.essay_ids: the batch would have {essays} essays, allowed: up to \
                 {ESSAYS_PER_BATCH_MAX}"
            );
            return Err(Refusal::new(RefusalCode::TooLarge, detail));
        }
        batch.register(fact, stamp);

        let mut touched = BTreeSet::from([fact.batch_id.clone()]);
        for id in &fact.essay_ids {
            let batch_id = fact.batch_id.clone();
            let said = Essay::claimed(id.clone(), Claim::Registered, batch_id, stamp);
            self.join_essay(said, &mut touched);
        }
        Ok(touched)
    }

    fn assign_slot(&mut self, fact: &EssaySlotAssigned, stamp: Stamp) -> BTreeSet<BatchId> {
        let (id, batch_id) = (fact.essay_id.clone(), fact.batch_id.clone());
        let said = Essay::claimed(id, Claim::Named, batch_id, stamp).with_slot(fact, stamp);

        let mut touched = BTreeSet::from([fact.batch_id.clone()]);
        self.join_essay(said, &mut touched);
        touched
    }

    /// Takes in what an event says about an essay, and notes the batch that showed it before.
    fn join_essay(&mut self, said: Essay, touched: &mut BTreeSet<BatchId>) {
        match self.essays.get_mut(&said.id) {
            None => {
                self.essays.insert(said.id.clone(), said);
            }
            Some(essay) => {
                touched.extend(essay.claimants());
                essay.join(said);
                touched.extend(essay.claimants());
            }
        }
    }
}
