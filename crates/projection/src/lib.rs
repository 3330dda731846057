//! What happened to batches of essays: events as received, the fold over them, and the JSON that a
//! client sees of it.
//!
//! A record goes through three steps, and each is a pure function. There is no clock, no randomness
//! and no input or output in this crate; what time it is and which rows there are, the caller says.
//!
//! 1. [`decode`] makes an [`Event`] of a record's bytes, or says in a [`Refusal`] why not.
//! 2. [`Rows::apply`] folds the event into the rows that it needs ([`Event::needs`]), and says
//!    which batches' answers may have changed. The rows depend on the *set* of events alone: order
//!    and repetition do not matter.
//! 3. [`status_json`] and [`page_json`] write what a client sees, and [`due`] says what is to be
//!    published.
//!
//! [`Batch`] and [`Essay`] are serde types; their JSON is the document that a store keeps.
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
//! let changed = rows.apply(&event)?;
//! let batch_id = BatchId::parse("batch-1")?;
//! assert!(changed.contains(&batch_id));
//!
//! let essays: Vec<_> = rows.essays.into_values().collect();
//! let body = String::from_utf8(status_json(&rows.batches[&batch_id], &essays))?;
//! println!("{body}");
//! assert!(body.contains(r#""overall_status":"pending_content","essay_count":1"#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod excerpt;
mod names;
mod stack_trace;

mod error_detail;
mod essay_status;
mod ids;
mod number;
mod phase;
mod refusal;
mod status;
mod time;

mod event;

mod batch;
mod document;
mod essay;
mod join;
mod registered_batch;
mod rows;
mod tally;

mod outgoing;
mod view;

pub use self::batch::{Batch, HELD_ASSESSMENTS_MAX, JOBS_PER_BATCH_MAX, RUNS_PER_BATCH_MAX};
pub use self::document::newer_format;
pub use self::error_detail::{Detail, ErrorDetail};
pub use self::essay::{CLAIMING_BATCHES_MAX, Essay};
pub use self::essay_status::EssayStatus;
pub use self::event::{
    ASSIGNMENT_ID_CHARS_MAX, AssessmentResult, BatchEssaysRegistered, BatchPhaseOutcome,
    BatchPipelineCompleted, ConfidenceLabel, ContentType, CourseCode, ESSAYS_PER_EVENT_MAX,
    EssaySlotAssigned, Event, EventKind, Fact, FactId, Needs, PHASES_PER_EVENT_MAX,
    PipelineOutcome, RECORD_BYTES_MAX, Ranking, STORAGE_REFERENCE_FIELDS_MAX, SpellcheckEnd,
    SpellcheckMetrics, SpellcheckResult, StorageReferences, TEXT_BYTES_MAX, decode, locate,
};
pub use self::ids::{BatchId, CorrelationId, EssayId, EventId, ID_BYTES_MAX, IdError, UserId};
pub use self::join::OLDER_FACTS_MAX;
pub use self::number::Finite;
pub use self::outgoing::{
    Due, OutgoingEvent, OutgoingEventKind, SOURCE_SERVICE, due, outgoing_event_headers,
    outgoing_events,
};
pub use self::phase::PhaseName;
pub use self::refusal::{DETAIL_CHARS_MAX, Refusal, RefusalCode};
pub use self::rows::{ESSAYS_PER_BATCH_MAX, Rows};
pub use self::status::{
    BatchStatus, ClientStatus, ProcessingStage, StatusFilter, StatusValues, UnknownStatus,
};
pub use self::time::{Timestamp, TimestampError};
pub use self::view::{BatchView, Pagination, page_json, status_json};
