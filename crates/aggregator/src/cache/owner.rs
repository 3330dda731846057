//! The owners of cached answers, as operators name them, and what is cached for one.

use std::time::Duration;

use freshset::{BackendError, KeyError, Owner};
use projection::{BatchId, IdError, UserId};

use super::{AnswerName, CacheManager, Digest, InvalidationError, head, names};
use crate::answers::AnswerQuery;

/// Whose answers: `user:` or `batch:`, and the id as clients send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerOwner {
    /// The pages of this user.
    User(UserId),
    /// The status of this batch.
    Batch(BatchId),
}

/// Why a text names no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnerError {
    /// Neither of the two kinds.
    #[error("is not an owner: allowed are user:ID and batch:ID")]
    Kind,
    /// The id cannot be one.
    #[error(transparent)]
    Id(#[from] IdError),
}

/// What is cached for an owner.
#[derive(Clone, Debug)]
pub struct CachedAnswers {
    /// Members of the owner's index, those that are gone included.
    pub members: u64,
    /// Answers that a reader would be given now, by their keys.
    pub answers: Vec<StoredAnswer>,
}

/// An answer that a reader would be given now.
#[derive(Clone, Debug)]
pub struct StoredAnswer {
    /// Its name in the cache.
    pub name: AnswerName,
    /// Which answer it is; none if this process, with its settings, would not read it.
    pub(crate) query: Option<AnswerQuery>,
    /// Digest of its body.
    pub digest: Digest,
    /// Length of its body.
    pub size_bytes: usize,
    /// How long it lives on, if the cache knows.
    pub remaining: Option<Duration>,
}

/// Why nothing is known of what is cached.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The cache did not answer.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The id is longer than an owner may be. A bug: ids have limits.
    #[error("cannot name the owner")]
    Name(#[from] KeyError),
}

impl AnswerOwner {
    /// Reads `user:ID` or `batch:ID`.
    ///
    /// # Errors
    ///
    /// [`OwnerError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, OwnerError> {
        match text.split_once(':') {
            Some(("user", id)) => Ok(Self::User(UserId::parse(id)?)),
            Some(("batch", id)) => Ok(Self::Batch(BatchId::parse(id)?)),
            _ => Err(OwnerError::Kind),
        }
    }

    fn name(&self) -> Result<Owner, KeyError> {
        match self {
            Self::User(id) => names::user(id),
            Self::Batch(id) => names::batch(id),
        }
    }
}

impl CacheManager {
    /// Answers of this owner that a reader would be given now, at most this many.
    ///
    /// # Errors
    ///
    /// [`ListError::Backend`]: the cache did not answer.
    pub async fn cached_answers(
        &self,
        owner: &AnswerOwner,
        answers_max: usize,
    ) -> Result<CachedAnswers, ListError> {
        let home = owner.name()?;
        let listed = self.cache.entries(&home, answers_max, |payload| head(&payload?)).await?;
        let answers = listed.entries.into_iter().filter_map(|entry| {
            // A reader takes an entry without digest and version for a miss.
            let head = entry.value?;
            Some(StoredAnswer {
                query: names::query(owner, &entry.key, self.status_values),
                name: AnswerName { owner: home.clone(), key: entry.key },
                digest: head.digest,
                size_bytes: head.body_bytes,
                remaining: entry.remaining,
            })
        });
        Ok(CachedAnswers { members: listed.members, answers: answers.collect() })
    }

    /// Makes every cached answer of the owner unreadable; gives how many there were, those that had expired
    /// included.
    ///
    /// # Errors
    ///
    /// [`InvalidationError::NotConfirmed`]: repeat it.
    pub async fn invalidate(&self, owner: &AnswerOwner) -> Result<u64, InvalidationError> {
        let invalidated = match owner {
            AnswerOwner::User(id) => self.invalidate_user_batches(id).await?,
            AnswerOwner::Batch(id) => self.invalidate_batch_status(id).await?,
        };
        Ok(invalidated.entries)
    }
}
