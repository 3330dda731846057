//! What an uncached list costs PostgreSQL, beside the same facts in plain columns, which a service
//! reads with three statements.
//!
//! `cargo x measure list` runs it. Both sides answer one teacher's whole list, which lies among the
//! rows of others, in turns, each on one connection, with prepared statements and binary results.
//! What counts is the CPU time of the backend, to which the kernel adds what sending the answer takes;
//! what the client does with it does not count.

#![expect(clippy::expect_used, reason = "a measurement that cannot go on must stop")]

mod backend;
mod lives;
mod relational;

use std::sync::Arc;

use database::{BatchRepository as _, Page, PageQuery, PostgresOptions, PostgresRepository};
use projection::{Pagination, page_json};
use sqlx::{Connection as _, PgConnection};
use testkit::Postgres;

use self::backend::Backend;
use self::relational::Relational;

/// The list: so many batches, so many essays in each.
const BATCHES: u32 = 20;
const ESSAYS_PER_BATCH: usize = 25;
const ESSAYS: usize = BATCHES as usize * ESSAYS_PER_BATCH;
/// What is measured of each side.
const EXECUTIONS: usize = 400;
/// Enough for the server to have chosen the plan that it keeps.
const EXECUTIONS_BEFORE: usize = 20;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let postgres = Postgres::start().await;
    let url = postgres.create_database().await;
    let one_connection = PostgresOptions { connections_max: 1, ..PostgresOptions::default() };
    let store =
        PostgresRepository::connect(&url, one_connection).await.expect("the service connects");
    let store = Arc::new(store);
    lives::fill(&store).await;

    let mut connection = PgConnection::connect(&url).await.expect("a connection");
    let mut relational = Relational::fill(&url).await;
    // As autovacuum does it: what an index alone answers is read in no table.
    sqlx::raw_sql("vacuum analyze").execute(&mut connection).await.expect("it is cleaned");
    let service = Backend::of_the_service(&mut connection, relational.backend()).await;

    let mut costs = [const { Vec::new() }; 4];
    for execution in 0..EXECUTIONS_BEFORE + EXECUTIONS {
        let cpu = [
            service.cpu_of(list(&store, true)).await,
            service.cpu_of(list(&store, false)).await,
            relational.cpu_of_list().await,
            relational.cpu_of_list_in_one_snapshot().await,
        ];
        if execution >= EXECUTIONS_BEFORE {
            costs.iter_mut().zip(cpu).for_each(|(costs, cpu)| costs.push(cpu));
        }
    }
    let bytes = body_bytes(list(&store, true).await);
    print(costs.map(median), bytes);
}

/// The list as the service reads it.
async fn list(store: &PostgresRepository, include_essays: bool) -> Page {
    let query = PageQuery {
        user_id: lives::measured_teacher(),
        statuses: Vec::new(),
        limit: BATCHES,
        offset: 0,
        include_essays,
    };
    let page = store.user_page(&query).await.expect("a page");
    let essays: usize = page.batches.iter().map(|batch| batch.essays.len()).sum();
    let expected = if include_essays { ESSAYS } else { 0 };
    assert_eq!(
        (page.total, page.batches.len(), essays),
        (BATCHES.into(), BATCHES as usize, expected)
    );
    page
}

fn body_bytes(page: Page) -> usize {
    let pagination = Pagination { limit: BATCHES, offset: 0, total: page.total };
    let batches: Vec<_> =
        page.batches.into_iter().map(|found| (found.batch, found.essays)).collect();
    page_json(&batches, pagination, true).len()
}

/// In nanoseconds.
fn median(mut costs: Vec<u64>) -> u64 {
    costs.sort_unstable();
    costs[costs.len() / 2]
}

fn print([list, summary, statements, snapshot]: [u64; 4], bytes: usize) {
    println!(
        "CPU time of PostgreSQL's backend for an uncached list of {BATCHES} batches with {ESSAYS} \
         essays, an answer\nof {} KB: medians of {EXECUTIONS} executions, in turns.\n",
        bytes / 1_000
    );
    println!("| what is read | ms | ratio |\n|---|---|---|");
    let row = |what: &str, nanoseconds: u64| {
        let ratio = nanoseconds as f64 / statements as f64;
        println!("| {what} | {:.2} | {ratio:.2} |", nanoseconds as f64 / 1e6);
    };
    row("by the service", list);
    row("by the service, `include=summary`", summary);
    row("the same facts in plain columns: count, page, essays", statements);
    row("the same in one snapshot, as the service has it", snapshot);
}
