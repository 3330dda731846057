//! Owners and keys of the cached answers.
//!
//! | answer | owner | key |
//! |---|---|---|
//! | one page of a user's batches | `user:{id}` | `list`, limit, offset, statuses, `full` or `summary` |
//! | the status of one batch | `batch:{id}` | `status` |
//!
//! Answers with internal status values have `internal` at the end of their key: a process that shows
//! those and one that does not may share a cache, but never an entry.

use database::PageQuery;
use freshset::{EntryKey, KeyError, Owner};
use projection::{BatchId, BatchStatus, StatusValues, UserId};

use super::{AnswerName, AnswerOwner};
use crate::answers::AnswerQuery;

pub(super) fn user(id: &UserId) -> Result<Owner, KeyError> {
    Owner::new("user", id.as_str())
}

pub(super) fn batch(id: &BatchId) -> Result<Owner, KeyError> {
    Owner::new("batch", id.as_str())
}

pub(super) fn page(query: &PageQuery, values: StatusValues) -> Result<AnswerName, KeyError> {
    Ok(AnswerName { owner: user(&query.user_id)?, key: page_key(query, values)? })
}

pub(super) fn status(id: &BatchId, values: StatusValues) -> Result<AnswerName, KeyError> {
    Ok(AnswerName { owner: batch(id)?, key: status_key(values)? })
}

/// Name of the answer to this query.
pub(super) fn answer(query: &AnswerQuery, values: StatusValues) -> Result<AnswerName, KeyError> {
    match query {
        AnswerQuery::Page(query) => page(query, values),
        AnswerQuery::Status(id) => status(id, values),
    }
}

/// Two queries have one key if and only if they have one answer: statuses are sorted, so that two
/// spellings of a filter share an entry.
pub(super) fn page_key(query: &PageQuery, values: StatusValues) -> Result<EntryKey, KeyError> {
    let mut statuses: Vec<&str> = query.statuses.iter().map(|status| status.as_str()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let (limit, offset) = (query.limit.to_string(), query.offset.to_string());
    let form = if query.include_essays { "full" } else { "summary" };
    key_of(&["list", &limit, &offset, &statuses.join(","), form], values)
}

pub(super) fn status_key(values: StatusValues) -> Result<EntryKey, KeyError> {
    key_of(&["status"], values)
}

/// The answer that this key of the owner names, if a process with these status values would read it.
pub(super) fn query(
    owner: &AnswerOwner,
    key: &EntryKey,
    values: StatusValues,
) -> Option<AnswerQuery> {
    match owner {
        AnswerOwner::User(id) => {
            let query = page_query(id, key)?;
            (page_key(&query, values).as_ref() == Ok(key)).then_some(AnswerQuery::Page(query))
        }
        AnswerOwner::Batch(id) => {
            let is_status = status_key(values).as_ref() == Ok(key);
            is_status.then(|| AnswerQuery::Status(id.clone()))
        }
    }
}

fn page_query(user_id: &UserId, key: &EntryKey) -> Option<PageQuery> {
    let parts: Vec<_> = key.parts().collect();
    let [_, limit, offset, statuses, form, ..] = &parts[..] else { return None };
    let statuses = statuses.split(',').filter(|name| !name.is_empty());
    Some(PageQuery {
        user_id: user_id.clone(),
        statuses: statuses.map(BatchStatus::parse).collect::<Option<_>>()?,
        limit: limit.parse().ok()?,
        offset: offset.parse().ok()?,
        include_essays: form == "full",
    })
}

fn key_of(parts: &[&str], values: StatusValues) -> Result<EntryKey, KeyError> {
    let more: &[&str] = match values {
        StatusValues::Client => &[],
        StatusValues::Internal => &["internal"],
    };
    EntryKey::new(parts.iter().chain(more).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: StatusValues = StatusValues::Client;

    fn query() -> PageQuery {
        PageQuery {
            user_id: UserId::parse("teacher").unwrap(),
            statuses: Vec::new(),
            limit: 20,
            offset: 0,
            include_essays: true,
        }
    }

    #[test]
    fn queries_share_a_key_if_and_only_if_they_share_an_answer() {
        let failed = [BatchStatus::FailedCritically, BatchStatus::ContentIngestionFailed];
        let mut reversed = failed.to_vec();
        reversed.reverse();
        let key = |statuses: &[BatchStatus]| {
            page_key(&PageQuery { statuses: statuses.to_vec(), ..query() }, CLIENT).unwrap()
        };
        assert_eq!(key(&failed), key(&reversed));
        assert_eq!(key(&failed), key(&[failed, failed].concat()));

        let different = [
            page_key(&query(), CLIENT).unwrap(),
            page_key(&query(), StatusValues::Internal).unwrap(),
            page_key(&PageQuery { limit: 0, offset: 20, ..query() }, CLIENT).unwrap(),
            page_key(&PageQuery { limit: 21, ..query() }, CLIENT).unwrap(),
            page_key(&PageQuery { offset: 1, ..query() }, CLIENT).unwrap(),
            page_key(&PageQuery { include_essays: false, ..query() }, CLIENT).unwrap(),
            key(&failed),
            key(&failed[..1]),
            key(&failed[1..]),
            key(BatchStatus::ALL),
        ];
        for (at, one) in different.iter().enumerate() {
            assert!(!different[..at].contains(one), "{one:?}");
        }
    }

    #[test]
    fn key_names_the_query_that_it_was_made_of() {
        let statuses = vec![BatchStatus::ContentIngestionFailed, BatchStatus::FailedCritically];
        let user = AnswerOwner::User(query().user_id);
        for asked in [
            query(),
            PageQuery { limit: 0, offset: 7, ..query() },
            PageQuery { statuses, include_essays: false, ..query() },
        ] {
            for values in [CLIENT, StatusValues::Internal] {
                let key = page_key(&asked, values).unwrap();
                let read = super::query(&user, &key, values);
                assert_eq!(read, Some(AnswerQuery::Page(asked.clone())), "{key}");
            }
            let key = page_key(&asked, CLIENT).unwrap();
            assert_eq!(super::query(&user, &key, StatusValues::Internal), None, "not read by it");
        }
        let id = BatchId::parse("batch").unwrap();
        let batch = AnswerOwner::Batch(id.clone());
        let key = status_key(CLIENT).unwrap();
        assert_eq!(super::query(&batch, &key, CLIENT), Some(AnswerQuery::Status(id)));
        for other in ["list:x:0::full", "list:20:0:unheard:full", "list:20:0::half", "status"] {
            assert_eq!(super::query(&user, &other.parse().unwrap(), CLIENT), None, "{other}");
        }
    }

    #[test]
    fn longest_ids_and_filters_have_names() {
        let long = "%".repeat(projection::ID_BYTES_MAX);
        assert!(user(&UserId::parse(long.clone()).unwrap()).is_ok());
        assert!(batch(&BatchId::parse(long).unwrap()).is_ok());
        let statuses = BatchStatus::ALL.to_vec();
        let longest = PageQuery { statuses, limit: u32::MAX, offset: u32::MAX, ..query() };
        assert!(page_key(&longest, CLIENT).is_ok());
    }
}
