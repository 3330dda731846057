//! The building blocks of the fold: values that take in facts in any order, any number of times.
//!
//! Every `join` is the maximum or minimum of a total order, or a union. That alone makes it
//! commutative, associative and idempotent; there is no rule here that looks at what came first.
//!
//! A fact may come again in a new envelope, with another event id and a later time. It counts with
//! its earliest envelope, so the later one changes nothing, whichever comes first.

use std::mem;

use serde::{Deserialize, Serialize, Serializer};

use crate::event::FactId;
use crate::ids::EventId;
use crate::time::Timestamp;

/// Most facts beside the winner that a value remembers. They are needed only while the earliest
/// envelope of a fact may still be on its way. Beyond the limit those with the smallest stamps are
/// forgotten: if such a fact is sent once more, in a new envelope with a later time, it counts with
/// that time.
pub const OLDER_FACTS_MAX: usize = 8;

/// Which event says something, and when that happened. Ordered by time, then by event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    pub(crate) at: Timestamp,
    pub(crate) by: EventId,
}

/// Where a value comes from: the fact that says it, and the stamp of its envelope.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) stamp: Stamp,
    pub(crate) fact: FactId,
}

/// A value of which the latest one counts: the one of the fact with the largest stamp, where a fact
/// has the stamp of its earliest envelope.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Document<T>")]
pub(crate) struct Latest<T> {
    winner: Candidate<T>,
    /// What the other facts say, the largest stamp first.
    older: Vec<Candidate<T>>,
}

/// What one fact says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Candidate<T> {
    at: Timestamp,
    by: EventId,
    /// The value comes behind the stamp in the order: it decides only between two events that claim
    /// the same id, and then still the same way everywhere.
    #[serde(skip_serializing_if = "says_nothing")]
    value: T,
    /// None in documents of builds that did not know facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fact: Option<FactId>,
}

/// The value of a [`Latest`] of which only the stamp matters. Not written into documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Said;

impl<T: Ord> Latest<T> {
    pub(crate) fn new(value: T, source: Source) -> Self {
        let Source { stamp: Stamp { at, by }, fact } = source;
        Self { winner: Candidate { at, by, value, fact: Some(fact) }, older: Vec::new() }
    }

    pub(crate) fn value(&self) -> &T {
        &self.winner.value
    }

    pub(crate) fn stamp(&self) -> Stamp {
        self.winner.stamp()
    }

    /// The values that a build wrote which did not know facts, with their stamps.
    pub(crate) fn without_fact(&self) -> impl Iterator<Item = (&T, Stamp)> {
        let all = std::iter::once(&self.winner).chain(&self.older);
        let earlier = all.filter(|candidate| candidate.fact.is_none());
        earlier.map(|candidate| (&candidate.value, candidate.stamp()))
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.add(other.winner);
        other.older.into_iter().for_each(|candidate| self.add(candidate));
        self.older.sort_unstable_by(|one, other| other.cmp(one));
        self.older.truncate(OLDER_FACTS_MAX);
    }

    /// Joins what may be missing on either side. A missing value never erases one.
    pub(crate) fn join_option(this: &mut Option<Self>, other: Option<Self>) {
        match (this.as_mut(), other) {
            (Some(this), Some(other)) => this.join(other),
            (None, other @ Some(_)) => *this = other,
            (_, None) => {}
        }
    }

    fn add(&mut self, said: Candidate<T>) {
        if self.winner.is_of_same_fact(&said) {
            self.winner.join(said);
        } else if let Some(known) = self.older.iter_mut().find(|known| known.is_of_same_fact(&said))
        {
            known.join(said);
        } else {
            self.older.push(said);
        }
        // Its earliest envelope may make the winner older than another fact.
        if let Some(largest) = self.older.iter_mut().max().filter(|largest| **largest > self.winner)
        {
            mem::swap(largest, &mut self.winner);
        }
    }
}

impl<T: Ord> Candidate<T> {
    fn stamp(&self) -> Stamp {
        Stamp { at: self.at, by: self.by }
    }

    /// An earlier build did not write down which fact it was: then equal values are taken for the
    /// same fact. Where there is no value only the same event is.
    fn is_of_same_fact(&self, other: &Self) -> bool {
        if let (Some(fact), Some(other)) = (self.fact, other.fact) {
            return fact == other;
        }
        self.value == other.value && (!says_nothing(&self.value) || self.stamp() == other.stamp())
    }

    /// Takes in another envelope of the same fact: the earliest counts.
    fn join(&mut self, other: Self) {
        let fact = self.fact.or(other.fact);
        if other < *self {
            *self = other;
        }
        self.fact = fact;
    }
}

/// A [`Latest`] as a document has it: the winner's fields, then the others.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<T> {
    at: Timestamp,
    by: EventId,
    value: T,
    #[serde(default)]
    fact: Option<FactId>,
    #[serde(default = "Vec::new")]
    older: Vec<Candidate<T>>,
}

#[derive(Serialize)]
struct DocumentRef<'a, T> {
    at: Timestamp,
    by: EventId,
    #[serde(skip_serializing_if = "refers_to_nothing")]
    value: &'a T,
    #[serde(skip_serializing_if = "Option::is_none")]
    fact: Option<FactId>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    older: &'a [Candidate<T>],
}

impl<T> From<Document<T>> for Latest<T> {
    fn from(document: Document<T>) -> Self {
        let Document { at, by, value, fact, older } = document;
        Self { winner: Candidate { at, by, value, fact }, older }
    }
}

impl<T: Serialize> Serialize for Latest<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Candidate { at, by, value, fact } = &self.winner;
        let document = DocumentRef { at: *at, by: *by, value, fact: *fact, older: &self.older };
        document.serialize(serializer)
    }
}

/// Whether a value is one of its type and no other, so that there is nothing to write down.
fn says_nothing<T>(_: &T) -> bool {
    size_of::<T>() == 0
}

fn refers_to_nothing<T>(_: &&T) -> bool {
    size_of::<T>() == 0
}

impl Serialize for Said {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A field of an optional type may be missing, and this one always is.
        Option::<()>::deserialize(deserializer).map(|_| Self)
    }
}

/// What an event says that is announced once, whoever says it: the earliest event counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Earliest<T> {
    pub(crate) at: Timestamp,
    pub(crate) by: EventId,
    pub(crate) value: T,
}

impl<T: Ord> Earliest<T> {
    pub(crate) fn new(value: T, Stamp { at, by }: Stamp) -> Self {
        Self { at, by, value }
    }

    /// Takes it into a list with one item for each subject, the earliest first.
    pub(crate) fn join_list<S: Eq + ?Sized>(
        list: &mut Vec<Self>,
        said: Self,
        subject: impl Fn(&T) -> &S,
    ) {
        match list.iter_mut().find(|known| subject(&known.value) == subject(&said.value)) {
            Some(known) if said < *known => *known = said,
            Some(_) => {}
            None => list.push(said),
        }
        list.sort_unstable();
    }
}

/// The earlier of two moments that may be missing on either side.
pub(crate) fn earliest(this: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    this.into_iter().chain(other).min()
}
