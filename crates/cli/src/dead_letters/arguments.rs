//! Arguments of `dead-letters`.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use projection::{RefusalCode, Timestamp};

/// Arguments that select dead letters, other than ids.
const SELECTORS: [&str; 6] = ["all", "source", "topic", "code", "from", "until"];

/// Subcommands of `dead-letters`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List refused records, in the order of their ids, oldest first.
    #[command(after_help = "\
Examples:
  result-aggregator dead-letters list --code invalid_field --from 2026-11-22T00:00:00Z
  result-aggregator dead-letters list --limit 100000 --json | jq -r .topic | sort | uniq -c")]
    List(ListArgs),
    /// Show one refused record: where it came from, why it was refused, and where in its bytes.
    ///
    /// Characters that are not visible are escaped, so that no record can control the terminal.
    Show(ShowArgs),
    /// Process refused records again, after their cause is fixed.
    ///
    /// A record that is applied is removed from the dead letters; one that is refused again stays.
    /// Safe to repeat and to interrupt: an event is applied once. The exit code is 1 if a record was
    /// refused again.
    #[command(after_help = "\
Examples:
  result-aggregator dead-letters replay 17 18
  result-aggregator dead-letters replay --code unstorable
  result-aggregator dead-letters replay --all")]
    Replay(Selection),
    /// Discard refused records and their bytes for good.
    ///
    /// Selected by filters or --all, they are only counted, unless --yes is given.
    #[command(
        alias = "drop",
        after_help = "\
Examples:
  result-aggregator dead-letters discard 17
  result-aggregator dead-letters discard --code not_json --until 2026-11-01T00:00:00Z
  result-aggregator dead-letters discard --all --yes"
    )]
    Discard(DiscardArgs),
}

/// Filters of dead letters. A dead letter must pass all of them.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Filters {
    /// Only those received this way
    #[arg(long, value_parser = PossibleValuesParser::new(["http", "kafka"]))]
    pub(super) source: Option<String>,
    /// Only those from this Kafka topic
    #[arg(long)]
    pub(super) topic: Option<String>,
    /// Only those last refused for this reason
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
pub struct ListArgs {
    #[command(flatten)]
    pub(super) filters: Filters,
    /// Only ids greater than this one
    #[arg(long, value_name = "ID", default_value_t = 0)]
    pub(super) after: u64,
    /// Maximum number
    #[arg(long, default_value_t = 50)]
    pub(super) limit: u64,
    /// Print one JSON object per line, with all fields
    #[arg(long)]
    pub(super) json: bool,
}

/// See [`Command::Show`].
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Its id, as `list` shows it
    pub(super) id: u64,
    /// Print the JSON object of the server, with the bytes in hexadecimal
    #[arg(long)]
    pub(super) json: bool,
}

/// Selection of dead letters: by ids, by filters, or all.
#[derive(Debug, Args)]
pub struct Selection {
    /// Their ids, as `list` shows them
    #[arg(value_name = "ID", conflicts_with_all = SELECTORS)]
    pub(super) ids: Vec<u64>,
    /// All of them, or all that pass the filters
    #[arg(long)]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) filters: Filters,
}

impl Selection {
    /// Whether there is no selection, which must not mean all.
    pub(super) fn is_empty(&self) -> bool {
        let Filters { source, topic, code, from, until } = &self.filters;
        let is_filtered = source.is_some() || topic.is_some() || code.is_some();
        let is_dated = from.is_some() || until.is_some();
        self.ids.is_empty() && !self.all && !is_filtered && !is_dated
    }
}

/// See [`Command::Discard`].
#[derive(Debug, Args)]
pub struct DiscardArgs {
    #[command(flatten)]
    pub(super) selection: Selection,
    /// Discard all selected records instead of counting them
    #[arg(long)]
    pub(super) yes: bool,
}

fn codes() -> PossibleValuesParser {
    PossibleValuesParser::new(RefusalCode::ALL.iter().map(|code| code.as_str()))
}
