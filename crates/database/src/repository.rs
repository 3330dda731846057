//! The repository: what each database implements, with the rules of batches and units of work.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use projection::{
    Batch, BatchId, BatchStatus, Essay, EventId, Needs, OutgoingEvent, Rows, Timestamp, UserId,
};

use crate::dead_letter::DeadLetterRepository;
use crate::error::DbError;
use crate::inbox::{AppliedEvent, InboxRepository, KafkaOffsets};
use crate::list_changes::ListChanges;
use crate::outbox::OutboxRepository;
use crate::version::Version;

/// Most batches that one unit of work may need.
///
/// On PostgreSQL each is an entry in the server's lock table, which by default has 6,400 entries
/// for all connections together.
pub const BATCHES_PER_UNIT_MAX: usize = 1_000;

/// Everything that this service stores in a database. Each module takes the part that it needs.
pub trait Repository:
    BatchRepository + DatabaseClock + DeadLetterRepository + InboxRepository + OutboxRepository
{
}

impl<R> Repository for R where
    R: BatchRepository + DatabaseClock + DeadLetterRepository + InboxRepository + OutboxRepository
{
}

/// Batches and their essays. Implemented twice: [`PostgresRepository`](crate::PostgresRepository)
/// and [`SqliteRepository`](crate::SqliteRepository).
///
/// The rules are numbered through all parts of a [`Repository`]. The conformance suite checks each
/// number on both databases.
///
/// - **R1** Committed rows are read back unchanged, by units and by reads.
/// - **R2** A unit dropped without a commit writes nothing.
/// - **R3** The inbox has exactly the committed events. The same event cannot be written twice.
/// - **R4** No update is lost. For a batch, the second unit waits. For an essay, the second unit
///   gets [`DbError::Conflict`] if the first has overwritten what it loaded.
/// - **R5** Units that need the same batches in any order never deadlock. A unit that needs too
///   many batches is refused.
/// - **R6** A page is ordered by creation time, newest first, then by batch id in byte order; its
///   total counts what the filter selects, regardless of limit and offset.
/// - **R7** A page, its total and its essays are one snapshot, and so are a batch and its essays.
///   An essay is in one batch at any moment; loading the essay loads that batch.
/// - **R8** Only registered batches are shown.
/// - **R9** Ids are opaque: no id reaches the rows of another.
/// - **R11** A unit may hold as many essays as one event may name.
/// - **R12** A caller cancelled anywhere in a unit leaves no open transaction; the unit is written
///   whole or not at all.
/// - **R13** Several processes may start on one empty database at the same time.
/// - **R32** Rows of a build that did not count essays in the row of their batch are still read;
///   the next unit that writes them counts the essays.
/// - **R35** A commit that changes what a batch shows, its row or an essay of it, raises the
///   [`Version`] of that batch and that of its user, each by one. Nothing else does. A page and a
///   batch have the version of their snapshot.
/// - **R36** A commit that raises the version of a user is reported to all that listen, in every process.
///   What they may have missed, is reported as [`ListChange::Missed`](crate::ListChange::Missed).
/// - **R14** A document that cannot be read is [`DbError::Corrupt`], or [`DbError::NewerDocument`]
///   if a newer build wrote it. Unknown fields of a newer build stay in a document that this build
///   writes.
#[async_trait]
pub trait BatchRepository: Send + Sync + 'static {
    /// Begins the work on one group of events. On SQLite this waits for the write lock of the file; on
    /// PostgreSQL it takes a connection, and the transaction begins with [`load`](UnitOfWork::load).
    ///
    /// Safe to cancel: a caller dropped in the middle leaves no open transaction.
    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, DbError>;

    /// One batch with its essays, from one snapshot. `None`: not registered, or unknown.
    async fn batch(&self, id: &BatchId) -> Result<Option<BatchWithEssays>, DbError>;

    /// The user of a registered batch; reads no document. `None`: not registered.
    async fn batch_owner(&self, id: &BatchId) -> Result<Option<UserId>, DbError>;

    /// One page of a user's batches, its total and its essays, from one snapshot.
    async fn user_page(&self, query: &PageQuery) -> Result<Page, DbError>;

    /// Versions of the lists of some users, from one snapshot; none for a user of whom nothing was ever
    /// changed.
    async fn user_versions(&self, users: &[UserId]) -> Result<HashMap<UserId, Version>, DbError>;

    /// Reports changed lists from now on. Costs a connection, which all share.
    fn list_changes(&self) -> ListChanges;

    /// Whether the database answers and accepts writes.
    async fn ping(&self) -> Result<(), DbError>;

    /// Closes all connections, once they are idle.
    async fn close(&self);
}

/// The clock that all processes with the same database share.
#[async_trait]
pub trait DatabaseClock: Send + Sync + 'static {
    /// The time on the database server. `None` if the database runs in this process and has no
    /// clock of its own.
    async fn database_now(&self) -> Result<Option<Timestamp>, DbError>;
}

/// One transaction at most. Dropped without [`commit`](Self::commit), it is rolled back.
///
/// The order is load, write, commit, each at most once. A commit without a write ends a unit that
/// has nothing to write, and releases its locks and its connection. After an error, drop the unit.
#[async_trait]
pub trait UnitOfWork: Send {
    /// Multiplies the time limit of each statement. Call it before [`load`](Self::load). No effect
    /// where statements have no time limit.
    fn extend_time_limit(&mut self, _factor: u32) {}

    /// Locks the batches of `needs`, then loads its rows, and those of `events` that are in the
    /// inbox.
    ///
    /// Also loads, for reading only, every batch that a loaded essay belongs to now:
    /// [`Rows::unlocked_batches`] names those that are not locked. The essays of each locked batch
    /// are counted in its row. If an earlier build wrote the row without counts, they are counted
    /// now.
    ///
    /// # Errors
    ///
    /// [`DbError::Internal`] beyond [`BATCHES_PER_UNIT_MAX`].
    async fn load(&mut self, events: &[EventId], needs: &Needs) -> Result<LoadResult, DbError>;

    /// Writes what changed.
    ///
    /// # Errors
    ///
    /// [`DbError::Conflict`] if another unit wrote one of the essays or events since `load`, or a
    /// redelivered event was purged since; [`DbError::Rejected`] for a row that was not loaded, or
    /// that the database does not accept.
    async fn write(&mut self, changes: Changes<'_>) -> Result<(), DbError>;

    /// Commits. After an error the writes may or may not be committed: look into the inbox.
    async fn commit(self: Box<Self>) -> Result<(), DbError>;
}

/// What [`UnitOfWork::load`] found.
#[derive(Debug, Default)]
pub struct LoadResult {
    /// The events that are already applied, with the offsets they were delivered from.
    pub known: HashMap<EventId, KafkaOffsets>,
    /// The rows that exist.
    pub rows: Rows,
}

/// What [`UnitOfWork::write`] writes.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'a> {
    /// The events that these changes apply.
    pub events: &'a BTreeMap<EventId, AppliedEvent>,
    /// Events applied before that were delivered again, from offsets not recorded yet.
    pub redelivered: &'a BTreeMap<EventId, KafkaOffsets>,
    /// The rows that changed, and only those; also a batch of which only the status changed.
    pub rows: &'a Rows,
    /// The status of each registered batch among them. It depends on the essays of the batch too.
    pub statuses: &'a BTreeMap<BatchId, BatchStatus>,
    /// The outgoing events of these changes, in sending order.
    pub outgoing_events: &'a [OutgoingEvent],
    /// The current time.
    pub now: Timestamp,
}

/// A batch and the essays that belong to it.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchWithEssays {
    /// Version of the batch: 0 if it was not changed since versions exist.
    pub version: Version,
    /// The batch.
    pub batch: Batch,
    /// All its essays, by essay id in byte order.
    pub essays: Vec<Essay>,
}

/// Which page to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageQuery {
    /// Owner of the batches.
    pub user_id: UserId,
    /// Only batches with one of these statuses; empty: any.
    pub statuses: Vec<BatchStatus>,
    /// Most batches on the page.
    pub limit: u32,
    /// Batches before the page.
    pub offset: u32,
    /// Whether essays are read. If not, only those of batches that do not count them.
    pub include_essays: bool,
}

/// A page of a user's batches.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Version of the list: 0 for a user of whom nothing was ever changed.
    pub version: Version,
    /// Number of batches that the query selects, over all pages.
    pub total: u64,
    /// The batches of this page, newest first, then by batch id in byte order.
    pub batches: Vec<BatchWithEssays>,
}
