//! Log of the process: lines on standard error, panics among them.

use std::io::{self, IsTerminal as _};

use aggregator::config::LogFormat;
use aggregator::output::{FLUSH_MAX, LineWriter};
use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::traces::Traces;

/// Sends log lines to standard error, and spans to `traces`. A reader that is slow or missing never blocks
/// the process.
pub(crate) fn start(
    filter: &str,
    format: LogFormat,
    traces: Option<&Traces>,
) -> anyhow::Result<LineWriter> {
    let filter = EnvFilter::try_new(filter).context("settings: log")?;
    let writer = LineWriter::stderr().context("open standard error")?;
    let output = writer.clone();
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false)
        .with_writer(move || output.clone());
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let spans = traces.map(Traces::layer);
    tracing_subscriber::registry().with(spans).with(lines.with_filter(filter)).init();
    log_panics(writer.clone());
    Ok(writer)
}

/// Logs panics: the default hook would block on a full standard error. A panic message may quote a
/// record, so only the location is logged.
fn log_panics(log: LineWriter) {
    std::panic::set_hook(Box::new(move |panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "panicked, the current request or task fails");
        log.flush_within(FLUSH_MAX);
    }));
}
