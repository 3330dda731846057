//! The read model in PostgreSQL or SQLite: batches, inbox, outbox and dead letters.
//!
//! Rows are JSON documents that the crate `projection` makes and reads. This crate finds them, keeps
//! concurrent writers from losing each other's updates, and reads every answer from one snapshot. It
//! does not know what an event means, never calls the cache, and does not retry: an error says what
//! its caller should do next. The exceptions are background work, listening for outgoing events and
//! holding the process lock, and a read whose pooled connection turns out to be dead: it is sent again.

pub mod backoff;
mod begin;
pub mod data_dir;
mod dead_letter;
mod error;
mod held_locks;
mod inbox;
pub mod inspect;
mod list_changes;
mod migrate;
pub mod outage;
mod outbox;
mod postgres;
mod repository;
mod rows;
mod sqlite;
mod statement_span;
mod version;

pub use self::dead_letter::{
    DEAD_LETTERS_SCANNED_MAX, DeadLetter, DeadLetterCursor, DeadLetterGroup, DeadLetterId,
    DeadLetterPage, DeadLetterQuery, DeadLetterRepository, DeadLetterSummary, DeadLetterUsage,
    ExpiredDeadLetters, PurgedDeadLetters, StoredDeadLetter,
};
pub use self::error::{BoxError, DbError};
pub use self::inbox::{
    AppliedEvent, InboxChunk, InboxCursor, InboxReport, InboxRepository, KafkaOffset, KafkaOffsets,
    LogStart, LogStarts, PurgedEvents, ReadRecord,
};
pub use self::list_changes::{LIST_CHANGES_MAX, ListChange, ListChanges};
pub use self::migrate::{NewerSchema, SchemaVersion};
pub use self::outbox::{
    ClaimRequest, OutboxClaim, OutboxDepth, OutboxNotifier, OutboxPosition, OutboxRecord,
    OutboxRepository, READ_BYTES_MAX,
};
pub use self::postgres::{
    LockMode, LockWatch, PostgresInspector, PostgresOptions, PostgresRepository, ProcessLock,
};
pub use self::repository::{
    BATCHES_PER_UNIT_MAX, BatchRepository, BatchWithEssays, Changes, DatabaseClock, LoadResult,
    Page, PageQuery, Repository, UnitOfWork,
};
pub use self::sqlite::{SqliteOptions, SqliteRepository};
pub use self::version::Version;
