//! Projection of events into read models: decodes events about batches of essays, folds them into
//! rows, and writes the JSON for clients and the outgoing events.
//!
//! The crate is pure: no I/O, no clock, no randomness. The caller loads the rows and passes the
//! time. A record goes through three steps:
//!
//! 1. [`decode`] turns the bytes of a record into an [`Event`], or returns a [`Refusal`].
//! 2. [`Rows::apply`] folds the event into the rows that it needs ([`Event::needs`]), and returns
//!    the batches whose answers may have changed. The rows depend on the *set* of events alone:
//!    order and repetition do not matter.
//! 3. [`status_json`] and [`page_json`] write the answers for clients, and [`outgoing_events`]
//!    derives the events to publish.
//!
//! [`Batch`] and [`Essay`] are serde types; their JSON is the state document in the database.
//!
//! ```
//! use projection::{BatchId, Rows, Timestamp, decode, status_json};
//!
//! let record = br#"{
//!     "event_id": "1d255f49-ad0e-4396-84cb-20da30c6a122",
//!     "event_type": "huleedu.batch.essays.registered.v1",
//!     "event_timestamp": "2026-11-22T11:38:55.124887Z",
//!     "source_service": "batch_orchestrator_service",
//!     "data": {
//!         "entity_id": "batch-1",
//!         "expected_essay_count": 1,
//!         "essay_ids": ["essay-1"],
//!         "metadata": {"entity_id": "batch-1", "entity_type": "batch"},
//!         "course_code": "ENG5",
//!         "user_id": "teacher-17"
//!     }
//! }"#;
//! let received_at = Timestamp::parse("2026-11-22T11:38:56Z")?;
//! let event = decode(record, None, received_at)?;
//!
//! let mut rows = Rows::default();
//! let affected = rows.apply(&event)?;
//! let batch_id = BatchId::parse("batch-1")?;
//! assert!(affected.contains(&batch_id));
//!
//! let essays: Vec<_> = rows.essays.into_values().collect();
//! let body = String::from_utf8(status_json(&rows.batches[&batch_id], &essays))?;
//! println!("{body}");
//! assert!(body.contains(r#""overall_status":"pending_content","essay_count":1"#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod document;
mod error_detail;
mod essay;
mod essay_status;
mod event;
mod event_kind;
mod excerpt;
mod fact_id;
mod finite;
mod ids;
mod join;
mod names;
mod outgoing;
mod phase;
mod refusal;
mod registered_batch;
mod rows;
mod status;
mod tally;
mod time;
mod trace_parent;
mod view;

pub use self::batch::{Batch, HELD_ASSESSMENTS_MAX, JOBS_PER_BATCH_MAX, RUNS_PER_BATCH_MAX};
pub use self::document::newer_format;
pub use self::error_detail::{Detail, ErrorDetail};
pub use self::essay::{CLAIMING_BATCHES_MAX, Essay};
pub use self::essay_status::EssayStatus;
pub use self::event::{
    ASSIGNMENT_ID_CHARS_MAX, AssessmentResult, BatchEssaysRegistered, BatchPhaseOutcome,
    BatchPipelineCompleted, ConfidenceLabel, ContentType, CourseCode, ESSAYS_PER_EVENT_MAX,
    EssaySlotAssigned, Event, Fact, Needs, PHASES_PER_EVENT_MAX, PipelineOutcome, RECORD_BYTES_MAX,
    Ranking, STORAGE_REFERENCE_FIELDS_MAX, SpellcheckEnd, SpellcheckMetrics, SpellcheckResult,
    StorageReferences, TEXT_BYTES_MAX, decode, locate,
};
pub use self::event_kind::EventKind;
pub use self::fact_id::FactId;
pub use self::finite::Finite;
pub use self::ids::{BatchId, CorrelationId, EssayId, EventId, ID_BYTES_MAX, IdError, UserId};
pub use self::join::OLDER_FACTS_MAX;
pub use self::outgoing::{
    OutgoingEvent, OutgoingEventKind, OutgoingEvents, SOURCE_SERVICE, outgoing_event_headers,
    outgoing_events,
};
pub use self::phase::PhaseName;
pub use self::refusal::{DETAIL_CHARS_MAX, Refusal, RefusalCode};
pub use self::rows::{ESSAYS_PER_BATCH_MAX, Rows};
pub use self::status::{
    BatchStatus, ClientStatus, ProcessingStage, StatusFilter, StatusValues, UnknownStatus,
};
pub use self::time::{Timestamp, TimestampError};
pub use self::trace_parent::TraceParent;
pub use self::view::{BatchView, PageView, Pagination, page_json, status_json};
