//! `result-aggregator demo`: shows in a minute what the service is about.
//!
//! An embedded server in a temporary directory, driven over HTTP as any client would: nothing here
//! reaches around the API.

mod client;
mod generator;
mod story;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use console::style;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use self::client::Client;
use self::generator::Generator;
use crate::app::App;
use crate::cli::exposed;
use crate::clock::SystemClock;
use crate::config::{Config, Overrides};

/// Events in one request while the server is filled.
const SEED_REQUEST_EVENTS: usize = 200;

/// What to show.
#[derive(Clone, Copy, Debug)]
pub struct DemoOptions {
    /// Where to listen; a free port if this one is taken.
    pub listen: SocketAddr,
    /// How many teachers there are.
    pub teachers: u32,
    /// Makes the same batches again.
    pub seed: u64,
    /// When to end by itself.
    pub seconds: Option<u64>,
}

/// Runs until `stop` fires, or the time is over.
///
/// # Errors
///
/// If the server cannot start, or an answer is not what it must be.
pub async fn run(options: DemoOptions, stop: CancellationToken) -> anyhow::Result<()> {
    let directory =
        std::env::temp_dir().join(format!("result-aggregator-{}", uuid::Uuid::new_v4()));
    let outcome = run_in(&directory, options, stop).await;
    // A leftover in the temporary directory harms nobody.
    let _ = std::fs::remove_dir_all(&directory);
    outcome
}

async fn run_in(
    directory: &std::path::Path,
    options: DemoOptions,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let app = build(directory, options.listen).await?;
    let base = format!("http://{}", app.address()?);
    let key = exposed(app.key()).to_owned();
    let running = tokio::spawn(app.run(stop.clone()));

    let client = Client::new(&base, &key)?;
    let generator = Generator::new(options.seed, options.teachers, Box::new(SystemClock::new()));
    let shown = tokio::select! {
        shown = show(client, generator, &base, &key, options.seconds) => shown,
        () = stop.cancelled() => Ok(()),
    };
    stop.cancel();
    running.await.context("stop the server")?;
    shown
}

async fn show(
    client: Client,
    mut generator: Generator,
    base: &str,
    key: &str,
    seconds: Option<u64>,
) -> anyhow::Result<()> {
    println!("{} {base}", style("An embedded server:").bold());
    fill(&client, &mut generator).await?;
    story::tell(&client, &mut generator).await?;
    print_invitation(base, key, &generator.favourite());
    story::go_on_live(&client, &mut generator, seconds.map(Duration::from_secs)).await
}

async fn build(directory: &std::path::Path, listen: SocketAddr) -> anyhow::Result<App> {
    let mut config = Config::load(Overrides {
        listen: Some(listen),
        data_dir: Some(directory.to_owned()),
        // Whatever the variables say, the demo touches no real server.
        database_url: Some(String::new()),
        redis_url: Some(String::new()),
        kafka_brokers: Some(String::new()),
        ..Overrides::default()
    })?;
    // The real key is none of the demo's business, and it prints its own.
    config.internal_api_key = Some(uuid::Uuid::new_v4().simple().to_string().into());
    if let Ok(app) = App::build(&config).await {
        return Ok(app);
    }
    config.listen.set_port(0);
    App::build(&config).await
}

/// Registers the first batches of every teacher.
async fn fill(client: &Client, generator: &mut Generator) -> anyhow::Result<()> {
    let events = generator.first_batches();
    let bar = ProgressBar::new(events.len() as u64);
    let look = ProgressStyle::with_template("  {bar:30} {pos}/{len} events, {per_sec}");
    bar.set_style(look.unwrap_or(ProgressStyle::default_bar()));
    for group in events.chunks(SEED_REQUEST_EVENTS) {
        client.post(group).await?;
        bar.inc(group.len() as u64);
    }
    bar.finish_and_clear();
    println!("  {} events of {} teachers registered", events.len(), generator.teachers());
    Ok(())
}

fn print_invitation(base: &str, key: &str, teacher: &str) {
    let headers = format!("-H 'X-Internal-API-Key: {key}' -H 'X-Service-ID: bff-teacher-service'");
    println!("\n{}", style("Try it:").bold());
    println!("  curl -i {headers} \\\n    '{base}/internal/v1/batches/user/{teacher}?limit=2'");
    println!("  curl -i {headers} \\\n    '{base}/internal/v1/batches/{teacher}-1/status'");
    println!("  curl {base}/metrics | grep ras_cache");
    println!("  curl {base}/readyz\n");
}
