//! `result-aggregator demo`: its arguments.

use std::net::SocketAddr;

use aggregator::config::LogFormat;
use aggregator::output::FLUSH_MAX;
use clap::{Args, value_parser};

use crate::demo::{self, DemoOptions};
use crate::logging;
use crate::signals::stop_on_signals;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Address and port; if the port is taken, a free one is used
    #[arg(long, default_value = "127.0.0.1:4003")]
    listen: SocketAddr,
    /// Number of teachers
    #[arg(long, default_value_t = 300, value_parser = value_parser!(u32).range(1..=100_000))]
    teachers: u32,
    /// Seed of the simulation; the same seed gives the same batches
    #[arg(long, default_value_t = 17)]
    seed: u64,
    /// Stop after this many seconds instead of waiting for Ctrl-C
    #[arg(long)]
    seconds: Option<u64>,
}

/// Runs the demo until a signal stops it, or its time is over.
pub(super) async fn run(arguments: DemoArgs) -> anyhow::Result<()> {
    let log = logging::start("warn", LogFormat::Text, None)?;
    let stop = stop_on_signals()?;
    let DemoArgs { listen, teachers, seed, seconds } = arguments;
    let options = DemoOptions { listen, teachers, seed, seconds };
    let outcome = demo::run(options, stop).await;
    log.flush_within(FLUSH_MAX);
    outcome
}
