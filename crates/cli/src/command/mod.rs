//! The command line: what can be said, and what it does.

mod server_args;
mod simulate;

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use secrecy::ExposeSecret as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use self::server_args::ServerArgs;
use self::simulate::SimulateArgs;
use crate::dead_letters;
use crate::demo::{self, DemoOptions};
use crate::replay::replay;
use aggregator::app::Start;
use aggregator::config::{Config, LogFormat, Overrides, unread_variables};
use aggregator::output::{FLUSH_MAX, LineWriter};
use aggregator::print_line;

/// The lists and states of essay batches, cached and never stale.
#[derive(Debug, Parser)]
#[command(name = "result-aggregator", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service. Embedded unless told otherwise: SQLite, in-process cache, events over HTTP.
    ///
    /// Each part is switched to the real server by its flag, its variable or its key in the file:
    /// --database-url RAS_DATABASE_URL, --redis-url RAS_REDIS_URL, --kafka-brokers
    /// RAS_KAFKA_BROKERS. The key that callers send is RAS_INTERNAL_API_KEY.
    Serve(ServeArgs),
    /// Send a file of envelopes, one JSON object per line, to a running server.
    ///
    /// Safe to repeat: events that the server has had are counted as duplicates. The exit code is 1
    /// if a line was refused.
    Replay(ReplayArgs),
    /// Look into records that were refused, take them again after a fix, or drop them.
    ///
    /// A client of a running server, embedded or not. What a record was refused for is told by
    /// `show`; docs/dead-dead letters.md says what to do about each reason.
    DeadLetters(DeadLettersArgs),
    /// Send the made-up life of teachers and their batches, to try and to load a service with.
    ///
    /// Whole lives in all six kinds of events: registrations, files, spellchecks, phases,
    /// assessments, ends. Many batches at a time, their records interleaved; some fail, some records
    /// are late, some come twice, some are malformed and are to be refused. Times are simulated: they
    /// go on as life does, however fast the records are sent. The exit code is 1 if something was
    /// not delivered, or not taken for what it is.
    #[command(after_help = simulate::EXAMPLES)]
    Simulate(SimulateArgs),
    /// Show what it is about: an embedded server, hundreds of teachers, live events, fresh lists.
    Demo(DemoArgs),
    /// Print every setting with its default and its unit, as a file for --config.
    Settings(SettingsArgs),
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// Address and port; port 0 takes a free one and prints it [default: 127.0.0.1:4003]
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where the embedded mode keeps its database and its key [default: ras-data]
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

#[derive(Debug, Args)]
struct SettingsArgs {
    /// Instead, say what is wrong with the settings that `serve --config FILE` would have here, with
    /// the RAS_ variables of this environment; the exit code is 1 if they cannot be used
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// The file, or - for standard input
    file: PathBuf,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
struct DeadLettersArgs {
    #[command(subcommand)]
    command: dead_letters::Command,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// Address and port; a free port if this one is taken
    #[arg(long, default_value = "127.0.0.1:4003")]
    listen: SocketAddr,
    /// How many teachers
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    teachers: u32,
    /// Makes the same batches again
    #[arg(long, default_value_t = 17)]
    seed: u64,
    /// End after so many seconds instead of waiting for Ctrl-C
    #[arg(long)]
    seconds: Option<u64>,
}

impl Cli {
    /// Does what was said. Gives the exit code.
    ///
    /// # Errors
    ///
    /// Whatever kept it from being done.
    pub async fn run(self) -> anyhow::Result<u8> {
        match self.command {
            Command::Serve(arguments) => Box::pin(serve(arguments)).await.map(|()| 0),
            Command::Replay(arguments) => send(arguments).await,
            Command::DeadLetters(DeadLettersArgs { command, server }) => {
                dead_letters::run(command, server.target()?).await
            }
            Command::Simulate(arguments) => simulate::run(arguments, stop_on_signals()?).await,
            Command::Demo(arguments) => show(arguments).await.map(|()| 0),
            Command::Settings(SettingsArgs { check: None }) => {
                // Who closes the pipe has read enough.
                let _ = io::stdout().write_all(aggregator::config::DEFAULTS.as_bytes());
                Ok(0)
            }
            Command::Settings(SettingsArgs { check: Some(file) }) => {
                Config::load(Overrides { file: Some(file.clone()), ..Overrides::default() })?;
                print_line!("{}: these settings can be used", file.display());
                Ok(0)
            }
        }
    }
}

async fn serve(arguments: ServeArgs) -> anyhow::Result<()> {
    let unread = unread_variables(|name| std::env::var_os(name).is_some());
    let loaded = Config::load(Overrides {
        file: arguments.config,
        listen: arguments.listen,
        data_dir: arguments.data_dir,
        database_url: arguments.database_url,
        redis_url: arguments.redis_url,
        kafka_brokers: arguments.kafka_brokers,
    });
    let config = match (loaded, &unread) {
        // They may be why something is missing.
        (Err(error), Some(unread)) => bail!("{error}\n  {unread}"),
        (loaded, _) => loaded?,
    };
    let log = start_logging(&config.log, config.log_format)?;
    let stdout = LineWriter::stdout().context("open standard output")?;
    if config.is_embedded() {
        tracing::info!(
            data_dir = %config.data_dir.display(),
            "embedded mode: SQLite in data_dir, a cache inside this process, events over HTTP; set \
             RAS_DATABASE_URL, RAS_REDIS_URL and RAS_KAFKA_BROKERS for production"
        );
    }
    if let Some(unread) = unread {
        tracing::warn!("{unread}");
    }
    // Before anything that takes time: a stop during the start is a stop.
    let stop = stop_on_signals()?;
    let outcome = Box::pin(build_and_run(&config, &stdout, stop)).await;
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
    let cache = if config.redis_url.is_some() { "Redis" } else { "in-process" };
    let events = if config.kafka_brokers.is_some() { "Kafka and HTTP" } else { "HTTP" };
    let address = app.address()?;
    stdout.line(format_args!("listening on http://{address}"));
    stdout.line(format_args!("database: {database}, cache: {cache}, events from: {events}"));
    tracing::info!(%address, "ready");
    app.run(stop).await
}

async fn send(arguments: ReplayArgs) -> anyhow::Result<u8> {
    let summary = replay(&arguments.file, arguments.server.target()?).await?;
    print_line!("{summary}");
    summary.refused_lines().for_each(|line| print_line!("  {line}"));
    Ok(u8::from(!summary.refused.is_empty()))
}

async fn show(arguments: DemoArgs) -> anyhow::Result<()> {
    let log = start_logging("warn", LogFormat::Text)?;
    let stop = stop_on_signals()?;
    let DemoArgs { listen, teachers, seed, seconds } = arguments;
    let options = DemoOptions { listen, teachers, seed, seconds };
    let outcome = demo::run(options, stop).await;
    log.flush_within(FLUSH_MAX);
    outcome
}

/// Sends log lines to standard error. Nothing waits for a reader of them, or needs one.
fn start_logging(filter: &str, format: LogFormat) -> anyhow::Result<LineWriter> {
    let filter = EnvFilter::try_new(filter).context("settings: log")?;
    let writer = LineWriter::stderr().context("open standard error")?;
    let output = writer.clone();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false)
        .with_writer(move || output.clone());
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
    log_panics(writer.clone());
    Ok(writer)
}

/// Panics are log lines as all others: the default hook waits for a standard error that is full. What
/// a panic says may quote a record, so only its place is logged.
fn log_panics(log: LineWriter) {
    std::panic::set_hook(Box::new(move |panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "panicked; the request or task under way has failed");
        log.flush_within(FLUSH_MAX);
    }));
}

/// A token that fires on the first SIGINT or SIGTERM. The second one ends the process at once.
fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let stop = CancellationToken::new();
    let fired = stop.clone();
    tokio::spawn(async move {
        for is_first in [true, false] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if is_first {
                // First of all: nothing may keep a stop from being one.
                fired.cancel();
                tracing::info!("stopping; once more to stop at once");
            }
        }
        std::process::exit(130);
    });
    Ok(stop)
}

/// The key, for lines that a person copies.
pub(crate) fn exposed(key: &secrecy::SecretString) -> &str {
    key.expose_secret()
}
