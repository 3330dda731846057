//! The store: the rows of the read model, behind one trait that ships twice.
//!
//! Rows are JSON documents that the crate `results` makes and reads; this module finds them, keeps
//! two writers from losing each other's work, and reads every answer from one snapshot. It does
//! not know what an event means, never calls the cache, and retries nothing: an error says what
//! its caller should do next. Only what nobody waits for is begun again by itself: listening for
//! outgoing events, holding the lock of the process, and looking at rows of a newer build again; and
//! a read whose pooled connection turns out to be dead is sent once more.

pub mod backoff;
mod begin;
pub mod data_dir;
mod dead_letter;
mod document;
mod error;
mod held;
mod inbox;
mod migrate;
pub mod outage;
mod outbox;
mod postgres;
mod rows;
mod sqlite;

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use projection::{
    Batch, BatchId, BatchStatus, Essay, EventId, Needs, OutgoingEvent, Rows, Timestamp, UserId,
};

pub use self::{
    dead_letter::{
        DEAD_LETTERS_SCANNED_MAX, DeadLetter, DeadLetterCursor, DeadLetterId, DeadLetterPage,
        DeadLetterQuery, DeadLetterRepository, DeadLetterSummary, DeadLetterUsage,
        ExpiredDeadLetters, PurgedDeadLetters, StoredDeadLetter,
    },
    error::{BoxError, DbError},
    inbox::{
        AppliedEvent, InboxChunk, InboxCursor, InboxRepository, KafkaOffset, KafkaOffsets,
        LogStart, LogStarts, PurgedEvents,
    },
    migrate::NewerSchema,
    outbox::{
        ClaimRequest, OutboxClaim, OutboxDepth, OutboxNotifier, OutboxPosition, OutboxRecord,
        OutboxRepository, READ_BYTES_MAX,
    },
    postgres::{LockWatch, PostgresOptions, PostgresRepository, ProcessLock, Sharing},
    sqlite::{SqliteOptions, SqliteRepository},
};

/// The most batches that one unit of work may need.
///
/// On PostgreSQL each is one entry in the server's shared table of locks, which by default has
/// room for 6,400 of all connections together.
pub const BATCHES_PER_UNIT_MAX: usize = 1_000;

/// Everything that a database keeps for this service. Rooms take the part that they need.
pub trait Repository:
    BatchRepository + DatabaseClock + DeadLetterRepository + InboxRepository + OutboxRepository
{
}

impl<R> Repository for R where
    R: BatchRepository + DatabaseClock + DeadLetterRepository + InboxRepository + OutboxRepository
{
}

/// Where the rows live. Ships twice: [`PostgresRepository`] and [`SqliteRepository`].
///
/// The rules are numbered through all parts of a [`Repository`], and the conformance suite has a
/// check per number, run on both.
///
/// - **R1** What was committed is read back as it was written, by units and by reads.
/// - **R2** A unit dropped without commit leaves nothing behind.
/// - **R3** The inbox knows exactly the events that were committed; the same event cannot be
///   written twice.
/// - **R4** Two units never lose an update: of a batch the second waits, of an essay the second is
///   refused as [`DbError::Conflict`] if it loaded what the first has overwritten since.
/// - **R5** Units that need the same batches in any order never wait for each other in a circle.
///   One that needs too many is refused.
/// - **R6** A page is ordered by creation time, newest first, then by batch id in byte order; its
///   total counts what the filter selects, whatever limit and offset are.
/// - **R7** A page, its total and its essays are of one moment, and so are a batch and its essays; an
///   essay is in one batch at any moment, and whoever loads it loads that batch.
/// - **R8** Only registered batches are shown.
/// - **R9** Ids are opaque: none reaches another id's rows.
/// - **R11** A unit may hold as many essays as one event may name.
/// - **R12** A caller dropped anywhere in a unit leaves no transaction behind, and its unit written
///   whole or not at all.
/// - **R13** Several processes may start on one empty database at once.
/// - **R32** Rows of a build that did not count the essays in the row of their batch are read as before,
///   and counted by the next unit that writes them.
/// - **R14** A document that cannot be read is [`DbError::Corrupt`], or
///   [`DbError::NewerDocument`] if a later build wrote it. Fields of a later build that this one
///   does not know stay in a document that it writes.
#[async_trait]
pub trait BatchRepository: Send + Sync + 'static {
    /// Begins the work on one group of events. On SQLite this waits for the write lock of the file; on
    /// PostgreSQL it takes a connection, and the transaction begins with [`load`](UnitOfWork::load).
    ///
    /// Safe to cancel: a caller dropped in the middle leaves no open transaction behind.
    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, DbError>;

    /// One batch with its essays, from one snapshot. `None`: not registered, or unknown.
    async fn batch(&self, id: &BatchId) -> Result<Option<BatchWithEssays>, DbError>;

    /// The user of a registered batch, whatever its documents are like. `None`: not registered.
    async fn batch_owner(&self, id: &BatchId) -> Result<Option<UserId>, DbError>;

    /// One page of a user's batches, its total and its essays, from one snapshot.
    async fn user_page(&self, query: &PageQuery) -> Result<Page, DbError>;

    /// Whether the database answers and takes writes.
    async fn ping(&self) -> Result<(), DbError>;

    /// Closes all connections, after the work on them has ended.
    async fn close(&self);
}

/// The clock that all processes with the same database share.
#[async_trait]
pub trait DatabaseClock: Send + Sync + 'static {
    /// The time on the machine of the database. `None` if that is this machine: then it has no
    /// other clock than this process.
    async fn database_now(&self) -> Result<Option<Timestamp>, DbError>;
}

/// One transaction at most. Dropped without [`commit`](Self::commit), it is rolled back.
///
/// The order is load, write, commit, each at most once. A commit without a write ends a unit that has
/// nothing to write, and frees its locks and its connection. After an error, drop it.
#[async_trait]
pub trait UnitOfWork: Send {
    /// Lets the database work longer than usual on each statement, by a factor. Asked for before
    /// [`load`](Self::load). Nothing changes where statements have no time limit.
    fn extend_time_limit(&mut self, _factor: u32) {}

    /// Locks the batches of `needs`, then loads its rows and which of `events` the inbox has.
    ///
    /// Also loads every batch that a loaded essay belongs to now, to read, not to write:
    /// [`Rows::unlocked_batches`] names those that are not locked. The essays of each batch that is
    /// locked are counted in its row; if an earlier build wrote it, which did not count them, they are
    /// counted now.
    ///
    /// # Errors
    ///
    /// [`DbError::Internal`] beyond [`BATCHES_PER_UNIT_MAX`].
    async fn load(&mut self, events: &[EventId], needs: &Needs) -> Result<LoadResult, DbError>;

    /// Writes what changed.
    ///
    /// # Errors
    ///
    /// [`DbError::Conflict`] if another unit wrote one of the essays or events since `load`,
    /// or one that came again was forgotten since;
    /// [`DbError::Rejected`] for a row that `load` was not asked for, or that the database does not
    /// take.
    async fn write(&mut self, changes: Changes<'_>) -> Result<(), DbError>;

    /// Makes the writes last. After an error they may or may not have: the inbox will tell.
    async fn commit(self: Box<Self>) -> Result<(), DbError>;
}

/// What [`UnitOfWork::load`] found.
#[derive(Debug, Default)]
pub struct LoadResult {
    /// Those of the events that are applied already, and where they were delivered from.
    pub known: HashMap<EventId, KafkaOffsets>,
    /// The rows, where there are any.
    pub rows: Rows,
}

/// What [`UnitOfWork::write`] writes.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'a> {
    /// The events that are applied by this.
    pub events: &'a BTreeMap<EventId, AppliedEvent>,
    /// Events applied before that came again, from where nothing was known of them.
    pub seen_again: &'a BTreeMap<EventId, KafkaOffsets>,
    /// The rows that changed, and only those; also a batch of which nothing but its state changed.
    pub rows: &'a Rows,
    /// The state of each registered batch among them. It rests on the batch's essays too.
    pub statuses: &'a BTreeMap<BatchId, BatchStatus>,
    /// What these changes make due to be announced, in the order in which to send it.
    pub outgoing_events: &'a [OutgoingEvent],
    /// The time now.
    pub now: Timestamp,
}

/// A batch and the essays that belong to it.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchWithEssays {
    /// The batch.
    pub batch: Batch,
    /// All its essays, by essay id in byte order.
    pub essays: Vec<Essay>,
}

/// Which page to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageQuery {
    /// Whose batches.
    pub user_id: UserId,
    /// Only batches in one of these; empty: in any.
    pub statuses: Vec<BatchStatus>,
    /// How many batches at most.
    pub limit: u32,
    /// How many batches to skip.
    pub offset: u32,
    /// Whether the essays are read. Without, only those are which their batch does not count.
    pub include_essays: bool,
}

/// A page of a user's batches.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// How many batches the query selects, on all pages together.
    pub total: u64,
    /// The batches of this page, newest first, then by batch id in byte order.
    pub batches: Vec<BatchWithEssays>,
}
