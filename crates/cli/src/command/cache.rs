//! `result-aggregator cache`: what is cached for an owner, its invalidation, and whose answers were stale.

use aggregator::print_line;
use api_types::{
    CachedAnswer, CachedAnswers, Comparison, InvalidationReport, StaleAnswer, StaleAnswers,
};
use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder};

use super::server_args::ServerArgs;
use crate::client::Client;
use crate::printable::{printable, printable_json};

/// Examples at the end of the help.
pub(super) const EXAMPLES: &str = "\
OWNER is user:ID or batch:ID, with the id as clients send it.

Exit codes: 0; 1 if `verify` found a stale answer, or on an error.

Examples:
  The cached pages of a teacher:
    result-aggregator cache show user:teacher-7
  Whether they are what the database has:
    result-aggregator cache verify user:teacher-7
  The list that a client asks for with ?limit=5&status=ready, among them:
    result-aggregator cache verify user:teacher-7 --query 'limit=5&status=ready'
  The same for one batch, for programs:
    result-aggregator cache verify batch:batch-3 --json
  Make a stale one unreadable, in all processes with the same cache:
    result-aggregator cache invalidate user:teacher-7
  Whose answers the auditor of a process found stale:
    result-aggregator cache stale --server http://127.0.0.1:4003";

#[derive(Debug, Args)]
pub(super) struct CacheArgs {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the answers that readers would be given from the cache now
    ///
    /// They are found in the index of the owner, which the cache may lose while it has the answers. So these
    /// are looked up by their names, too: the status of a batch; the first page of a teacher, of all batches
    /// and of each state, with essays and without; what the auditor found stale; and each --query.
    Show(ListArgs),
    /// Compare them with the database; the exit code is 1 if one is stale
    ///
    /// An answer that differs is looked at again after a second: while an event is being applied, the
    /// database is ahead of the cache for a moment, and the event is not acknowledged yet.
    Verify(ListArgs),
    /// Make every answer of the owner unreadable, in all processes with the same cache
    ///
    /// Nothing is lost: the next reads load from the database.
    Invalidate {
        /// user:ID or batch:ID
        owner: String,
    },
    /// List the last answers that the auditor of the server found stale since it was started
    ///
    /// Each process has found its own: ask the one whose `ras_stale_hits_total` has grown.
    Stale {
        /// Print the server's answer, one JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct ListArgs {
    /// user:ID or batch:ID
    owner: String,
    /// Look up the answer to this query, too, as a client sends it; can be repeated
    #[arg(long = "query", value_name = "QUERY")]
    queries: Vec<String>,
    /// Look at this many answers of the index at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Print the server's answer, one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand. Gives the exit code.
pub(super) async fn run(arguments: CacheArgs) -> anyhow::Result<u8> {
    let client = Client::new(arguments.server.target()?)?;
    match arguments.command {
        Command::Show(list) => show(&client, &list, false).await,
        Command::Verify(list) => show(&client, &list, true).await,
        Command::Invalidate { owner } => {
            let request = of_owner(&client, Method::DELETE, &owner);
            let InvalidationReport { entries } =
                client.ask_with_retry(request, |failed| print_line!("{failed}")).await?;
            print_line!("invalidated; the index had {}", counted(entries, "entry", "entries"));
            Ok(0)
        }
        Command::Stale { json } => stale(&client, json).await,
    }
}

async fn show(client: &Client, list: &ListArgs, compares: bool) -> anyhow::Result<u8> {
    let request = of_owner(client, Method::GET, &list.owner)
        .query(&[("limit", list.limit.to_string()), ("compare", compares.to_string())])
        .query(&list.queries.iter().map(|query| ("query", query_of(query))).collect::<Vec<_>>());
    let cached: CachedAnswers = client.ask(request).await?;
    if list.json {
        print_line!("{}", printable_json(&serde_json::to_string(&cached)?));
    } else {
        print(&cached, list);
    }
    let is_stale = |answer: &CachedAnswer| answer.comparison == Some(Comparison::Stale);
    Ok(u8::from(cached.answers.iter().any(is_stale)))
}

/// What follows the question mark, if there is one.
fn query_of(text: &str) -> &str {
    text.strip_prefix('?').unwrap_or(text)
}

fn print(cached: &CachedAnswers, list: &ListArgs) {
    let CachedAnswers { members, answers } = cached;
    for CachedAnswer { key, size_bytes, expires_in_seconds, indexed, comparison } in answers {
        let expires = expires_in_seconds.map_or("-".to_owned(), |seconds| format!("{seconds} s"));
        let comparison = comparison.map_or("", word);
        let mark = if *indexed == Some(false) { "  not in the index" } else { "" };
        let key = printable(key);
        print_line!("{size_bytes:>10} bytes  {expires:>7}  {comparison:<8}{key}{mark}");
    }
    let readable = counted(answers.len() as u64, "answer", "answers");
    print_line!("{readable}; the index has {}", counted(*members, "entry", "entries"));
    if *members == 0 && !list.owner.starts_with("batch:") {
        print_line!(
            "other answers may still be given: check one with --query 'limit=5&status=ready'"
        );
    }
}

async fn stale(client: &Client, json: bool) -> anyhow::Result<u8> {
    let found: StaleAnswers = client.ask(client.request(Method::GET, "/stale-answers")).await?;
    if json {
        print_line!("{}", printable_json(&serde_json::to_string(&found)?));
        return Ok(0);
    }
    for StaleAnswer { owner, key, last_found_at, .. } in &found.answers {
        print_line!("{last_found_at}  {}  {}", printable(key), printable(owner));
    }
    let answers = counted(found.answers.len() as u64, "stale answer", "stale answers");
    print_line!("{answers} found by this process since it was started");
    Ok(0)
}

fn word(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Same => "same",
        Comparison::Stale => "STALE",
        Comparison::Changed => "changed",
        Comparison::Foreign => "foreign",
    }
}

fn of_owner(client: &Client, method: Method, owner: &str) -> RequestBuilder {
    client.request(method, &format!("/cache/{}", utf8_percent_encode(owner, NON_ALPHANUMERIC)))
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
