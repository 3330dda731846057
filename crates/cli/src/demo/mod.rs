//! `result-aggregator demo`: shows in a minute what the service is about.
//!
//! An embedded server in a temporary directory, driven over HTTP as any client would: nothing here
//! reaches around the API.

mod client;
mod expected;
mod live;
mod story;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use console::style;
use indicatif::{ProgressBar, ProgressStyle};
use projection::Timestamp;
use tokio_util::sync::CancellationToken;

use self::client::{ADMIN, BFF, Client, target};
use crate::command::exposed;
use crate::delivery::{DeliveryOptions, Outlet, deliver};
use aggregator::app::Start;
use aggregator::config::{Config, Overrides};
use aggregator::print_line;
use simulate::{Extent, Simulation, SimulationOptions};

/// Batches that the server is filled with, for each teacher and at most. It takes seconds.
const FIRST_BATCHES_PER_TEACHER: u64 = 2;
const FIRST_BATCHES_MAX: u64 = 1_000;
/// Most essays of a batch: small ones, so that many whole lives go by in little time.
const ESSAYS_MAX: u32 = 24;
const LIVE_ESSAYS_MAX: u32 = 12;
/// Batches under way at a time while a person watches.
const LIVE_BATCHES: u32 = 4;
/// Whom the story is about, if there are so many teachers.
const FAVOURITE_NUMBER: u32 = 17;
/// The story and what follows it begin when the lives before have ended, in simulated time.
const ONE_DAY: Duration = Duration::from_secs(24 * 60 * 60);

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
    let start = build(directory, options.listen).await?;
    let Some(app) = start.connect(&stop).await? else { return Ok(()) };
    let base = format!("http://{}", app.address()?);
    let key = exposed(app.key()).to_owned();
    let running = tokio::spawn(app.run(stop.clone()));

    let shown = tokio::select! {
        shown = show(&base, &key, options, &stop) => shown,
        () = stop.cancelled() => Ok(()),
    };
    stop.cancel();
    running.await.context("stop the server")??;
    shown
}

async fn show(
    base: &str,
    key: &str,
    options: DemoOptions,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let DemoOptions { teachers, seed, seconds, .. } = options;
    let first = SimulationOptions {
        seed,
        teachers,
        essays_max: ESSAYS_MAX,
        extent: Extent::Batches(first_batches(teachers)),
        ..SimulationOptions::default()
    };
    let story = SimulationOptions { start: a_day_after(first.start), ..first.clone() };
    let live = SimulationOptions {
        start: a_day_after(story.start),
        extent: Extent::Endless,
        essays_max: LIVE_ESSAYS_MAX,
        batches_at_a_time: LIVE_BATCHES,
        ..first.clone()
    };

    print_line!("{} {base}", style("An embedded server:").bold());
    fill(base, key, first, stop).await?;
    let client = Client::new(base, key)?;
    let favourite = FAVOURITE_NUMBER.min(teachers);
    let batch = story::tell(&client, favourite, &story).await?;
    print_invitation(base, key, &format!("teacher-{favourite}"), &batch);
    live::go_on(&client, Simulation::new(live), seconds.map(Duration::from_secs)).await
}

fn first_batches(teachers: u32) -> u64 {
    (FIRST_BATCHES_PER_TEACHER * u64::from(teachers)).min(FIRST_BATCHES_MAX)
}

fn a_day_after(moment: Timestamp) -> Timestamp {
    let micros = i64::try_from(ONE_DAY.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_unix_micros(moment.unix_micros().saturating_add(micros))
}

async fn build(directory: &std::path::Path, listen: SocketAddr) -> anyhow::Result<Start> {
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
    if let Ok(start) = Start::new(&config).await {
        return Ok(start);
    }
    config.listen.set_port(0);
    Start::new(&config).await
}

/// Sends the whole lives of the first batches.
async fn fill(
    base: &str,
    key: &str,
    options: SimulationOptions,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let bar = ProgressBar::new_spinner();
    let look = ProgressStyle::with_template("  {spinner} {pos} records, {per_sec}  {msg}");
    bar.set_style(look.unwrap_or(ProgressStyle::default_bar()));
    let outlet = Outlet::server(target(base, key, ADMIN), bar.clone())?;
    let delivery = DeliveryOptions { progress: bar.clone(), ..DeliveryOptions::default() };
    let (batches, teachers) = (first_batches(options.teachers), options.teachers);
    let summary = deliver(Simulation::new(options), outlet, &delivery, stop).await;
    bar.finish_and_clear();
    ensure!(summary.is_complete(), "the server was not filled: {summary}");
    let events = summary.tally.events.values().sum::<u64>();
    print_line!(
        "  {batches} batches of {teachers} teachers from registration to end: {events} events in \
         {:.1} s,\n  {} of them twice, and {} malformed records kept as dead letters",
        summary.took.as_secs_f64(),
        summary.tally.duplicates,
        summary.tally.malformed,
    );
    Ok(())
}

fn print_invitation(base: &str, key: &str, teacher: &str, batch: &str) {
    let headers = format!("-H 'X-Internal-API-Key: {key}' -H 'X-Service-ID: {BFF}'");
    print_line!("\n{}", style("Try it:").bold());
    print_line!("  curl -i {headers} \\\n    '{base}/internal/v1/batches/user/{teacher}?limit=2'");
    print_line!("  curl -i {headers} \\\n    '{base}/internal/v1/batches/{batch}/status'");
    print_line!("  curl {base}/metrics | grep ras_cache");
    print_line!("  curl {base}/readyz\n");
}
