//! The owners of cached answers, as operators name them, and what is cached for one.

use std::fmt;
use std::time::Duration;

use database::PageQuery;
use freshset::{BackendError, KeyError, Owner};
use projection::{BatchId, ClientStatus, IdError, StatusFilter, UserId};

use super::{AnswerName, CacheManager, Digest, InvalidationError, head, names};
use crate::answers::{AnswerQuery, first_page};

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
    /// How long it lives on, if the cache says so.
    pub remaining: Option<Duration>,
    /// Whether the owner's index has it; none if it was found by its name, and only a part of the index was
    /// looked at.
    pub is_indexed: Option<bool>,
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

    /// Whose answer it is.
    pub(crate) fn of(query: &AnswerQuery) -> Self {
        match query {
            AnswerQuery::Page(query) => Self::User(query.user_id.clone()),
            AnswerQuery::Status(id) => Self::Batch(id.clone()),
        }
    }

    fn name(&self) -> Result<Owner, KeyError> {
        match self {
            Self::User(id) => names::user(id),
            Self::Batch(id) => names::batch(id),
        }
    }

    /// What clients ask for most: the first page, of all batches and of each state that clients see, with
    /// essays and without; or the only answer that there is.
    fn usual_queries(&self) -> Vec<AnswerQuery> {
        let id = match self {
            Self::User(id) => id,
            Self::Batch(id) => return vec![AnswerQuery::Status(id.clone())],
        };
        let of_state = |state: &ClientStatus| StatusFilter::Client(*state).statuses();
        let filters = [Vec::new()].into_iter().chain(ClientStatus::ALL.iter().map(of_state));
        let pages = filters.flat_map(|statuses| {
            [true, false].map(|include_essays| {
                let statuses = statuses.clone();
                PageQuery { statuses, include_essays, ..first_page(id.clone()) }
            })
        });
        pages.map(AnswerQuery::Page).collect()
    }
}

/// As [`AnswerOwner::parse`] reads it.
impl fmt::Display for AnswerOwner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(formatter, "user:{id}"),
            Self::Batch(id) => write!(formatter, "batch:{id}"),
        }
    }
}

impl CacheManager {
    /// Answers of this owner that a reader would be given now.
    ///
    /// Those that its index has, at most `indexed_max`. An index may be lost while its answers are not, so
    /// these are looked up by their names, too: those to `asked`, to the queries that are usual, and to those
    /// that the auditor found stale.
    ///
    /// # Errors
    ///
    /// [`ListError::Backend`]: the cache did not answer.
    pub(crate) async fn cached_answers(
        &self,
        owner: &AnswerOwner,
        indexed_max: usize,
        asked: Vec<AnswerQuery>,
    ) -> Result<CachedAnswers, ListError> {
        let home = owner.name()?;
        // Before the index: a cache that does not answer has no answers here, and is an error there.
        let mut named = self.named_answers(owner, asked).await?;
        let listed = self.cache.entries(&home, indexed_max, |payload| head(&payload?)).await?;
        let is_whole = listed.members <= indexed_max as u64;
        let answers = listed.entries.into_iter().filter_map(|entry| {
            // A reader takes an entry without digest and version for a miss.
            let head = entry.value?;
            Some(StoredAnswer {
                query: names::query(owner, &entry.key, self.status_values),
                name: AnswerName { owner: home.clone(), key: entry.key },
                digest: head.digest,
                size_bytes: head.body_bytes,
                remaining: entry.remaining,
                is_indexed: Some(true),
            })
        });
        let mut answers: Vec<StoredAnswer> = answers.collect();
        named.retain(|named| answers.iter().all(|listed| listed.name != named.name));
        named.iter_mut().for_each(|named| named.is_indexed = is_whole.then_some(false));
        answers.append(&mut named);
        answers.sort_by(|one, other| one.name.key.cmp(&other.name.key));
        Ok(CachedAnswers { members: listed.members, answers })
    }

    /// Looks up the answers whose names are known without the index.
    async fn named_answers(
        &self,
        owner: &AnswerOwner,
        asked: Vec<AnswerQuery>,
    ) -> Result<Vec<StoredAnswer>, KeyError> {
        let stale = self.stale_answers().into_iter().map(|stale| stale.query);
        let stale = stale.filter(|query| AnswerOwner::of(query) == *owner);
        let mut found: Vec<StoredAnswer> = Vec::new();
        for query in owner.usual_queries().into_iter().chain(asked).chain(stale) {
            let name = names::answer(&query, self.status_values)?;
            if found.iter().any(|found| found.name == name) {
                continue;
            }
            let Some(head) = self.stored_head(&name).await else { continue };
            found.push(StoredAnswer {
                name,
                query: Some(query),
                digest: head.digest,
                size_bytes: head.body_bytes,
                remaining: None,
                is_indexed: None,
            });
        }
        Ok(found)
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
