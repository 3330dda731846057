//! Measurement of what streams, audits and traces cost the reads beside them, with PostgreSQL, Redis and
//! the service on this machine.
//!
//! `cargo x measure reads` runs it. Each variant is a process of its own. It is measured again and again, each
//! time just before or after the plain one, while the others are idle, and compared with that measurement:
//! machines change their speed by the second. Lists change meanwhile, as many in every variant.

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

/// Comparisons of each variant with the plain one.
const ROUNDS: usize = 31;
/// The interval of 95 % has so many standard errors on each side (normal distribution).
const STANDARD_ERRORS: f64 = 1.96;
/// The most that the settings take: one, the default, costs a hundredth of it.
const AUDITS_PER_SECOND: u32 = 100;
/// Streams that are open in one of the variants, each of another teacher.
const STREAMS: usize = 500;
const KEY: &str = "measure-measure-measure";
const START_MAX: Duration = Duration::from_secs(60);

/// Settings of a process.
type Variables = Vec<(&'static str, String)>;

/// What differs between the variants.
struct Variant {
    name: String,
    streams: usize,
    variables: Variables,
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
        services.push(start(&database, &redis.url(), &variant.variables).await);
    }
    let plain = start(&database, &redis.url(), &no_audits()).await;
    let load = Load::new(KEY);
    load.fill(&plain.1, STREAMS).await;
    let mut plain_speeds = Vec::new();
    let mut shares = vec![Vec::new(); variants.len()];
    for round in 0..ROUNDS {
        for ((variant, (_, base)), shares) in variants.iter().zip(&services).zip(&mut shares) {
            let plain = async || load.reads_per_second(&plain.1, 0).await;
            let varied = async || load.reads_per_second(base, variant.streams).await;
            let (plain, varied) = if round % 2 == 0 {
                (plain().await, varied().await)
            } else {
                let varied = varied().await;
                (plain().await, varied)
            };
            plain_speeds.push(plain);
            shares.push(varied / plain);
        }
    }
    println!("plain: {:.0} reads/s", mean(&plain_speeds));
    for (variant, shares) in variants.iter().zip(&shares) {
        let [low, share, high] = geometric_mean(shares);
        println!("{}: {share:.3} of the plain ones ({low:.3} to {high:.3})", variant.name);
    }
}

fn variants(collector: String) -> Vec<Variant> {
    let audits = vec![("RAS_AUDIT__HITS_PER_SECOND", AUDITS_PER_SECOND.to_string())];
    let traced = vec![("RAS_TRACES__ENDPOINT", collector)];
    let variant = |name: String, streams, variables| Variant { name, streams, variables };
    vec![
        variant(format!("{AUDITS_PER_SECOND} audits a second"), 0, audits),
        variant(format!("{STREAMS} open streams"), STREAMS, no_audits()),
        variant("every trace sampled".to_owned(), 0, [no_audits(), traced].concat()),
    ]
}

fn no_audits() -> Variables {
    vec![("RAS_AUDIT__HITS_PER_SECOND", "0".to_owned())]
}

async fn start(database: &str, redis: &str, variables: &Variables) -> (Process, String) {
    let program = std::env::current_exe().expect("the path of this program");
    let mut process = Process::builder(program)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("RAS_INTERNAL_API_KEY", KEY)
        .env("RAS_DATABASE_URL", database)
        .env("RAS_REDIS_URL", redis)
        .env("RAS_LOG", "warn");
    for (name, value) in variables {
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

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

/// The geometric mean, between the ends of its confidence interval of 95 %.
fn geometric_mean(numbers: &[f64]) -> [f64; 3] {
    let logarithms: Vec<_> = numbers.iter().map(|number| number.ln()).collect();
    let middle = mean(&logarithms);
    let squares: f64 = logarithms.iter().map(|logarithm| (logarithm - middle).powi(2)).sum();
    let count = numbers.len() as f64;
    let error = (squares / (count - 1.0) / count).sqrt();
    [-STANDARD_ERRORS, 0.0, STANDARD_ERRORS].map(|errors| (middle + errors * error).exp())
}
