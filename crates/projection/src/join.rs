//! Join semilattices, the building blocks of the fold: values that accept facts in any order, any
//! number of times.
//!
//! Every `join` is the maximum or minimum of a total order, or a union. So it is commutative,
//! associative and idempotent; no rule here depends on the order of arrival.
//!
//! A fact may be sent again in a new envelope, with another event id and a later time. It has the
//! revision of its earliest envelope, so the later envelope changes nothing, whichever arrives
//! first.

use std::mem;

use serde::{Deserialize, Serialize, Serializer};

use crate::fact_id::FactId;
use crate::ids::EventId;
use crate::time::Timestamp;

/// Most facts besides the winner that a value keeps. They are needed only while the earliest
/// envelope of a fact may still arrive. Beyond the limit those with the smallest revisions are
/// discarded: if such a fact is sent again in a new envelope with a later time, it gets that time.
pub const OLDER_FACTS_MAX: usize = 8;

/// Revision of a value: time and id of the event that set it. Ordered by time, then by event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Revision {
    pub(crate) at: Timestamp,
    pub(crate) by: EventId,
}

/// Origin of a value: the fact, and the revision of its envelope.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) revision: Revision,
    pub(crate) fact: FactId,
}

/// A last-writer-wins register: the value of the fact with the largest revision, where a fact has
/// the revision of its earliest envelope.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Document<T>")]
pub(crate) struct Latest<T> {
    winner: Candidate<T>,
    /// The values of other facts, the largest revision first.
    older: Vec<Candidate<T>>,
}

/// The value of one fact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Candidate<T> {
    at: Timestamp,
    by: EventId,
    /// Compared after the revision: it decides only between two events with the same id, and then
    /// the same way in every process.
    #[serde(skip_serializing_if = "is_zero_sized")]
    value: T,
    /// None in documents of builds without fact ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fact: Option<FactId>,
}

/// The value of a [`Latest`] whose revision alone matters. Not written into documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Marker;

impl<T: Ord> Latest<T> {
    pub(crate) fn new(value: T, source: Source) -> Self {
        let Source { revision: Revision { at, by }, fact } = source;
        Self { winner: Candidate { at, by, value, fact: Some(fact) }, older: Vec::new() }
    }

    pub(crate) fn value(&self) -> &T {
        &self.winner.value
    }

    pub(crate) fn revision(&self) -> Revision {
        self.winner.revision()
    }

    /// The values, with their revisions, that a build without fact ids wrote.
    pub(crate) fn without_fact(&self) -> impl Iterator<Item = (&T, Revision)> {
        let all = std::iter::once(&self.winner).chain(&self.older);
        let earlier = all.filter(|candidate| candidate.fact.is_none());
        earlier.map(|candidate| (&candidate.value, candidate.revision()))
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.add(other.winner);
        other.older.into_iter().for_each(|candidate| self.add(candidate));
        self.older.sort_unstable_by(|one, other| other.cmp(one));
        self.older.truncate(OLDER_FACTS_MAX);
    }

    /// Joins two optional values. A missing value never erases an existing one.
    pub(crate) fn join_option(this: &mut Option<Self>, other: Option<Self>) {
        match (this.as_mut(), other) {
            (Some(this), Some(other)) => this.join(other),
            (None, other @ Some(_)) => *this = other,
            (_, None) => {}
        }
    }

    fn add(&mut self, candidate: Candidate<T>) {
        let mut known = std::iter::once(&mut self.winner).chain(&mut self.older);
        match known.find(|known| known.is_of_same_fact(&candidate)) {
            Some(known) => known.join(candidate),
            None => self.older.push(candidate),
        }
        // An earlier envelope of the winner may make it older than another fact.
        if let Some(largest) = self.older.iter_mut().max().filter(|largest| **largest > self.winner)
        {
            mem::swap(largest, &mut self.winner);
        }
    }
}

impl<T: Ord> Candidate<T> {
    fn revision(&self) -> Revision {
        Revision { at: self.at, by: self.by }
    }

    /// Whether both are values of the same fact. An earlier build did not write fact ids: then
    /// equal values count as the same fact, and markers only if they are of the same event.
    fn is_of_same_fact(&self, other: &Self) -> bool {
        if let (Some(fact), Some(other)) = (self.fact, other.fact) {
            return fact == other;
        }
        self.value == other.value
            && (!is_zero_sized(&self.value) || self.revision() == other.revision())
    }

    /// Joins another envelope of the same fact: the earliest is kept.
    fn join(&mut self, other: Self) {
        let fact = self.fact.or(other.fact);
        if other < *self {
            *self = other;
        }
        self.fact = fact;
    }
}

/// A [`Latest`] in a document: the winner's fields, then the other facts.
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
    #[serde(skip_serializing_if = "refers_to_zero_sized")]
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

/// Whether the type has a single value, which need not be written.
fn is_zero_sized<T>(_: &T) -> bool {
    size_of::<T>() == 0
}

fn refers_to_zero_sized<T>(_: &&T) -> bool {
    size_of::<T>() == 0
}

impl Serialize for Marker {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Marker {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The field is never written; an optional type accepts its absence.
        Option::<()>::deserialize(deserializer).map(|_| Self)
    }
}

/// A first-writer-wins register: the value of the earliest event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Earliest<T> {
    pub(crate) at: Timestamp,
    pub(crate) by: EventId,
    pub(crate) value: T,
}

impl<T: Ord> Earliest<T> {
    pub(crate) fn new(value: T, Revision { at, by }: Revision) -> Self {
        Self { at, by, value }
    }

    /// Joins a value into a list with one item for each subject, the earliest first.
    pub(crate) fn join_list<S: Eq + ?Sized>(
        list: &mut Vec<Self>,
        new: Self,
        subject: impl Fn(&T) -> &S,
    ) {
        match list.iter_mut().find(|known| subject(&known.value) == subject(&new.value)) {
            Some(known) if new < *known => *known = new,
            Some(_) => {}
            None => list.push(new),
        }
        list.sort_unstable();
    }
}

/// The earlier of two optional times.
pub(crate) fn earliest(this: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    this.into_iter().chain(other).min()
}
