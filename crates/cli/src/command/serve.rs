//! `result-aggregator serve`: the service itself.

use std::net::SocketAddr;
use std::path::PathBuf;

use aggregator::app::Start;
use aggregator::config::{Config, Overrides, unread_variables};
use aggregator::output::{FLUSH_MAX, LineWriter};
use anyhow::{Context as _, bail};
use clap::Args;
use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;

use crate::logging;
use crate::signals::stop_on_signals;

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Address and port; with port 0, a free port is chosen and printed [default: 127.0.0.1:4003]
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Directory of the database and the key in embedded mode [default: ras-data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// A TOML file with settings; `result-aggregator settings` prints all of them
    #[arg(long)]
    config: Option<PathBuf>,
    /// postgres://user:password@host/database, in place of SQLite
    #[arg(long)]
    database_url: Option<String>,
    /// redis://user:password@host:6379, in place of the in-process cache
    #[arg(long)]
    redis_url: Option<String>,
    /// host:9092,host:9092 to consume events from and to publish outgoing events to
    #[arg(long)]
    kafka_brokers: Option<String>,
}

/// Runs the service until a signal stops it.
pub(super) async fn run(arguments: ServeArgs) -> anyhow::Result<()> {
    let config = load(arguments)?;
    let log = logging::start(&config.log, config.log_format)?;
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
    stdout.flush_within(FLUSH_MAX);
    log.flush_within(FLUSH_MAX);
    outcome
}

fn load(arguments: ServeArgs) -> anyhow::Result<Config> {
    let loaded = Config::load(Overrides {
        file: arguments.config,
        listen: arguments.listen,
        data_dir: arguments.data_dir,
        database_url: arguments.database_url,
        redis_url: arguments.redis_url,
        kafka_brokers: arguments.kafka_brokers,
    });
    match (loaded, unread()) {
        // A variable of another name may be why a setting is missing.
        (Err(error), Some(unread)) => bail!("{error}\n  {unread}"),
        (loaded, _) => Ok(loaded?),
    }
}

/// A remark about variables that are set and not read, if there are any.
fn unread() -> Option<String> {
    unread_variables(|name| std::env::var_os(name).is_some())
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
    let cache = if config.redis_url.is_some() { "Redis" } else { "in-process" };
    let events = if config.kafka_brokers.is_some() { "Kafka and HTTP" } else { "HTTP" };
    let address = app.address()?;
    stdout.line(format_args!("listening on http://{address}"));
    stdout.line(format_args!("database: {database}, cache: {cache}, events from: {events}"));
    tracing::info!(%address, "ready");
    app.run(stop).await
}
