//! What can be said after `dead-dead_letters`.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use projection::{RefusalCode, Timestamp};

/// What selects dead letters beside their ids.
const SELECTORS: [&str; 6] = ["all", "source", "topic", "code", "from", "until"];

/// One of the commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List refused records, in the order of their ids, oldest first.
    #[command(after_help = "\
Examples:
  result-aggregator dead-letters list --code invalid_field --from 2026-11-22T00:00:00Z
  result-aggregator dead-letters list --limit 100000 --json | jq -r .topic | sort | uniq -c")]
    List(Listing),
    /// Show one refused record: where it came from, why it was refused, and where in its bytes.
    ///
    /// What is not printable is escaped, so that no record can steer the terminal.
    Show(Showing),
    /// Take refused records again, once what they were refused for is mended.
    ///
    /// Each goes the way that every record goes, and is removed once it is applied; what is refused
    /// again stays. Safe to repeat and to interrupt: an event is applied once. The exit code is 1 if
    /// a record was refused again.
    #[command(after_help = "\
Examples:
  result-aggregator dead-letters replay 17 18
  result-aggregator dead-letters replay --code unstorable
  result-aggregator dead-letters replay --all")]
    Replay(Which),
    /// Drop refused records, with their bytes, for good.
    ///
    /// Selected by filters, they are counted first, and dropped only with --yes.
    #[command(after_help = "\
Examples:
  result-aggregator dead-letters drop 17
  result-aggregator dead-letters drop --code not_json --until 2026-11-01T00:00:00Z
  result-aggregator dead-letters drop --all --yes")]
    Drop(Dropping),
}

/// Which dead letters, by what is known of them. Several filters select what all of them do.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Filters {
    /// Only those that came in this way
    #[arg(long, value_parser = PossibleValuesParser::new(["http", "kafka"]))]
    pub(super) source: Option<String>,
    /// Only those of this Kafka topic
    #[arg(long)]
    pub(super) topic: Option<String>,
    /// Only those that were last refused for this reason
    #[arg(long, value_parser = codes())]
    pub(super) code: Option<String>,
    /// Only those last refused at this time or later, such as 2026-11-22T11:00:00Z
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    pub(super) from: Option<Timestamp>,
    /// Only those last refused before this time
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    pub(super) until: Option<Timestamp>,
}

/// See [`Command::List`].
#[derive(Debug, Args)]
pub struct Listing {
    #[command(flatten)]
    pub(super) filters: Filters,
    /// Only ids behind this one
    #[arg(long, value_name = "ID", default_value_t = 0)]
    pub(super) after: u64,
    /// How many at most
    #[arg(long, default_value_t = 50)]
    pub(super) limit: u64,
    /// One JSON object per line, nothing left out
    #[arg(long)]
    pub(super) json: bool,
}

/// See [`Command::Show`].
#[derive(Debug, Args)]
pub struct Showing {
    /// Which one, as `list` shows it
    pub(super) id: u64,
    /// The JSON object that the server has of it, bytes in hexadecimal
    #[arg(long)]
    pub(super) json: bool,
}

/// Which dead letters: some by their ids, or what filters select, or all.
#[derive(Debug, Args)]
pub struct Which {
    /// Which ones, as `list` shows them
    #[arg(value_name = "ID", conflicts_with_all = SELECTORS)]
    pub(super) ids: Vec<u64>,
    /// All there are, or all that the filters select
    #[arg(long)]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) filters: Filters,
}

impl Which {
    /// Whether nothing was said that selects a dead letter. To take that for all would be a trap.
    pub(super) fn is_nothing(&self) -> bool {
        let Filters { source, topic, code, from, until } = &self.filters;
        let is_filtered = source.is_some() || topic.is_some() || code.is_some();
        let is_dated = from.is_some() || until.is_some();
        self.ids.is_empty() && !self.all && !is_filtered && !is_dated
    }
}

/// See [`Command::Drop`].
#[derive(Debug, Args)]
pub struct Dropping {
    #[command(flatten)]
    pub(super) which: Which,
    /// Drop what the filters select
    #[arg(long)]
    pub(super) yes: bool,
}

fn codes() -> PossibleValuesParser {
    PossibleValuesParser::new(RefusalCode::ALL.iter().map(|code| code.as_str()))
}
