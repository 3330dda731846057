//! Which letters a command is about: by ids, or page by page what filters select.

use anyhow::bail;
use reqwest::Method;

use super::arguments::{Filters, Which};
use super::letter::{Page, Summary};
use crate::client::Client;

/// Letters in one request; the most that a server gives.
const PAGE_LETTERS: u64 = 500;

/// The first `limit` letters behind `after` that the filters select, and what to say for those
/// behind them, if there are any.
pub(super) async fn pages(
    client: &Client,
    filters: &Filters,
    after: u64,
    limit: u64,
) -> anyhow::Result<(Vec<Summary>, Option<u64>)> {
    let mut letters: Vec<Summary> = Vec::new();
    let mut next_after = Some(after);
    while let Some(after) = next_after {
        let room = limit - letters.len() as u64;
        if room == 0 {
            break;
        }
        let page = page(client, filters, after, room.min(PAGE_LETTERS)).await?;
        letters.extend(page.dead_letters);
        next_after = page.next_after;
    }
    Ok((letters, next_after))
}

/// The letters that a command is about, each with the time of its refusal if that is how it was
/// found. All of them before the first is touched: a letter that is refused again does not come
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
    let (letters, _) = pages(client, &which.filters, 0, u64::MAX).await?;
    Ok(letters.into_iter().map(|letter| (letter.id, Some(letter.refused_at))).collect())
}

async fn page(client: &Client, filters: &Filters, after: u64, limit: u64) -> anyhow::Result<Page> {
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
