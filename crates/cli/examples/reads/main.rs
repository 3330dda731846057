//! Measurement of what streams, audits and traces cost the reads beside them, with PostgreSQL, Redis and
//! the service on this machine.
//!
//! `cargo x measure reads` runs it. Each variant is a process of its own. They are measured by turns, while
//! the others are idle, and compared within each round, since machines change their speed. Lists change
//! meanwhile, as many in every variant.

#![expect(clippy::expect_used, reason = "a measurement that cannot go on must stop")]

mod load;

use std::time::Duration;

use axum::Router;
use axum::routing::post;
use clap::Parser as _;
use cli::command::Cli;
use testkit::{Postgres, Process, Redis};
use tokio::net::TcpListener;

use self::load::Load;

const ROUNDS: usize = 7;
/// Streams that are open in one of the variants, each of another teacher.
const STREAMS: usize = 500;
const KEY: &str = "measure-measure-measure";
const START_MAX: Duration = Duration::from_secs(60);

/// What differs between the variants.
struct Variant {
    name: &'static str,
    streams: usize,
    variables: Vec<(&'static str, String)>,
}

#[tokio::main]
async fn main() {
    // The processes that are measured are this program, too.
    if std::env::args().nth(1).is_some_and(|argument| argument == "serve") {
        Cli::parse().run().await.expect("the service ends well");
        return;
    }
    let (postgres, redis) = tokio::join!(Postgres::start(), Redis::start());
    let database = postgres.create_database().await;
    let variants = variants(collector().await);
    let mut services = Vec::new();
    for variant in &variants {
        services.push(start(&database, &redis.url(), variant).await);
    }
    let load = Load::new(KEY);
    load.fill(&services[0].1, STREAMS).await;

    let mut speeds = vec![Vec::new(); variants.len()];
    for _ in 0..ROUNDS {
        for ((variant, service), speeds) in variants.iter().zip(&services).zip(&mut speeds) {
            speeds.push(load.reads_per_second(&service.1, variant.streams).await);
        }
    }
    for (variant, of_variant) in variants.iter().zip(&speeds) {
        let shares = of_variant.iter().zip(&speeds[0]).map(|(speed, plain)| speed / plain);
        println!(
            "{}: {:.0} reads/s, {:.3} of the plain ones",
            variant.name,
            median(of_variant.iter().copied()),
            median(shares),
        );
    }
}

fn variants(collector: String) -> Vec<Variant> {
    let no_audits = || vec![("RAS_AUDIT__HITS_PER_SECOND", "0".to_owned())];
    let traced = vec![("RAS_TRACES__ENDPOINT", collector)];
    let variant = |name, streams, variables| Variant { name, streams, variables };
    vec![
        variant("plain: no streams, audits or traces", 0, no_audits()),
        variant("audit of one hit a second of each read", 0, Vec::new()),
        variant("500 open streams", STREAMS, no_audits()),
        variant("every trace sampled", 0, [no_audits(), traced].concat()),
    ]
}

async fn start(database: &str, redis: &str, variant: &Variant) -> (Process, String) {
    let program = std::env::current_exe().expect("the path of this program");
    let mut process = Process::builder(program)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("RAS_INTERNAL_API_KEY", KEY)
        .env("RAS_DATABASE_URL", database)
        .env("RAS_REDIS_URL", redis)
        .env("RAS_LOG", "warn");
    for (name, value) in &variant.variables {
        process = process.env(name, value);
    }
    let process = process.start().await;
    let line = process.wait_for_line("listening on ", START_MAX).await;
    let base = line.rsplit(' ').next().expect("an address").to_owned();
    (process, base)
}

/// A collector that takes every span and keeps none. Gives its URL.
async fn collector() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().route("/v1/traces", post(async || {}));
    tokio::spawn(async { axum::serve(listener, router).await });
    format!("http://{address}/v1/traces")
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
