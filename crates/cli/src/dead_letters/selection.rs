//! Which dead letters a command is about: by ids, or page by page what filters select.

use anyhow::bail;
use api_types::{DeadLetterList, DeadLetterSummary};
use reqwest::Method;

use super::arguments::{Filters, Which};
use crate::client::Client;

/// Dead letters in one request; the most that a server gives.
const PAGE_DEAD_LETTERS: u64 = 500;

/// The first `limit` dead letters behind `after` that the filters select, and what to say for those
/// behind them, if there are any.
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

/// The dead letters that a command is about, each with the time of its refusal if that is how it was
/// found. All of them before the first is touched: a dead letter that is refused again does not come
/// twice, and one that is refused meanwhile is not meant.
pub(super) async fn select(
    client: &Client,
    which: &Which,
) -> anyhow::Result<Vec<(u64, Option<String>)>> {
    if which.is_nothing() {
        bail!("say which: by their ids, by filters such as --code, or --all");
    }
    if !which.ids.is_empty() {
        return Ok(which.ids.iter().map(|id| (*id, None)).collect());
    }
    let (dead_letters, _) = pages(client, &which.filters, 0, u64::MAX).await?;
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
