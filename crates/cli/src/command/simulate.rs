//! `result-aggregator simulate`: its arguments, and what they are made into.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgGroup, Args, value_parser};
use indicatif::{ProgressBar, ProgressStyle};
use projection::Timestamp;
use tokio_util::sync::CancellationToken;

use super::server_args::KeyArgs;
use crate::delivery::{DeliveryOptions, Outlet, deliver};
use aggregator::clock::{Clock, SystemClock};
use aggregator::output::write_line;
use simulate::{
    BATCHES_AT_A_TIME_MAX, ESSAYS_PER_BATCH_MAX, Extent, LATE_MAX, Share, Shares, Simulation,
    SimulationOptions, TEACHERS_MAX, ZIPF_EXPONENT_MAX,
};

/// Examples for the end of the help.
pub(super) const EXAMPLES: &str = "\
Examples:
  A file of a hundred batches, and what a server makes of it; the second time, duplicates alone:
    result-aggregator simulate --to-file life.ndjson
    result-aggregator replay life.ndjson
    result-aggregator replay life.ndjson
  One life without any disturbance, for reading:
    result-aggregator simulate --batches 1 --essays-max 2 --late 0% --duplicates 0% \\
      --malformed 0% --to-file - | jq
  A running server under a steady load of 200 events a second, until Ctrl-C:
    result-aggregator simulate --endless --rate 200 --to-server http://127.0.0.1:4003
  A rough day through Kafka:
    result-aggregator simulate --events 100000 --late 30% --duplicates 20% --malformed 5% \\
      --to-kafka 127.0.0.1:9092";

/// More records a second than any receiver takes.
const RATE_MAX: i64 = 1_000_000;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").required(true))]
#[command(group = ArgGroup::new("extent"))]
pub(super) struct SimulateArgs {
    /// Write one record per line, as `replay` takes it; - for standard output
    #[arg(long, group = "target", value_name = "PATH", help_heading = "Where to")]
    to_file: Option<PathBuf>,
    /// Send to POST /internal/v1/events of a running server
    #[arg(long, group = "target", value_name = "URL", help_heading = "Where to")]
    to_server: Option<String>,
    /// Send to the topics of these brokers, host:9092,host:9092
    #[arg(long, group = "target", value_name = "BROKERS", help_heading = "Where to")]
    to_kafka: Option<String>,
    #[command(flatten, next_help_heading = "As whom, for --to-server")]
    key: KeyArgs,
    #[command(flatten, next_help_heading = "How much")]
    amount: AmountArgs,
    #[command(flatten, next_help_heading = "What life")]
    life: LifeArgs,
    #[command(flatten, next_help_heading = "What goes wrong, each as a share such as 2.5%")]
    shares: ShareArgs,
}

#[derive(Debug, Args)]
struct AmountArgs {
    /// Whole lives of so many batches [default: 100]
    #[arg(long, group = "extent", value_parser = value_parser!(u64).range(1..))]
    batches: Option<u64>,
    /// So many records, also malformed and repeated ones; the last lives are cut off
    #[arg(long, group = "extent", value_parser = value_parser!(u64).range(1..))]
    events: Option<u64>,
    /// Until Ctrl-C
    #[arg(long, group = "extent")]
    endless: bool,
    /// Records a second [default: as fast as they are taken]
    #[arg(long, value_name = "EVENTS_PER_SECOND", value_parser = value_parser!(u32).range(1..=RATE_MAX))]
    rate: Option<u32>,
}

#[derive(Debug, Args)]
struct LifeArgs {
    /// Makes the same again, byte for byte, with the same --start and the same of all these
    #[arg(long, default_value_t = 17)]
    seed: u64,
    /// When it begins, for example 2026-09-01T06:00:00Z [default: that for a file, else now]
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    start: Option<Timestamp>,
    /// Teachers
    #[arg(long, default_value_t = 300, value_parser = value_parser!(u32).range(1..=i64::from(TEACHERS_MAX)))]
    teachers: u32,
    /// Law of Zipf by which they have batches: 0 all alike, 1 the second half as many as the first
    #[arg(long, value_name = "EXPONENT", default_value_t = 1.0, value_parser = zipf_exponent)]
    zipf: f64,
    /// Most essays of a batch; the mean is about a quarter
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=i64::from(ESSAYS_PER_BATCH_MAX)))]
    essays_max: u32,
    /// Batches under way at a time; more take more memory
    #[arg(long, default_value_t = 32, value_parser = value_parser!(u32).range(1..=i64::from(BATCHES_AT_A_TIME_MAX)))]
    batches_at_a_time: u32,
    /// How late a late record is at most, in seconds of the simulated time
    #[arg(long, default_value_t = 120, value_parser = value_parser!(u64).range(..=LATE_MAX.as_secs()))]
    late_max_seconds: u64,
}

#[derive(Debug, Args)]
struct ShareArgs {
    /// Essays whose spellcheck fails, and essays that are not assessed
    #[arg(long, value_name = "SHARE", default_value_t = Shares::default().failed_essays)]
    failed_essays: Share,
    /// Failed spellchecks that are made good by a second one
    #[arg(long, value_name = "SHARE", default_value_t = Shares::default().recovered)]
    recovered: Share,
    /// Batches whose first phase fails as a whole
    #[arg(long, value_name = "SHARE", default_value_t = Shares::default().failed_batches)]
    failed_batches: Share,
    /// Batches whose pipeline never reports its end
    #[arg(long, value_name = "SHARE", default_value_t = Shares::default().unfinished)]
    unfinished: Share,
    /// Assessments with anchors, essays whose grades are known
    #[arg(long, value_name = "SHARE", default_value_t = Shares::default().anchored)]
    anchored: Share,
    /// Events that arrive late, after others that happened after them
    #[arg(long, value_name = "SHARE", default_value_t = Shares::default().late)]
    late: Share,
    /// Events that arrive twice
    #[arg(long, value_name = "SHARE", default_value_t = Shares::default().duplicates)]
    duplicates: Share,
    /// Events with a malformed record beside them, which is to be refused
    #[arg(long, value_name = "SHARE", default_value_t = Shares::default().malformed)]
    malformed: Share,
}

fn zipf_exponent(text: &str) -> Result<f64, String> {
    let allowed = 0.0..=ZIPF_EXPONENT_MAX;
    let exponent = text.parse().ok().filter(|exponent| allowed.contains(exponent));
    exponent.ok_or_else(|| format!("a number from 0 to {ZIPF_EXPONENT_MAX}"))
}

/// Simulates, and gives the exit code: 1 if something was not delivered.
pub(super) async fn run(arguments: SimulateArgs, stop: CancellationToken) -> anyhow::Result<u8> {
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
    let remark = format_args!("{summary}\nbegan at {start}; the same again with --start {start}");
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
            (.., brokers) => Outlet::kafka(&brokers.unwrap_or_default()).await,
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

fn progress_bar(extent: Extent) -> ProgressBar {
    let (bar, template) = match extent {
        Extent::Records(records) => (
            ProgressBar::new(records),
            "{bar:30} {human_pos}/{human_len} records {per_sec} eta {eta}  {msg}",
        ),
        // How many records a batch has is not known before.
        Extent::Batches(_) | Extent::Endless => {
            (ProgressBar::new_spinner(), "{spinner} {human_pos} records {per_sec}  {msg}")
        }
    };
    bar.with_style(ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar()))
}
