//! Measurement of the CPU time that an uncached list takes of PostgreSQL, compared with the same facts
//! in plain columns, which are read with three statements.
//!
//! `cargo x measure list` runs it. Both sides read one teacher's whole list, whose rows lie among those
//! of other teachers, by turns, each on one connection, with prepared statements and binary results.
//! The CPU time is that of the backend process, including the kernel's share for sending the answer;
//! the client is not counted.

#![expect(clippy::expect_used, reason = "a measurement that cannot go on must stop")]

mod backend;
mod lives;
mod relational;

use std::sync::Arc;
use std::time::Duration;

use database::{BatchRepository as _, Page, PageQuery, PostgresOptions, PostgresRepository};
use projection::{Pagination, page_json};
use sqlx::{Connection as _, PgConnection};
use testkit::Postgres;

use self::backend::Backend;
use self::relational::Relational;

/// Size of the list.
const BATCHES: u32 = 20;
const ESSAYS_PER_BATCH: usize = 25;
const ESSAYS: usize = BATCHES as usize * ESSAYS_PER_BATCH;
/// Measured executions of each side.
const EXECUTIONS: usize = 400;
/// Executions before the measurement, after which the server has chosen its plan.
const WARM_UP_EXECUTIONS: usize = 20;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let postgres = Postgres::start().await;
    let url = postgres.create_database().await;
    let one_connection = PostgresOptions::new(1, Duration::from_secs(2));
    let repository =
        PostgresRepository::connect(&url, one_connection).await.expect("the service connects");
    let repository = Arc::new(repository);
    lives::fill(&repository).await;

    let mut connection = PgConnection::connect(&url).await.expect("a connection");
    let mut relational = Relational::fill(&url).await;
    // As autovacuum does, so that index-only scans need not read the table.
    sqlx::raw_sql("vacuum analyze").execute(&mut connection).await.expect("vacuum");
    let service = Backend::of_the_service(&mut connection, relational.backend()).await;

    let mut costs = [const { Vec::new() }; 4];
    for execution in 0..WARM_UP_EXECUTIONS + EXECUTIONS {
        let cpu = [
            service.cpu_of(list(&repository, true)).await,
            service.cpu_of(list(&repository, false)).await,
            relational.cpu_of_list().await,
            relational.cpu_of_list_in_one_snapshot().await,
        ];
        if execution >= WARM_UP_EXECUTIONS {
            costs.iter_mut().zip(cpu).for_each(|(costs, cpu)| costs.push(cpu));
        }
    }
    let bytes = body_bytes(list(&repository, true).await);
    print(costs.map(median), bytes);
}

/// Reads the list as the service does.
async fn list(repository: &PostgresRepository, include_essays: bool) -> Page {
    let query = PageQuery {
        user_id: lives::measured_teacher(),
        statuses: Vec::new(),
        limit: BATCHES,
        offset: 0,
        include_essays,
    };
    let page = repository.user_page(&query).await.expect("a page");
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

/// Median of times in nanoseconds.
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
