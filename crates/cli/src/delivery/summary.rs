//! Result of a delivery, for people and for the exit code.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use projection::EventKind;
use simulate::{Nature, SimulatedRecord};

/// Complaints that are listed one by one.
const COMPLAINTS_MAX: usize = 20;

/// Counts of the sent records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// First sendings of events, by kind.
    pub events: BTreeMap<EventKind, u64>,
    /// Repeated events.
    pub duplicates: u64,
    /// Malformed records.
    pub malformed: u64,
}

/// What the receiver has confirmed and reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Records that the receiver has durably: in the file, in the broker, or applied or refused by
    /// the server.
    pub acknowledged: u64,
    /// Counts that the receiver itself reported.
    pub remark: Option<String>,
    /// Records with the wrong outcome: well-formed and refused, or malformed and accepted.
    pub surprises: u64,
    /// Descriptions of failures and surprises, up to a readable number.
    pub complaints: Vec<String>,
}

/// What was sent, what was confirmed, and how long it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Counts of the sent records.
    pub tally: Tally,
    /// What the receiver confirmed.
    pub receipt: Receipt,
    /// Time from the start to the last confirmation.
    pub took: Duration,
}

impl Tally {
    /// Counts one more record.
    pub fn add(&mut self, record: &SimulatedRecord) {
        match record.nature {
            Nature::Valid => *self.events.entry(record.topic).or_default() += 1,
            Nature::Duplicate => self.duplicates += 1,
            Nature::Malformed(_) => self.malformed += 1,
        }
    }

    /// Number of all records.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.events.values().sum::<u64>() + self.duplicates + self.malformed
    }
}

impl Receipt {
    pub(super) fn add_complaint(&mut self, complaint: String) {
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(complaint);
        }
    }
}

impl Summary {
    /// Number of records that were not confirmed. Some of them may have arrived.
    #[must_use]
    pub fn undelivered(&self) -> u64 {
        self.tally.records().saturating_sub(self.receipt.acknowledged)
    }

    /// Whether every record was confirmed, with the right outcome.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.undelivered() == 0 && self.receipt.surprises == 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tally, receipt, took } = self;
        let records = tally.records();
        let per_second = records as f64 / took.as_secs_f64().max(1e-6);
        writeln!(f, "{records} records in {:.2} s, {per_second:.0} a second", took.as_secs_f64())?;
        let kinds = EventKind::ALL
            .iter()
            .map(|kind| (tally.events.get(kind).copied().unwrap_or_default(), kind.topic()));
        let others = [(tally.duplicates, "duplicate"), (tally.malformed, "malformed")];
        for (count, what) in kinds.chain(others) {
            writeln!(f, "{count:>10}  {what}")?;
        }
        if let Some(remark) = &receipt.remark {
            writeln!(f, "{remark}")?;
        }
        write!(f, "not delivered: {}", self.undelivered())?;
        if receipt.surprises > 0 {
            write!(f, "\nwith the wrong outcome: {}", receipt.surprises)?;
        }
        receipt.complaints.iter().try_for_each(|complaint| write!(f, "\n  {complaint}"))
    }
}
