//! `result-aggregator serve`: the service itself.

use aggregator::app::Start;
use aggregator::config::Config;
use aggregator::output::{FLUSH_MAX, LineWriter};
use anyhow::Context as _;
use clap::Args;
use secrecy::ExposeSecret as _;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::config_args::{ConfigArgs, unread};
use crate::logging;
use crate::signals::stop_on_signals;
use crate::traces::Traces;

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

/// Runs the service until a signal stops it.
pub(super) async fn run(arguments: ServeArgs) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    let traces = Traces::start(&config.traces)?;
    let log = logging::start(&config.log, config.log_format, traces.as_ref())?;
    let stdout = LineWriter::stdout().context("open standard output")?;
    if config.is_embedded() {
        tracing::info!(
            data_dir = %config.data_dir.display(),
            "embedded mode: SQLite in data_dir, a cache inside this process, events over HTTP; set \
             RAS_DATABASE_URL, RAS_REDIS_URL and RAS_KAFKA_BROKERS for production"
        );
    }
    if let Some(unread) = unread() {
        tracing::warn!("{unread}");
    }
    // Before the slow part of the start, so that a signal during the start stops it.
    let stop = stop_on_signals()?;
    let outcome = Box::pin(build_and_run(&config, &stdout, stop)).await;
    if let Some(traces) = traces {
        // It blocks. An error: the runtime is ending.
        let _ = spawn_blocking(|| traces.end()).await;
    }
    stdout.flush_within(FLUSH_MAX);
    log.flush_within(FLUSH_MAX);
    outcome
}

async fn build_and_run(
    config: &Config,
    stdout: &LineWriter,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let start = Start::new(config).await?;
    tracing::info!(address = %start.address()?, "listening; not ready until everything is connected");
    let Some(app) = start.connect(&stop).await? else { return Ok(()) };
    if let Some(path) = app.new_key_path() {
        stdout.line(format_args!("made an internal API key, kept in {}:", path.display()));
        stdout.line(format_args!("  {}", app.key().expose_secret()));
    }
    let database = if config.database_url.is_some() { "PostgreSQL" } else { "SQLite" };
    let cache = if config.redis().is_some() { "Redis" } else { "in-process" };
    let events = if config.kafka_brokers.is_some() { "Kafka and HTTP" } else { "HTTP" };
    let address = app.address()?;
    let scheme = if config.http.certificate_files().is_some() { "https" } else { "http" };
    stdout.line(format_args!("listening on {scheme}://{address}"));
    stdout.line(format_args!("database: {database}, cache: {cache}, events from: {events}"));
    tracing::info!(%address, "ready");
    app.run(stop).await
}
