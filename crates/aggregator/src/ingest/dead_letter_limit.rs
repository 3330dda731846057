//! The bytes that dead letters may take, and what happens when there is no room for more.
//!
//! Over HTTP a record that would have to be kept is refused, and nothing is acknowledged: the sender
//! still has it. A record from Kafka would hold up all events behind it for as long as nobody looks, so
//! the oldest dead letters are removed for it, as those are that nobody looked at for months.

use std::sync::Arc;

use database::{DbError, DeadLetter, DeadLetterCursor, DeadLetterRepository, ExpiredDeadLetters};
use projection::Timestamp;

use crate::metrics::{Metrics, Purged};

/// Most dead letters that are removed by one statement.
const CHUNK_DEAD_LETTERS_MAX: u32 = 1_000;

/// The limit of dead letters. Clones share what they count.
#[derive(Clone)]
pub(super) struct DeadLetterLimit {
    pub(super) dead_letters: Arc<dyn DeadLetterRepository>,
    pub(super) bytes_max: u64,
    pub(super) metrics: Metrics,
}

impl DeadLetterLimit {
    /// Whether the limit still holds once `dead_letters` are kept. Those that are kept already, because
    /// the record came before, need no room.
    ///
    /// Two processes that ask at the same time may both be told so; the limit is passed by what they
    /// then keep, and holds again for the next.
    pub(super) async fn has_room(&self, dead_letters: &[DeadLetter]) -> Result<bool, DbError> {
        let usage = self.dead_letters.dead_letter_usage().await?;
        let fits = |added: u64| usage.bytes.saturating_add(added) <= self.bytes_max;
        // Which are kept already is asked only near the limit.
        if fits(dead_letters.iter().map(DeadLetter::size_bytes).sum()) {
            return Ok(true);
        }
        let new = self.dead_letters.new_dead_letters(dead_letters).await?;
        // At a limit that was lowered, what adds nothing is still acknowledged.
        Ok(new.is_empty() || fits(new.into_iter().map(DeadLetter::size_bytes).sum()))
    }

    /// Removes the oldest dead letters until there is room for `dead_letters`, or none is left. Takes
    /// more at a time the longer it takes.
    pub(super) async fn make_room(&self, dead_letters: &[DeadLetter]) -> Result<(), DbError> {
        let mut limit = 1;
        let mut removed = 0;
        // Asked anew each time: what is removed may be one of `dead_letters`, which then needs module itself.
        while !self.has_room(dead_letters).await? {
            let (after, refused_before) = (DeadLetterCursor::START, Timestamp::MAX);
            let chunk = ExpiredDeadLetters { after, refused_before, limit };
            let gone = self.dead_letters.purge_dead_letters(chunk).await?.dead_letters;
            self.metrics.removed(Purged::DeadLetters, gone);
            removed += gone;
            if gone == 0 {
                break;
            }
            limit = (limit * 2).min(CHUNK_DEAD_LETTERS_MAX);
        }
        if removed > 0 {
            // Each is a record that nobody took again: an operator should know.
            tracing::warn!(dead_letters = removed, "dead letters at their limit, oldest removed");
        }
        Ok(())
    }
}
