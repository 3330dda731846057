//! What was sent, and what became of it, for people and for the exit code.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use projection::EventKind;

use simulate::{Nature, SimulatedRecord};

/// Complaints that are listed one by one.
const COMPLAINTS_MAX: usize = 20;

/// What was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events for the first time, by their kind.
    pub events: BTreeMap<EventKind, u64>,
    /// Repetitions.
    pub duplicates: u64,
    /// Malformed records.
    pub malformed: u64,
}

/// What a receiver has confirmed, and what it said beside that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Records that are there for good: in the file, in the broker, applied or refused by the
    /// server.
    pub acknowledged: u64,
    /// What the receiver tells of its own accord.
    pub remark: Option<String>,
    /// Records whose outcome is not what it must be: refused though well-formed, or the other way.
    pub surprises: u64,
    /// About what is not as it must be, as many as a person wants to see.
    pub complaints: Vec<String>,
}

/// What was sent, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// What was sent.
    pub tally: Tally,
    /// What the receiver confirmed.
    pub receipt: Receipt,
    /// How long it took, to the last confirmation.
    pub took: Duration,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, record: &SimulatedRecord) {
        match record.nature {
            Nature::Valid => *self.events.entry(record.topic).or_default() += 1,
            Nature::Duplicate => self.duplicates += 1,
            Nature::Malformed(_) => self.malformed += 1,
        }
    }

    /// All records.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.events.values().sum::<u64>() + self.duplicates + self.malformed
    }
}

impl Receipt {
    pub(super) fn complain(&mut self, complaint: String) {
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(complaint);
        }
    }
}

impl Summary {
    /// Records of which nobody has confirmed that they arrived. Some of them may have.
    #[must_use]
    pub fn undelivered(&self) -> u64 {
        self.tally.records().saturating_sub(self.receipt.acknowledged)
    }

    /// Whether every record arrived, and was taken for what it is.
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
        let others = [(tally.duplicates, "duplicates"), (tally.malformed, "malformed")];
        for (count, what) in kinds.chain(others) {
            writeln!(f, "{count:>10}  {what}")?;
        }
        if let Some(remark) = &receipt.remark {
            writeln!(f, "{remark}")?;
        }
        write!(f, "not delivered: {}", self.undelivered())?;
        if receipt.surprises > 0 {
            write!(f, "\nnot taken for what they are: {}", receipt.surprises)?;
        }
        receipt.complaints.iter().try_for_each(|complaint| write!(f, "\n  {complaint}"))
    }
}
