//! Demo: an embedded server in a temporary directory, and clients that show it at work.
//!
//! It uses the server over HTTP only, as any client would.

mod client;
mod expected;
mod live;
mod walkthrough;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use aggregator::app::Start;
use aggregator::config::{Config, Overrides};
use aggregator::print_line;
use anyhow::{Context as _, ensure};
use console::style;
use indicatif::{ProgressBar, ProgressStyle};
use projection::Timestamp;
use secrecy::ExposeSecret as _;
use simulate::{Extent, Simulation, SimulationOptions};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::client::{ADMIN, BFF, Client, target};
use crate::delivery::{DeliveryOptions, Outlet, deliver};

/// Batches that the server is filled with, per teacher and in total: a load of a few seconds.
const FIRST_BATCHES_PER_TEACHER: u64 = 2;
const FIRST_BATCHES_MAX: u64 = 1_000;
/// Largest batches: small, so that many of them are completed in little time.
const ESSAYS_MAX: u32 = 24;
const LIVE_ESSAYS_MAX: u32 = 12;
/// Batches in progress at the same time in the live part: few enough to watch.
const LIVE_BATCHES: u32 = 4;
/// Teacher of the walkthrough, unless there are fewer.
const WALKTHROUGH_TEACHER: u32 = 17;
/// Simulated time from the start of one part of the demo to the next, by which all batches of the
/// part before are completed.
const ONE_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Options of the demo.
#[derive(Clone, Copy, Debug)]
pub struct DemoOptions {
    /// Address to listen on; if the port is taken, a free one is used.
    pub listen: SocketAddr,
    /// Number of teachers.
    pub teachers: u32,
    /// Seed of the simulation.
    pub seed: u64,
    /// Duration of the live part; none: until a stop.
    pub seconds: Option<u64>,
}

/// Runs until `stop` is cancelled, or the time is over.
///
/// # Errors
///
/// If the server cannot start, or gives a wrong answer.
pub async fn run(options: DemoOptions, stop: CancellationToken) -> anyhow::Result<()> {
    let directory = std::env::temp_dir().join(format!("result-aggregator-{}", Uuid::new_v4()));
    let outcome = run_in(&directory, options, stop).await;
    // A leftover in the temporary directory does no harm.
    let _ = std::fs::remove_dir_all(&directory);
    outcome
}

async fn run_in(
    directory: &Path,
    options: DemoOptions,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let start = build(directory, options.listen).await?;
    let Some(app) = start.connect(&stop).await? else { return Ok(()) };
    let base = format!("http://{}", app.address()?);
    let key = app.key().expose_secret().to_owned();
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
    let walkthrough = SimulationOptions { start: a_day_after(first.start), ..first.clone() };
    let live = SimulationOptions {
        start: a_day_after(walkthrough.start),
        extent: Extent::Endless,
        essays_max: LIVE_ESSAYS_MAX,
        batches_at_a_time: LIVE_BATCHES,
        ..first.clone()
    };

    print_line!("{} {base}", style("An embedded server:").bold());
    fill(base, key, first, stop).await?;
    let client = Client::new(base, key)?;
    let teacher = WALKTHROUGH_TEACHER.min(teachers);
    let batch = walkthrough::run(&client, teacher, &walkthrough).await?;
    print_commands(base, key, &format!("teacher-{teacher}"), &batch);
    live::run(&client, Simulation::new(live), seconds.map(Duration::from_secs)).await
}

fn first_batches(teachers: u32) -> u64 {
    (FIRST_BATCHES_PER_TEACHER * u64::from(teachers)).min(FIRST_BATCHES_MAX)
}

fn a_day_after(moment: Timestamp) -> Timestamp {
    let micros = i64::try_from(ONE_DAY.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_unix_micros(moment.unix_micros().saturating_add(micros))
}

async fn build(directory: &Path, listen: SocketAddr) -> anyhow::Result<Start> {
    let mut config = Config::load(Overrides {
        listen: Some(listen),
        data_dir: Some(directory.to_owned()),
        // The demo uses no real server, whatever the variables say.
        database_url: Some(String::new()),
        without_redis: true,
        kafka_brokers: Some(String::new()),
        ..Overrides::default()
    })?;
    // A key of its own, because the demo prints it.
    config.internal_api_key = Some(Uuid::new_v4().simple().to_string().into());
    if let Ok(start) = Start::new(&config).await {
        return Ok(start);
    }
    config.listen.set_port(0);
    Start::new(&config).await
}

/// Sends all events of the first batches.
async fn fill(
    base: &str,
    key: &str,
    options: SimulationOptions,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("  {spinner} {pos} records, {per_sec}  {msg}");
    bar.set_style(style.unwrap_or(ProgressStyle::default_bar()));
    let outlet = Outlet::server(target(base, key, ADMIN), bar.clone())?;
    let delivery = DeliveryOptions { progress: bar.clone(), ..DeliveryOptions::default() };
    let (batches, teachers) = (first_batches(options.teachers), options.teachers);
    let summary = deliver(Simulation::new(options), outlet, &delivery, stop).await;
    bar.finish_and_clear();
    ensure!(summary.is_complete(), "the first batches were not delivered: {summary}");
    let events = summary.tally.events.values().sum::<u64>();
    print_line!(
        "  {batches} batches of {teachers} teachers from registration to completion: {events} events in \
         {:.1} s,\n  {} of them twice, and {} malformed records stored as dead letters",
        summary.took.as_secs_f64(),
        summary.tally.duplicates,
        summary.tally.malformed,
    );
    Ok(())
}

fn print_commands(base: &str, key: &str, teacher: &str, batch: &str) {
    let headers = format!("-H 'X-Internal-API-Key: {key}' -H 'X-Service-ID: {BFF}'");
    print_line!("\n{}", style("Try it:").bold());
    print_line!("  curl -i {headers} \\\n    '{base}/internal/v1/batches/user/{teacher}?limit=2'");
    print_line!("  curl -i {headers} \\\n    '{base}/internal/v1/batches/{batch}/status'");
    print_line!("  curl {base}/metrics | grep ras_cache");
    print_line!("  curl {base}/readyz");
    print_line!("  {base}/console in a browser\n");
}
