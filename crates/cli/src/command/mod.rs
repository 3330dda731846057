//! Subcommands of the program: their arguments and what each runs, one file per subcommand.

mod dead_letters;
mod demo;
mod replay;
mod serve;
mod server_args;
mod settings;
mod simulate;

use clap::{Parser, Subcommand};

use self::dead_letters::DeadLettersArgs;
use self::demo::DemoArgs;
use self::replay::ReplayArgs;
use self::serve::ServeArgs;
use self::settings::SettingsArgs;
use self::simulate::SimulateArgs;

/// The lists and states of essay batches, cached and never stale.
#[derive(Debug, Parser)]
#[command(name = "result-aggregator", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service. Embedded by default: SQLite, in-process cache, events over HTTP.
    ///
    /// To use real servers, set --database-url or RAS_DATABASE_URL (PostgreSQL), --redis-url or
    /// RAS_REDIS_URL (Redis) and --kafka-brokers or RAS_KAFKA_BROKERS (Kafka), or the keys of the
    /// same names in the --config file. RAS_INTERNAL_API_KEY is the key that callers must send.
    Serve(ServeArgs),
    /// Send a file of envelopes, one JSON object per line, to a running server.
    ///
    /// Safe to repeat: events that the server has already applied are counted as duplicates. The
    /// exit code is 1 if a line was refused.
    Replay(ReplayArgs),
    /// List, show, replay or discard records that a running server has refused.
    ///
    /// `show` says why a record was refused; docs/dead-letters.md says what to do about each reason.
    DeadLetters(DeadLettersArgs),
    /// Generate events of simulated teachers and batches, to try out or load-test a service.
    ///
    /// Batches run from registration to completion, with events of all six kinds: registrations,
    /// files, spellchecks, phases, assessments, completions. Events of many batches are interleaved.
    /// Some essays and batches fail; some records are late, repeated or malformed. Timestamps follow
    /// a simulated clock, whatever the rate of sending. The exit code is 1 if a record was not
    /// delivered, if a valid one was refused, or if a malformed one was accepted.
    #[command(after_help = simulate::EXAMPLES)]
    Simulate(SimulateArgs),
    /// Show the service at work: an embedded server, hundreds of teachers, live events, fresh lists.
    Demo(DemoArgs),
    /// Print every setting with its default and its unit, as a file for --config.
    Settings(SettingsArgs),
}

impl Cli {
    /// Runs the subcommand. Gives the exit code.
    ///
    /// # Errors
    ///
    /// The reason for which the subcommand failed.
    pub async fn run(self) -> anyhow::Result<u8> {
        match self.command {
            Command::Serve(arguments) => Box::pin(serve::run(arguments)).await.map(|()| 0),
            Command::Replay(arguments) => replay::run(arguments).await,
            Command::DeadLetters(arguments) => dead_letters::run(arguments).await,
            Command::Simulate(arguments) => simulate::run(arguments).await,
            Command::Demo(arguments) => demo::run(arguments).await.map(|()| 0),
            Command::Settings(arguments) => settings::run(arguments).map(|()| 0),
        }
    }
}
