//! Subcommands of the program: their arguments and what each runs, one file per subcommand.

mod cache;
mod completions;
mod config_args;
mod dead_letters;
mod demo;
mod doctor;
mod health;
mod man;
mod openapi;
mod replay;
mod serve;
mod server_args;
mod settings;
mod simulate;

use clap::{Parser, Subcommand};

use self::cache::CacheArgs;
use self::completions::CompletionsArgs;
use self::dead_letters::DeadLettersArgs;
use self::demo::DemoArgs;
use self::doctor::DoctorArgs;
use self::health::HealthArgs;
use self::man::ManArgs;
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
    /// Check the servers that the settings name, without starting or changing anything.
    ///
    /// Reads the settings as `serve` does. Checks the database (reachable, version, encoding, rights,
    /// schema, clock), Redis (reachable, version, rights, memory, persistence, keys without a TTL) and
    /// Kafka (reachable, topics, offsets of the consumer group), all at once. Each finding says what is
    /// wrong, what it means, and what to do; docs/operations.md has more. No output has a password.
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(DoctorArgs),
    /// Send a file of envelopes, one JSON object per line, to a running server.
    ///
    /// Safe to repeat: events that the server has already applied are counted as duplicates. The
    /// exit code is 1 if a line was refused.
    Replay(ReplayArgs),
    /// List, show, replay or discard records that a running server has refused.
    ///
    /// `show` says why a record was refused; docs/dead-letters.md says what to do about each reason.
    DeadLetters(DeadLettersArgs),
    /// Show, verify or invalidate what a running server has cached for an owner.
    #[command(after_help = cache::EXAMPLES)]
    Cache(CacheArgs),
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
    /// Ask a running server whether it lives or, with --ready, can answer; exit code 0 or 1.
    Health(HealthArgs),
    /// Print every setting with its default and its unit, as a file for --config.
    Settings(SettingsArgs),
    /// Print a script with which a shell completes commands and flags.
    #[command(after_help = completions::EXAMPLES)]
    Completions(CompletionsArgs),
    /// Write the manual pages, one for each command, to a directory.
    #[command(after_help = man::EXAMPLES)]
    Man(ManArgs),
    /// Print the OpenAPI 3.1 document of the HTTP API, as a server has it at /openapi.json.
    Openapi,
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
            Command::Doctor(arguments) => doctor::run(arguments).await,
            Command::Replay(arguments) => replay::run(arguments).await,
            Command::DeadLetters(arguments) => dead_letters::run(arguments).await,
            Command::Cache(arguments) => cache::run(arguments).await,
            Command::Simulate(arguments) => simulate::run(arguments).await,
            Command::Demo(arguments) => demo::run(arguments).await.map(|()| 0),
            Command::Health(arguments) => health::run(arguments).await.map(|()| 0),
            Command::Settings(arguments) => settings::run(arguments).map(|()| 0),
            Command::Completions(arguments) => {
                completions::run(&arguments);
                Ok(0)
            }
            Command::Man(arguments) => man::run(&arguments).map(|()| 0),
            Command::Openapi => openapi::run().map(|()| 0),
        }
    }
}
