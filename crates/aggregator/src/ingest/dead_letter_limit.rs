//! Limit of the bytes of all dead letters, and what happens when there is no room for more.
//!
//! Over HTTP nothing is acknowledged when a refused record has no room: the sender still has it. A record
//! from Kafka would hold up all events behind it until an operator acts, so the oldest dead letters are
//! purged for it.

use std::sync::Arc;

use database::{DbError, DeadLetter, DeadLetterCursor, DeadLetterRepository, ExpiredDeadLetters};
use projection::Timestamp;

use crate::metrics::{Metrics, Purged};

/// Dead letters that are purged by one statement, at most.
const CHUNK_DEAD_LETTERS_MAX: u32 = 1_000;

/// The limit of dead letters. Clones share what they count.
#[derive(Clone)]
pub(super) struct DeadLetterLimit {
    pub(super) dead_letters: Arc<dyn DeadLetterRepository>,
    pub(super) bytes_max: u64,
    pub(super) metrics: Metrics,
}

impl DeadLetterLimit {
    /// Whether the limit still holds once `dead_letters` are stored. Those that are stored already need no
    /// room.
    ///
    /// Two processes that ask at the same time may both get `true`. What they store then exceeds the limit,
    /// and the next question takes that into account.
    pub(super) async fn has_room(&self, dead_letters: &[DeadLetter]) -> Result<bool, DbError> {
        let usage = self.dead_letters.dead_letter_usage().await?;
        let fits = |added: u64| usage.bytes.saturating_add(added) <= self.bytes_max;
        // Only near the limit is it checked which are stored already.
        if fits(dead_letters.iter().map(DeadLetter::size_bytes).sum()) {
            return Ok(true);
        }
        let new = self.dead_letters.new_dead_letters(dead_letters).await?;
        // Above a limit that was lowered, records that add nothing are still acknowledged.
        Ok(new.is_empty() || fits(new.into_iter().map(DeadLetter::size_bytes).sum()))
    }

    /// Purges the oldest dead letters until there is room for `dead_letters`, or none is left. Purges more
    /// at a time the longer it takes.
    pub(super) async fn make_room(&self, dead_letters: &[DeadLetter]) -> Result<(), DbError> {
        let mut limit = 1;
        let mut purged = 0;
        // Asked anew each time: a purged dead letter may be one of `dead_letters`, which then needs room.
        while !self.has_room(dead_letters).await? {
            let (after, refused_before) = (DeadLetterCursor::START, Timestamp::MAX);
            let chunk = ExpiredDeadLetters { after, refused_before, limit };
            let count = self.dead_letters.purge_dead_letters(chunk).await?.dead_letters;
            self.metrics.purged(Purged::DeadLetters, count);
            purged += count;
            if count == 0 {
                break;
            }
            limit = (limit * 2).min(CHUNK_DEAD_LETTERS_MAX);
        }
        if purged > 0 {
            // Nobody replayed or discarded them: an operator should know.
            tracing::warn!(dead_letters = purged, "dead letters at their limit, oldest purged");
        }
        Ok(())
    }
}
