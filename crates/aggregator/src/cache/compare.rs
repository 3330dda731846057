//! Whether cached answers are what the database has.

use std::time::Duration;

use api_types::Comparison;
use database::{BatchRepository, DbError};
use tokio::time::sleep;

use super::{CacheManager, Digest, StoredAnswer, digest_of};
use crate::answers::AnswerQuery;

/// When an answer that differs is compared again. An event that is being applied is in the database before
/// its invalidation: that is no stale answer.
const COMPARE_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl CacheManager {
    /// Whether the answer that the database has now has this digest.
    ///
    /// # Errors
    ///
    /// That of the database.
    pub(crate) async fn is_in_database(
        &self,
        batches: &dyn BatchRepository,
        query: &AnswerQuery,
        digest: Digest,
    ) -> Result<bool, DbError> {
        let loaded = query.load(batches, self.status_values).await?;
        Ok(loaded.is_some_and(|loaded| digest_of(&loaded.body) == digest))
    }

    /// Compares each answer with the database, and those that differ once more, all of them after one wait.
    ///
    /// # Errors
    ///
    /// That of the database.
    pub(crate) async fn compare(
        &self,
        batches: &dyn BatchRepository,
        answers: &[StoredAnswer],
    ) -> Result<Vec<Comparison>, DbError> {
        let mut comparisons = Vec::with_capacity(answers.len());
        for answer in answers {
            comparisons.push(self.compare_one(batches, answer).await?);
        }
        if comparisons.contains(&Comparison::Stale) {
            sleep(COMPARE_AGAIN_AFTER).await;
        }
        for (answer, comparison) in answers.iter().zip(&mut comparisons) {
            if *comparison == Comparison::Stale {
                *comparison = self.compare_again(batches, answer).await?;
            }
        }
        Ok(comparisons)
    }

    async fn compare_one(
        &self,
        batches: &dyn BatchRepository,
        answer: &StoredAnswer,
    ) -> Result<Comparison, DbError> {
        let Some(query) = &answer.query else { return Ok(Comparison::Foreign) };
        let is_same = self.is_in_database(batches, query, answer.digest).await?;
        Ok(if is_same { Comparison::Same } else { Comparison::Stale })
    }

    async fn compare_again(
        &self,
        batches: &dyn BatchRepository,
        answer: &StoredAnswer,
    ) -> Result<Comparison, DbError> {
        // The cache first: a database that agrees by then proves that the answer is right.
        if self.stored_digest(&answer.name).await != Some(answer.digest) {
            return Ok(Comparison::Changed);
        }
        self.compare_one(batches, answer).await
    }
}
