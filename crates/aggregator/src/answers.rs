//! The two cached answers as the database has them: each from one snapshot, as the JSON that clients read.

use database::{BatchRepository, DbError, PageQuery, Version};
use projection::{BatchId, Pagination, StatusValues, UserId};

use crate::metrics::CacheType;

/// Batches on the page of a client that asks for no other number.
pub(crate) const PAGE_LIMIT_DEFAULT: u32 = 20;

/// Which of the cached answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AnswerQuery {
    /// One page of a user's batches.
    Page(PageQuery),
    /// The status of one batch.
    Status(BatchId),
}

impl AnswerQuery {
    /// How its reads are counted.
    pub(crate) fn cache_type(&self) -> CacheType {
        match self {
            Self::Page(_) => CacheType::UserBatches,
            Self::Status(_) => CacheType::BatchStatus,
        }
    }

    /// The answer; none: there is no such batch.
    ///
    /// # Errors
    ///
    /// That of the database.
    pub(crate) async fn load(
        &self,
        batches: &dyn BatchRepository,
        values: StatusValues,
    ) -> Result<Option<LoadedAnswer>, DbError> {
        match self {
            Self::Page(query) => load_page(batches, values, query).await.map(Some),
            Self::Status(id) => load_status(batches, values, id).await,
        }
    }
}

/// An answer as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedAnswer {
    /// Version of its owner in the snapshot that it was made from.
    pub version: Version,
    /// The JSON that clients read.
    pub body: Vec<u8>,
}

/// The page of a client that sends no parameter.
pub(crate) fn first_page(user_id: UserId) -> PageQuery {
    PageQuery {
        user_id,
        statuses: Vec::new(),
        limit: PAGE_LIMIT_DEFAULT,
        offset: 0,
        include_essays: true,
    }
}

/// The status of one batch; none: there is no such batch.
///
/// # Errors
///
/// That of the database.
pub(crate) async fn load_status(
    batches: &dyn BatchRepository,
    values: StatusValues,
    id: &BatchId,
) -> Result<Option<LoadedAnswer>, DbError> {
    let found = batches.batch(id).await?;
    Ok(found.map(|found| LoadedAnswer {
        version: found.version,
        body: values.status_json(&found.batch, &found.essays),
    }))
}

/// One page of a user's batches. An unknown user has an empty one.
///
/// # Errors
///
/// That of the database.
pub(crate) async fn load_page(
    batches: &dyn BatchRepository,
    values: StatusValues,
    query: &PageQuery,
) -> Result<LoadedAnswer, DbError> {
    let page = batches.user_page(query).await?;
    let pagination = Pagination { limit: query.limit, offset: query.offset, total: page.total };
    let batches: Vec<_> =
        page.batches.into_iter().map(|found| (found.batch, found.essays)).collect();
    let body = values.page_json(&batches, pagination, query.include_essays);
    Ok(LoadedAnswer { version: page.version, body })
}
