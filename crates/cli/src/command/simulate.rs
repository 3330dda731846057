//! `result-aggregator simulate`: its arguments, and the simulation and delivery that they describe.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aggregator::brokers::KafkaConnection;
use aggregator::clock::{Clock, SystemClock};
use aggregator::config::{Config, Overrides};
use aggregator::output::write_line;
use anyhow::Context as _;
use clap::{ArgGroup, Args, value_parser};
use indicatif::{ProgressBar, ProgressStyle};
use projection::Timestamp;
use simulate::{
    BATCHES_AT_A_TIME_MAX, ESSAYS_PER_BATCH_MAX, Extent, LATE_MAX, Share, Shares, Simulation,
    SimulationOptions, TEACHERS_MAX, ZIPF_EXPONENT_MAX,
};

use super::server_args::KeyArgs;
use crate::delivery::{DeliveryOptions, Outlet, deliver};
use crate::signals::stop_on_signals;

/// Examples at the end of the help.
pub(super) const EXAMPLES: &str = "\
Examples:
  A file of a hundred batches, sent to a server twice; the second time, all events are duplicates:
    result-aggregator simulate --to-file life.ndjson
    result-aggregator replay life.ndjson
    result-aggregator replay life.ndjson
  One batch without late, repeated or malformed records, to read:
    result-aggregator simulate --batches 1 --essays-max 2 --late 0% --duplicates 0% \\
      --malformed 0% --to-file - | jq
  A steady load of 200 events a second on a running server, until Ctrl-C:
    result-aggregator simulate --endless --rate 200 --to-server http://127.0.0.1:4003
  Through Kafka, with many late, repeated and malformed records:
    result-aggregator simulate --events 100000 --late 30% --duplicates 20% --malformed 5% \\
      --to-kafka 127.0.0.1:9092";

/// More records a second than any receiver handles.
const RATE_MAX: i64 = 1_000_000;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").required(true))]
#[command(group = ArgGroup::new("extent"))]
pub(super) struct SimulateArgs {
    /// Write one record per line, as `replay` reads it; - for standard output
    #[arg(long, group = "target", value_name = "PATH", help_heading = "Where to")]
    to_file: Option<PathBuf>,
    /// Send to POST /internal/v1/events of a running server
    #[arg(long, group = "target", value_name = "URL", help_heading = "Where to")]
    to_server: Option<String>,
    /// Send to the topics of these brokers, host:9092,host:9092
    #[arg(long, group = "target", value_name = "BROKERS", help_heading = "Where to")]
    to_kafka: Option<String>,
    /// A TOML file with the settings kafka.security_protocol and below, for --to-kafka; or their variables
    #[arg(long, value_name = "PATH", requires = "to_kafka", help_heading = "Where to")]
    config: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Authentication, for --to-server")]
    key: KeyArgs,
    #[command(flatten, next_help_heading = "How much")]
    amount: AmountArgs,
    #[command(flatten, next_help_heading = "What is simulated")]
    life: LifeArgs,
    #[command(
        flatten,
        next_help_heading = "Failures and disturbances, each as a share such as 2.5%"
    )]
    shares: ShareArgs,
}

#[derive(Debug, Args)]
struct AmountArgs {
    /// This many batches, from registration to completion [default: 100]
    #[arg(long, group = "extent", value_parser = value_parser!(u64).range(1..))]
    batches: Option<u64>,
    /// This many records, repeated and malformed ones included; the last batches stay unfinished
    #[arg(long, group = "extent", value_parser = value_parser!(u64).range(1..))]
    events: Option<u64>,
    /// Go on until Ctrl-C
    #[arg(long, group = "extent")]
    endless: bool,
    /// Records a second [default: as fast as the receiver accepts them]
    #[arg(long, value_name = "EVENTS_PER_SECOND", value_parser = value_parser!(u32).range(1..=RATE_MAX))]
    rate: Option<u32>,
}

#[derive(Debug, Args)]
struct LifeArgs {
    /// Seed; the same seed, --start and other options give the same records, byte for byte
    #[arg(long, default_value_t = 17)]
    seed: u64,
    /// Simulated start time [default: 2026-09-01T06:00:00Z with --to-file, else now]
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    start: Option<Timestamp>,
    /// Number of teachers
    #[arg(long, default_value_t = 300, value_parser = value_parser!(u32).range(1..=i64::from(TEACHERS_MAX)))]
    teachers: u32,
    /// Exponent of the Zipf distribution of batches over teachers; 0: all have equally many, 1: the
    /// second teacher has half as many as the first
    #[arg(long, value_name = "EXPONENT", default_value_t = 1.0, value_parser = zipf_exponent)]
    zipf: f64,
    /// Largest number of essays in a batch; the mean is about a quarter of it
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=i64::from(ESSAYS_PER_BATCH_MAX)))]
    essays_max: u32,
    /// Number of batches in progress at the same time; more need more memory
    #[arg(long, default_value_t = 32, value_parser = value_parser!(u32).range(1..=i64::from(BATCHES_AT_A_TIME_MAX)))]
    batches_at_a_time: u32,
    /// Longest delay of a late record, in seconds of simulated time
    #[arg(long, default_value_t = 120, value_parser = value_parser!(u64).range(..=LATE_MAX.as_secs()))]
    late_max_seconds: u64,
}

#[derive(Debug, Args)]
struct ShareArgs {
    /// Essays whose spellcheck fails, and essays that are not assessed
    #[arg(long, value_name = "SHARE", default_value_t = Shares::default().failed_essays)]
    failed_essays: Share,
    /// Failed spellchecks that succeed when they are repeated
    #[arg(long, value_name = "SHARE", default_value_t = Shares::default().recovered)]
    recovered: Share,
    /// Batches whose first phase fails as a whole
    #[arg(long, value_name = "SHARE", default_value_t = Shares::default().failed_batches)]
    failed_batches: Share,
    /// Batches whose pipeline never completes
    #[arg(long, value_name = "SHARE", default_value_t = Shares::default().unfinished)]
    unfinished: Share,
    /// Assessments that include anchors: essays whose grades are known
    #[arg(long, value_name = "SHARE", default_value_t = Shares::default().anchored)]
    anchored: Share,
    /// Events that arrive after events that happened later
    #[arg(long, value_name = "SHARE", default_value_t = Shares::default().late)]
    late: Share,
    /// Events that arrive twice
    #[arg(long, value_name = "SHARE", default_value_t = Shares::default().duplicates)]
    duplicates: Share,
    /// Events that are followed by a malformed record, which must be refused
    #[arg(long, value_name = "SHARE", default_value_t = Shares::default().malformed)]
    malformed: Share,
}

fn zipf_exponent(text: &str) -> Result<f64, String> {
    let allowed = 0.0..=ZIPF_EXPONENT_MAX;
    let exponent = text.parse().ok().filter(|exponent| allowed.contains(exponent));
    exponent.ok_or_else(|| format!("a number from 0 to {ZIPF_EXPONENT_MAX}"))
}

/// Sends the simulated records. Gives the exit code: 1 if a record was not delivered, or was not
/// applied or refused as it should be.
pub(super) async fn run(arguments: SimulateArgs) -> anyhow::Result<u8> {
    let stop = stop_on_signals()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let options = arguments.options(&*clock);
    let progress = progress_bar(options.extent);
    let delivery = DeliveryOptions {
        rate: arguments.amount.rate.and_then(NonZeroU32::new),
        progress: progress.clone(),
        clock,
    };
    let start = options.start;
    let outlet = arguments.outlet(&progress).await?;
    let summary = deliver(Simulation::new(options), outlet, &delivery, &stop).await;
    progress.finish_and_clear();
    // Standard output is for records.
    let remark = format_args!("{summary}\nsimulated from {start}; repeat it with --start {start}");
    write_line(std::io::stderr().lock(), remark);
    Ok(u8::from(!summary.is_complete()))
}

impl SimulateArgs {
    fn options(&self, clock: &dyn Clock) -> SimulationOptions {
        let Self { amount, life, shares, .. } = self;
        let defaults = SimulationOptions::default();
        let extent = match (amount.batches, amount.events, amount.endless) {
            (_, _, true) => Extent::Endless,
            (_, Some(records), _) => Extent::Records(records),
            (Some(batches), ..) => Extent::Batches(batches),
            (None, None, false) => defaults.extent,
        };
        let is_live = self.to_file.is_none();
        let start = if is_live { clock.now() } else { defaults.start };
        SimulationOptions {
            seed: life.seed,
            start: life.start.unwrap_or(start),
            extent,
            teachers: life.teachers,
            zipf_exponent: life.zipf,
            essays_max: life.essays_max,
            batches_at_a_time: life.batches_at_a_time,
            late_max: Duration::from_secs(life.late_max_seconds),
            shares: shares.shares(),
        }
    }

    async fn outlet(self, progress: &ProgressBar) -> anyhow::Result<Outlet> {
        match (self.to_file, self.to_server, self.to_kafka) {
            (Some(path), ..) => Outlet::file(&path),
            (_, Some(url), _) => Outlet::server(self.key.target(&url)?, progress.clone()),
            (.., brokers) => Outlet::kafka(&connection(brokers, self.config)?).await,
        }
    }
}

impl ShareArgs {
    fn shares(&self) -> Shares {
        Shares {
            failed_essays: self.failed_essays,
            recovered: self.recovered,
            failed_batches: self.failed_batches,
            unfinished: self.unfinished,
            anchored: self.anchored,
            late: self.late,
            duplicates: self.duplicates,
            malformed: self.malformed,
        }
    }
}

/// The brokers, reached as the settings say.
fn connection(brokers: Option<String>, file: Option<PathBuf>) -> anyhow::Result<KafkaConnection> {
    let overrides = Overrides { kafka_brokers: brokers, file, ..Overrides::default() };
    KafkaConnection::of(&Config::load_for_kafka(overrides)?)?.context("no brokers")
}

fn progress_bar(extent: Extent) -> ProgressBar {
    let (bar, template) = match extent {
        Extent::Records(records) => (
            ProgressBar::new(records),
            "{bar:30} {human_pos}/{human_len} records {per_sec} eta {eta}  {msg}",
        ),
        // The number of records of a batch is not known in advance.
        Extent::Batches(_) | Extent::Endless => {
            (ProgressBar::new_spinner(), "{spinner} {human_pos} records {per_sec}  {msg}")
        }
    };
    bar.with_style(ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar()))
}
