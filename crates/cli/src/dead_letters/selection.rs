//! Selection of dead letters: by ids, or page by page by filters.

use anyhow::bail;
use api_types::{DeadLetterList, DeadLetterSummary};
use reqwest::Method;

use super::arguments::{Filters, Selection};
use crate::client::Client;

/// Dead letters in one request; the most that a server returns.
const PAGE_DEAD_LETTERS: u64 = 500;

/// The first `limit` dead letters after `after` that the filters select, and the value of `after` for
/// those that follow, if there are any.
pub(super) async fn pages(
    client: &Client,
    filters: &Filters,
    after: u64,
    limit: u64,
) -> anyhow::Result<(Vec<DeadLetterSummary>, Option<u64>)> {
    let mut dead_letters: Vec<DeadLetterSummary> = Vec::new();
    let mut next_after = Some(after);
    while let Some(after) = next_after {
        let room = limit - dead_letters.len() as u64;
        if room == 0 {
            break;
        }
        let page = page(client, filters, after, room.min(PAGE_DEAD_LETTERS)).await?;
        dead_letters.extend(page.dead_letters);
        next_after = page.next_after;
    }
    Ok((dead_letters, next_after))
}

/// The ids of the selected dead letters, each with the time of its refusal if filters found it. All are
/// found before the first is replayed or discarded: a record that is refused again is not selected
/// twice, and one that is refused meanwhile is not selected.
pub(super) async fn select(
    client: &Client,
    selection: &Selection,
) -> anyhow::Result<Vec<(u64, Option<String>)>> {
    if selection.is_empty() {
        bail!("say which: by their ids, by filters such as --code, or --all");
    }
    if !selection.ids.is_empty() {
        return Ok(selection.ids.iter().map(|id| (*id, None)).collect());
    }
    let (dead_letters, _) = pages(client, &selection.filters, 0, u64::MAX).await?;
    Ok(dead_letters
        .into_iter()
        .map(|dead_letter| (dead_letter.id, Some(dead_letter.refused_at)))
        .collect())
}

async fn page(
    client: &Client,
    filters: &Filters,
    after: u64,
    limit: u64,
) -> anyhow::Result<DeadLetterList> {
    let Filters { source, topic, code, from, until } = filters;
    let mut query = vec![("after", after.to_string()), ("limit", limit.to_string())];
    let mut filter = |name, value: Option<String>| query.extend(value.map(|value| (name, value)));
    filter("source", source.clone());
    filter("topic", topic.clone());
    filter("code", code.clone());
    filter("from", from.map(|time| time.to_string()));
    filter("until", until.map(|time| time.to_string()));
    client.ask(client.request(Method::GET, "/dead-letters").query(&query)).await
}
