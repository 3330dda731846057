//! Outlet that sends records as lines of requests to a running server, and checks the outcome of each.

use std::mem::take;

use api_types::{LineOutcome, LineReport};
use indicatif::ProgressBar;
use simulate::SimulatedRecord;

use crate::client::Target;
use crate::client::events::{EventsClient, REQUEST_BYTES, REQUEST_LINES};
use crate::delivery::summary::Receipt;

#[derive(Debug)]
pub(super) struct ServerOutlet {
    client: EventsClient,
    progress: ProgressBar,
    /// Records of the next request, and their lines.
    records: Vec<SimulatedRecord>,
    lines: Vec<u8>,
    receipt: Receipt,
    applied: u64,
    duplicates: u64,
    refused: u64,
}

impl ServerOutlet {
    pub(super) fn new(target: Target, progress: ProgressBar) -> anyhow::Result<Self> {
        Ok(Self {
            client: EventsClient::new(target)?,
            progress,
            records: Vec::new(),
            lines: Vec::new(),
            receipt: Receipt::default(),
            applied: 0,
            duplicates: 0,
            refused: 0,
        })
    }

    pub(super) async fn send(&mut self, record: SimulatedRecord) -> anyhow::Result<()> {
        self.lines.extend_from_slice(&record.bytes);
        self.lines.push(b'\n');
        self.records.push(record);
        if self.records.len() >= REQUEST_LINES || self.lines.len() >= REQUEST_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    pub(super) async fn flush(&mut self) -> anyhow::Result<()> {
        if self.records.is_empty() {
            return Ok(());
        }
        // Taken also if the request fails: it must not be sent a second time.
        let (lines, records) = (take(&mut self.lines), take(&mut self.records));
        let report = self.client.send(&lines, &self.progress).await?;
        for (record, report) in records.iter().zip(report.results) {
            self.note(record, report);
        }
        self.progress.set_message(self.remark());
        Ok(())
    }

    /// A duplicate is no surprise, even at its first sending: an earlier run may have sent the same
    /// events.
    fn note(&mut self, record: &SimulatedRecord, report: LineReport) {
        self.receipt.acknowledged += 1;
        let surprise = match report.outcome {
            LineOutcome::Applied => {
                self.applied += 1;
                record.is_malformed().then(|| format!("applied, though {:?}", record.nature))
            }
            LineOutcome::Duplicate => {
                self.duplicates += 1;
                record.is_malformed().then(|| format!("duplicate, though {:?}", record.nature))
            }
            LineOutcome::Refused => {
                self.refused += 1;
                let reason = report.reason.map_or_else(String::new, |reason| reason.to_string());
                (!record.is_malformed()).then_some(reason)
            }
        };
        if let Some(surprise) = surprise {
            self.receipt.surprises += 1;
            self.receipt.add_complaint(format!("event {}: {surprise}", record.event_id));
        }
    }

    fn remark(&self) -> String {
        let Self { applied, duplicates, refused, .. } = self;
        format!("{applied} applied, {duplicates} duplicate, {refused} refused")
    }

    pub(super) fn into_receipt(self) -> Receipt {
        let remark = Some(format!("server: {}", self.remark()));
        Receipt { remark, ..self.receipt }
    }
}
