//! `result-aggregator replay`: sends a file of envelopes to a running server.
//!
//! Lines are sent in order, many in one request. `client` sends a request, and repeats it.

use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;

use aggregator::http::events::BODY_BYTES_MAX;
use anyhow::{Context as _, bail};
use api_types::{EventsReport, LineOutcome, LineReport};
use indicatif::{ProgressBar, ProgressStyle};

use crate::client::Target;
use crate::client::events::{EventsClient, REQUEST_BYTES, REQUEST_LINES};

/// Refused lines that are listed one by one.
const REFUSED_LISTED_MAX: usize = 20;

/// Bytes read at once; a longer first line is not checked before it is sent.
const BUFFER_BYTES: usize = 256 * 1024;

/// Outcome of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events that changed something.
    pub applied: u64,
    /// Events that had been applied before.
    pub duplicate: u64,
    /// Lines that were refused: number and reason.
    pub refused: Vec<(u64, String)>,
}

/// Sends `path`, or standard input for `-`, and shows progress on standard error.
///
/// # Errors
///
/// If the file cannot be read, or the server refuses a whole request or stays unavailable. Earlier
/// requests stay applied; sending the file again is safe.
pub async fn replay(path: &Path, target: Target) -> anyhow::Result<Summary> {
    let (input, bytes) = open(path)?;
    let progress = progress_bar(bytes);
    let client = EventsClient::new(target)?;
    let mut lines = Lines { input: BufReader::with_capacity(BUFFER_BYTES, input), number: 0 };
    lines.check_first(path)?;
    let mut summary = Summary::default();
    while let Some(request) = lines.next_request()? {
        let report = client.send(&request.body, &progress).await?;
        progress.inc(request.bytes_read);
        summary.add(report, request.first_line);
        progress.set_message(summary.to_string());
    }
    progress.finish();
    Ok(summary)
}

impl Summary {
    fn add(&mut self, report: EventsReport, first_line: u64) {
        for LineReport { line, outcome, reason, .. } in report.results {
            match outcome {
                LineOutcome::Applied => self.applied += 1,
                LineOutcome::Duplicate => self.duplicate += 1,
                LineOutcome::Refused => {
                    let line = first_line + line - 1;
                    self.refused.push((line, reason.map_or_else(String::new, |r| r.to_string())));
                }
            }
        }
    }

    /// The refused lines, as many as a person wants to see.
    pub fn refused_lines(&self) -> impl Iterator<Item = String> {
        let hidden = self.refused.len().saturating_sub(REFUSED_LISTED_MAX);
        let shown = self.refused.iter().take(REFUSED_LISTED_MAX);
        let shown = shown.map(|(line, reason)| format!("line {line}: {reason}"));
        shown.chain((hidden > 0).then(|| format!("… and {hidden} more")))
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { applied, duplicate, refused } = self;
        write!(f, "{applied} applied, {duplicate} duplicate, {} refused", refused.len())
    }
}

/// One request's worth of lines.
struct Request {
    body: Vec<u8>,
    first_line: u64,
    bytes_read: u64,
}

struct Lines<R> {
    input: BufReader<R>,
    number: u64,
}

impl<R: Read> Lines<R> {
    /// Refuses a file without an envelope per line: each of its lines would become a dead letter. Only
    /// the buffer is checked, so a longer first line is not.
    fn check_first(&mut self, path: &Path) -> anyhow::Result<()> {
        let buffered = self.input.fill_buf().context("read the file")?;
        let mut lines = buffered.split_inclusive(|byte| *byte == b'\n');
        let Some(line) = lines.find(|line| !line.trim_ascii().is_empty()) else { return Ok(()) };
        let file = path.display();
        match serde_json::from_slice::<serde_json::Value>(line) {
            Ok(serde_json::Value::Object(_)) => Ok(()),
            _ if line.trim_ascii_start().starts_with(b"[") => bail!(
                "{file}: the first line begins a list. Each line is one envelope; `jq -c '.[]' FILE` \
                 makes such lines of a list. Nothing was sent"
            ),
            // The line is longer than the buffer.
            Err(_) if !line.ends_with(b"\n") => Ok(()),
            Ok(_) => bail!(
                "{file}: the first line is no JSON object. Each line is one envelope. Nothing was sent"
            ),
            Err(_) => bail!(
                "{file}: the first line is no whole JSON value. Each line is one envelope; \
                 `jq -c . FILE` makes such lines of envelopes in any form. Nothing was sent"
            ),
        }
    }

    fn next_request(&mut self) -> anyhow::Result<Option<Request>> {
        let mut body = Vec::new();
        let first_line = self.number + 1;
        for _ in 0..REQUEST_LINES {
            let read = self.read_line(&mut body)?;
            if read == 0 || body.len() >= REQUEST_BYTES {
                break;
            }
        }
        let bytes_read = body.len() as u64;
        Ok((bytes_read > 0).then_some(Request { body, first_line, bytes_read }))
    }

    /// Reads one line with its end. The limit keeps a file without line ends out of memory.
    fn read_line(&mut self, body: &mut Vec<u8>) -> anyhow::Result<usize> {
        let room = (BODY_BYTES_MAX - body.len()) as u64;
        let read = (&mut self.input).take(room).read_until(b'\n', body).context("read the file")?;
        self.number += u64::from(read > 0);
        if read as u64 == room && body.last() != Some(&b'\n') {
            bail!("line {} is longer than {BODY_BYTES_MAX} bytes", self.number);
        }
        Ok(read)
    }
}

fn open(path: &Path) -> anyhow::Result<(Box<dyn Read>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = std::fs::File::open(path).with_context(|| format!("open {}", path.display()))?;
    let metadata = file.metadata().with_context(|| format!("open {}", path.display()))?;
    if metadata.is_dir() {
        bail!("open {}: is a directory", path.display());
    }
    // A pipe has no length.
    Ok((Box::new(file), metadata.is_file().then_some(metadata.len())))
}

fn progress_bar(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (
            ProgressBar::new(bytes),
            "{bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec} eta {eta}  {msg}",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {binary_bytes_per_sec}  {msg}"),
    };
    bar.with_style(ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar()))
}
