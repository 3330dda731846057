//! The schema, brought up to date at start.
//!
//! Applied files never change: their checksums are kept beside the tables and compared.
//!
//! While processes are exchanged one by one, a build runs on the schema of the next one. So a migration
//! only adds, and takes away what no running build uses. One that cannot be so has a description that
//! begins with [`BREAKING`]: builds that do not know it refuse to start.

use std::borrow::Cow;

use sqlx::{
    PgConnection, SqlSafeStr, SqliteConnection,
    migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator},
};

use super::DbError;

/// Version, description and statements of a migration.
type File = (i64, &'static str, &'static str);

const POSTGRES: &[File] = &[
    (1, "read model", include_str!("migrations/postgres/0001_read_model.sql")),
    (2, "outbox", include_str!("migrations/postgres/0002_outbox.sql")),
    (3, "dead letters", include_str!("migrations/postgres/0003_dead_letters.sql")),
    (4, "inbox places", include_str!("migrations/postgres/0004_inbox_places.sql")),
    (5, "outbox indexes", include_str!("migrations/postgres/0005_outbox_indexes.sql")),
    (
        6,
        "dead letters in order",
        include_str!("migrations/postgres/0006_dead_letters_in_order.sql"),
    ),
    (7, "breaking: counted essays", include_str!("migrations/postgres/0007_counted_essays.sql")),
    (8, "dead letter usage", include_str!("migrations/postgres/0008_dead_letter_usage.sql")),
    (9, "batches as sent", include_str!("migrations/postgres/0009_batches_as_sent.sql")),
];

const SQLITE: &[File] = &[
    (1, "read model", include_str!("migrations/sqlite/0001_read_model.sql")),
    (2, "outbox", include_str!("migrations/sqlite/0002_outbox.sql")),
    (3, "dead letters", include_str!("migrations/sqlite/0003_dead_letters.sql")),
    (4, "inbox places", include_str!("migrations/sqlite/0004_inbox_places.sql")),
    (5, "outbox indexes", include_str!("migrations/sqlite/0005_outbox_indexes.sql")),
    (6, "dead letters in order", include_str!("migrations/sqlite/0006_dead_letters_in_order.sql")),
    (7, "breaking: counted essays", include_str!("migrations/sqlite/0007_counted_essays.sql")),
    (8, "dead letter usage", include_str!("migrations/sqlite/0008_dead_letter_usage.sql")),
];

/// What the description of a migration begins with that builds before it cannot live with.
const BREAKING: &str = "breaking:";

/// The migrations that this build does not know.
const UNKNOWN: &str = "select version, description from _sqlx_migrations \
                       where version > $1 order by version";

/// The schema of a newer build, with which this one works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewerSchema {
    /// The newest version that is applied.
    pub applied: i64,
    /// The newest version that this build knows.
    pub known: i64,
}

/// Takes an advisory lock of the session, which ends with the connection at the latest: of several
/// processes one migrates, the others wait.
pub(super) async fn postgres(
    connection: &mut PgConnection,
) -> Result<Option<NewerSchema>, DbError> {
    run(POSTGRES, connection).await?;
    let known = newest(POSTGRES);
    newer(known, sqlx::query_as(UNKNOWN).bind(known).fetch_all(connection).await?)
}

/// Takes no lock, so `connection` must be inside a transaction that has the file's write lock.
pub(super) async fn sqlite(
    connection: &mut SqliteConnection,
) -> Result<Option<NewerSchema>, DbError> {
    run(SQLITE, connection).await?;
    let known = newest(SQLITE);
    newer(known, sqlx::query_as(UNKNOWN).bind(known).fetch_all(connection).await?)
}

fn newest(files: &[File]) -> i64 {
    files.iter().map(|(version, ..)| *version).max().unwrap_or_default()
}

/// What this build makes of the versions and descriptions that it does not know.
fn newer(known: i64, unknown: Vec<(i64, String)>) -> Result<Option<NewerSchema>, DbError> {
    let is_breaking = |(_, description): &&(i64, String)| description.starts_with(BREAKING);
    if let Some((version, _)) = unknown.iter().find(is_breaking) {
        let hint = "its schema is of a newer build that this one cannot work with; start that one";
        let source = format!("migration {version} is applied, this build knows {known}");
        return Err(DbError::misconfigured(hint, source));
    }
    Ok(unknown.last().map(|(applied, _)| NewerSchema { applied: *applied, known }))
}

async fn run(files: &[File], connection: &mut impl Migrate) -> Result<(), MigrateError> {
    // Neither a target version nor a dry run. Not `Migrator::run`: with a connection, its future
    // is not known to be `Send`.
    migrator(files).run_direct(None, connection, false).await
}

fn migrator(files: &[File]) -> Migrator {
    let migrations = files.iter().map(|&(version, description, statements)| {
        let description = Cow::Borrowed(description);
        let kind = MigrationType::Simple;
        Migration::new(version, description, kind, statements.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    // A migration that this program does not know came from a newer one. While versions are
    // exchanged one process at a time, an older one may still have to start; migrations first
    // add, and take away only what no running version uses.
    migrator.set_ignore_missing(true);
    migrator
}
