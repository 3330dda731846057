//! The comparison that makes an entry readable: its stamp against the generations that were just read.
//!
//! A reader reads the generations after it started, and an invalidation that was confirmed before has
//! deleted at least one of them. Generations never come back. So an entry that is older than the
//! invalidation does not pass, in whatever order the parts were read.

use crate::generation::Generation;
use crate::key::Owner;
use crate::mutant::{Mutant, Planted};
use crate::stamp::Stamped;

/// Whether a stamp begins with these owners, in this order, and with their generations.
pub(crate) fn is_current(
    stamp: &[Stamped],
    owners: &[Owner],
    generations: &[Option<Generation>],
    planted: Planted,
) -> bool {
    if stamp.len() < owners.len() || generations.len() != owners.len() {
        return false;
    }
    let compared = if planted.is(Mutant::HomeOwnerOnly) { 1 } else { owners.len() };
    let lost_is_fresh = planted.is(Mutant::LostGenerationIsFresh);
    stamp.iter().zip(owners).all(|(stamped, owner)| stamped.owner == *owner)
        && stamp.iter().zip(generations).take(compared).all(|(stamped, generation)| {
            *generation == Some(stamped.generation) || (lost_is_fresh && generation.is_none())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::RandomHex;

    #[test]
    fn only_the_same_owners_in_the_same_order_with_their_generations_are_current() {
        let [a, b] = ["a", "b"].map(|id| Owner::new("team", id).unwrap());
        let [one, two] = [1, 2].map(|serial| Generation::new(&RandomHex::from_bits(0), serial));
        let stamp = [(&a, one), (&b, two)]
            .map(|(owner, generation)| Stamped { owner: owner.clone(), generation });
        let check = |owners: &[&Owner], generations: &[Option<Generation>]| {
            let owners: Vec<Owner> = owners.iter().copied().cloned().collect();
            is_current(&stamp, &owners, generations, Planted::default())
        };
        assert!(check(&[&a, &b], &[Some(one), Some(two)]));
        assert!(check(&[&a], &[Some(one)]), "the rest is compared by the caller");
        assert!(!check(&[&a, &b], &[Some(one), Some(one)]), "second owner invalidated");
        assert!(!check(&[&a, &b], &[Some(one), None]), "second generation lost");
        assert!(!check(&[&a, &b], &[None, Some(two)]), "first generation lost");
        assert!(!check(&[&b, &a], &[Some(two), Some(one)]), "another order");
        assert!(!check(&[&a, &b, &a], &[Some(one), Some(two), Some(one)]), "more owners");
        assert!(!check(&[&a, &b], &[Some(one)]), "an answer that is too short");
    }
}
