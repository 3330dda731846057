//! Conversion between columns and types, for the rows that both databases select and write.
//!
//! Statements differ, the columns do not. No SQL here.

use std::collections::{BTreeMap, BTreeSet};

use projection::{
    Batch, BatchId, BatchStatus, CorrelationId, Essay, EssayId, EventId, OutgoingEvent, Rows,
    Timestamp, UserId,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::error::BoxDynError;
use sqlx::types::Json;
use sqlx::{Database, Decode, Postgres, Sqlite, Type, TypeInfo as _};
use uuid::Uuid;

use crate::error::DbError;
use crate::held_locks::HeldLocks;
use crate::inbox::{AppliedEvent, InboxCursor, KafkaOffsets, PurgedEvents};
use crate::outbox::{OutboxDepth, OutboxPosition, OutboxRecord};
use crate::repository::{BatchWithEssays, Changes, LoadResult, Page};
use crate::version::Version;

/// A column with a state document, not parsed: `json` on PostgreSQL, text on SQLite. A cast to `text`
/// would cost PostgreSQL two more copies.
#[derive(Debug)]
pub(super) struct Document(pub(super) String);

impl Type<Postgres> for Document {
    fn type_info() -> <Postgres as Database>::TypeInfo {
        <Json<()> as Type<Postgres>>::type_info()
    }

    /// Not `jsonb`, which is sent with a byte in front.
    fn compatible(column: &<Postgres as Database>::TypeInfo) -> bool {
        column.name() == "JSON"
    }
}

impl Type<Sqlite> for Document {
    fn type_info() -> <Sqlite as Database>::TypeInfo {
        <String as Type<Sqlite>>::type_info()
    }

    fn compatible(column: &<Sqlite as Database>::TypeInfo) -> bool {
        <String as Type<Sqlite>>::compatible(column)
    }
}

impl<'r, DB: Database> Decode<'r, DB> for Document
where
    String: Decode<'r, DB>,
{
    fn decode(column: <DB as Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        String::decode(column).map(Self)
    }
}

/// A row of `load.sql`: kind, id, revision, state, essay ids.
pub(super) type LoadRow = (String, String, Option<i64>, Option<String>, Option<String>);

/// A row of `batch.sql`: kind, state, version of the batch.
pub(super) type BatchRow = (String, Document, Option<i64>);

/// A row of `user_page.sql`: number, batch id, state, version. Its nulls determine its kind.
pub(super) type PageRow = (i64, Option<String>, Option<Document>, Option<i64>);

/// A row of the outbox: position, event id, topic, key, batch id, correlation id, value, and when it
/// was written and published, in microseconds since the Unix epoch.
pub(super) type OutboxRow = (i64, Uuid, String, String, String, Uuid, Vec<u8>, i64, Option<i64>);

/// The row of `outbox_depth.sql`: number, and when the oldest was written, in the same unit.
pub(super) type DepthRow = (i64, Option<i64>);

/// A row of the inbox to be written.
#[derive(Serialize)]
pub(super) struct NewEvent<'a> {
    pub(super) id: Uuid,
    pub(super) kind: &'static str,
    /// Microseconds since the Unix epoch.
    pub(super) at: i64,
    /// Microseconds since the Unix epoch.
    pub(super) applied_at: i64,
    pub(super) places: &'a KafkaOffsets,
}

/// A row of the inbox to which offsets are added.
#[derive(Serialize)]
pub(super) struct RedeliveredEvent<'a> {
    pub(super) id: Uuid,
    pub(super) places: &'a KafkaOffsets,
}

/// A batch to be written: its document, and the columns copied out of it for look-ups.
#[derive(Serialize)]
pub(super) struct NewBatch<'a> {
    pub(super) id: &'a str,
    pub(super) user_id: Option<&'a str>,
    pub(super) status: Option<&'static str>,
    /// Microseconds since the Unix epoch.
    pub(super) created_at: Option<i64>,
    pub(super) state: &'a Batch,
    /// `None`: keep the stored ones.
    pub(super) essay_ids: Option<&'a BTreeSet<EssayId>>,
    pub(super) has_tally: bool,
}

/// An essay to be written: its document, and the columns copied out of it for look-ups.
#[derive(Serialize)]
pub(super) struct NewEssay<'a> {
    pub(super) id: &'a str,
    pub(super) batch_id: &'a str,
    pub(super) revision: i64,
    pub(super) state: &'a Essay,
}

/// The rows of one [`Changes`], each kind in ascending order of its ids.
pub(super) struct NewRows<'a> {
    pub(super) events: Vec<NewEvent<'a>>,
    pub(super) redelivered: Vec<RedeliveredEvent<'a>>,
    pub(super) batches: Vec<NewBatch<'a>>,
    pub(super) essays: Vec<NewEssay<'a>>,
    /// Ids of the locked batches of these essays that are not written themselves, ascending.
    pub(super) batches_of_essays: Vec<&'a str>,
    /// In sending order.
    pub(super) outgoing_events: &'a [OutgoingEvent],
}

impl<'a> NewRows<'a> {
    /// Makes the rows to be written; refuses rows that are not in `held`.
    pub(super) fn new(changes: &Changes<'a>, held: &HeldLocks) -> Result<Self, DbError> {
        let rows = changes.rows;
        let applied_at = changes.now.unix_micros();
        Ok(Self {
            events: changes
                .events
                .values()
                .map(|AppliedEvent { id, kind, at, offsets }| NewEvent {
                    id: id.0,
                    kind: kind.topic(),
                    at: at.unix_micros(),
                    applied_at,
                    places: offsets,
                })
                .collect(),
            redelivered: changes
                .redelivered
                .iter()
                .map(|(id, offsets)| RedeliveredEvent { id: id.0, places: offsets })
                .collect(),
            batches: rows
                .batches
                .values()
                .map(|batch| new_batch(batch, changes, held))
                .collect::<Result<_, _>>()?,
            essays: rows
                .essays
                .values()
                .map(|essay| new_essay(essay, held))
                .collect::<Result<_, _>>()?,
            batches_of_essays: batches_of_essays(rows, held),
            outgoing_events: changes.outgoing_events,
        })
    }
}

/// Only those whose locks are held: to wait for another one's row, while essays are locked, can end in a
/// deadlock.
fn batches_of_essays<'a>(rows: &'a Rows, held: &HeldLocks) -> Vec<&'a str> {
    let batches: BTreeSet<_> = rows.essays.values().map(Essay::batch_id).collect();
    let unwritten = batches.into_iter().filter(|id| !rows.batches.contains_key(*id));
    let unwritten = unwritten.filter(|id| held.batches().contains(*id));
    unwritten.map(BatchId::as_str).collect()
}

fn new_batch<'a>(
    batch: &'a Batch,
    changes: &Changes<'a>,
    held: &HeldLocks,
) -> Result<NewBatch<'a>, DbError> {
    held.check(&batch.id)?;
    let user_id = batch.user_id().map(|user_id| user_id.as_str());
    let status = changes.statuses.get(&batch.id).copied();
    Ok(NewBatch {
        id: batch.id.as_str(),
        user_id,
        // An unregistered batch is in no list, so it has no status to filter by.
        status: user_id.and(status).map(BatchStatus::as_str),
        created_at: batch.created_at().map(|at| at.unix_micros()),
        state: batch,
        essay_ids: changes.rows.listed.get(&batch.id),
        has_tally: batch.has_tally(),
    })
}

fn new_essay<'a>(essay: &'a Essay, held: &HeldLocks) -> Result<NewEssay<'a>, DbError> {
    Ok(NewEssay {
        id: essay.id.as_str(),
        batch_id: essay.batch_id().as_str(),
        revision: held.next_revision(&essay.id)?,
        state: essay,
    })
}

/// Converts the rows of `load.sql`, and records the revisions of essays in `held`.
pub(super) fn load_result(rows: Vec<LoadRow>, held: &mut HeldLocks) -> Result<LoadResult, DbError> {
    let mut loaded = LoadResult::default();
    for (kind, id, revision, state, essay_ids) in rows {
        match (kind.as_str(), revision, state) {
            ("event", None, offsets) => {
                let known = offsets.map(|offsets| read("offsets of event", &id, &offsets));
                let id = Uuid::parse_str(&id).map_err(DbError::internal)?;
                loaded.known.insert(EventId(id), known.transpose()?.unwrap_or_default());
            }
            ("batch", None, Some(state)) => {
                let batch: Batch = read("batch", &id, &state)?;
                if let Some(essay_ids) = essay_ids {
                    let listed = read("essay ids of batch", &id, &essay_ids)?;
                    loaded.rows.listed.insert(batch.id.clone(), listed);
                }
                loaded.rows.batches.insert(batch.id.clone(), batch);
            }
            ("essay", Some(revision), Some(state)) => {
                let essay: Essay = read("essay", &id, &state)?;
                held.found(&essay.id, revision);
                loaded.rows.essays.insert(essay.id.clone(), essay);
            }
            _ => return Err(DbError::internal(format!("load.sql gave a row of kind `{kind}`"))),
        }
    }
    loaded.rows.add_missing_tallies(held.batches());
    Ok(loaded)
}

/// Converts the row of `batch_owner.sql`.
pub(super) fn batch_owner(rows: Vec<(String,)>) -> Result<Option<UserId>, DbError> {
    let owner = rows.into_iter().next().map(|(id,)| UserId::parse(id));
    owner.transpose().map_err(DbError::internal)
}

/// Converts the rows of `batch.sql`.
pub(super) fn batch(id: &BatchId, rows: Vec<BatchRow>) -> Result<Option<BatchWithEssays>, DbError> {
    let (mut batch, mut essays) = (None, Vec::with_capacity(rows.len()));
    let mut version = Version::default();
    for (kind, Document(state), of_batch) in rows {
        if kind == "batch" {
            batch = Some(read("batch", id.as_str(), &state)?);
            version = Version::from_column(of_batch);
        } else {
            essays.push(read("essay of batch", id.as_str(), &state)?);
        }
    }
    Ok(batch.map(|batch| with_essays(batch, version, essays)))
}

/// Rows of one batch of a page, which come in any order.
#[derive(Default)]
struct FoundBatch {
    batch: Option<Batch>,
    version: Version,
    essays: Vec<Essay>,
}

/// Converts the rows of `user_page.sql`.
pub(super) fn page(rows: Vec<PageRow>) -> Result<Page, DbError> {
    let (mut total, mut list_version) = (0, Version::default());
    let mut batches: BTreeMap<i64, FoundBatch> = BTreeMap::new();
    for (number, id, state, version) in rows {
        let version = Version::from_column(version);
        match (id, state) {
            (None, None) => (total, list_version) = (number.unsigned_abs(), version),
            (Some(id), Some(Document(state))) => {
                let found = batches.entry(number).or_default();
                found.batch = Some(read("batch", &id, &state)?);
                found.version = version;
            }
            (None, Some(Document(state))) => {
                let FoundBatch { batch, essays, .. } = batches.entry(number).or_default();
                let batch_id = batch.as_ref().map_or("", |batch| batch.id.as_str());
                essays.push(read("essay of batch", batch_id, &state)?);
            }
            (Some(id), None) => {
                let problem = format!("user_page.sql gave batch `{id}` without its state");
                return Err(DbError::internal(problem));
            }
        }
    }
    let with_its_essays =
        |found: FoundBatch| Some(with_essays(found.batch?, found.version, found.essays));
    let batches = batches.into_values().filter_map(with_its_essays).collect();
    Ok(Page { version: list_version, total, batches })
}

/// Converts rows of `user_versions`: user id, version.
pub(super) fn user_versions(rows: Vec<(String, i64)>) -> Result<Vec<(UserId, Version)>, DbError> {
    let of_row = |(id, version): (String, i64)| {
        let id = UserId::parse(id).map_err(DbError::internal)?;
        Ok((id, Version::from_column(Some(version))))
    };
    rows.into_iter().map(of_row).collect()
}

/// Converts rows of the outbox.
pub(super) fn outbox_records(rows: Vec<OutboxRow>) -> Result<Vec<OutboxRecord>, DbError> {
    rows.into_iter().map(outbox_record).collect()
}

fn outbox_record(row: OutboxRow) -> Result<OutboxRecord, DbError> {
    let (position, event_id, topic, key, batch_id, correlation_id, value, written, published) = row;
    let batch_id = BatchId::parse(batch_id).map_err(|error| DbError::Corrupt {
        what: format!("outbox record {position}"),
        source: error.into(),
    })?;
    Ok(OutboxRecord {
        position: OutboxPosition(position),
        event_id: EventId(event_id),
        topic,
        key,
        batch_id,
        correlation_id: CorrelationId(correlation_id),
        value,
        written_at: Timestamp::from_unix_micros(written),
        published_at: published.map(Timestamp::from_unix_micros),
    })
}

/// A limit of bytes as databases take it.
pub(super) fn bytes_limit(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Converts the row of a purge of the inbox: number of events, then time of applying, in
/// microseconds since the Unix epoch, and id of the last scanned row.
pub(super) fn purged_events(row: Option<(i64, i64, Uuid)>) -> PurgedEvents {
    let Some((events, applied_at, event)) = row else {
        return PurgedEvents { events: 0, last: None };
    };
    let applied_at = Timestamp::from_unix_micros(applied_at);
    let last = Some(InboxCursor { applied_at, event: EventId(event) });
    PurgedEvents { events: events.unsigned_abs(), last }
}

/// Converts the row of `outbox_depth.sql`.
pub(super) fn outbox_depth((count, oldest): DepthRow) -> OutboxDepth {
    OutboxDepth {
        unpublished: count.unsigned_abs(),
        oldest_written_at: oldest.map(Timestamp::from_unix_micros),
    }
}

fn with_essays(batch: Batch, version: Version, mut essays: Vec<Essay>) -> BatchWithEssays {
    essays.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    BatchWithEssays { version, batch, essays }
}

fn read<T: DeserializeOwned>(what: &str, id: &str, json: &str) -> Result<T, DbError> {
    serde_json::from_str(json).map_err(|error| {
        let (what, source) = (format!("{what} `{id}`"), error.into());
        match projection::newer_format(json) {
            Some(version) => DbError::NewerDocument { what, version, source },
            None => DbError::Corrupt { what, source },
        }
    })
}
