//! Schema migrations, run at start.
//!
//! Applied files never change: their checksums are stored in the database and compared.
//!
//! During a rolling upgrade an older build runs on the newer schema. So a migration only adds, and
//! removes only what no running build uses. A migration that cannot comply has a description that
//! begins with [`BREAKING`]: builds that do not know it refuse to start.

use std::borrow::Cow;

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{PgConnection, SqlSafeStr, SqliteConnection};

use crate::error::DbError;

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
    (10, "versions", include_str!("migrations/postgres/0010_versions.sql")),
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
    (9, "versions", include_str!("migrations/sqlite/0009_versions.sql")),
];

/// Start of the description of a migration that earlier builds cannot work with.
const BREAKING: &str = "breaking:";

/// Migrations that this build does not know.
const UNKNOWN: &str = "select version, description from _sqlx_migrations \
                       where version > $1 order by version";

/// Whether any migration was ever applied.
const POSTGRES_HAS_MIGRATIONS: &str = "select to_regclass('_sqlx_migrations') is not null";
const SQLITE_HAS_MIGRATIONS: &str =
    "select exists (select 1 from sqlite_master where name = '_sqlx_migrations')";
const APPLIED: &str =
    "select version, description, success, checksum from _sqlx_migrations order by version";

/// Version of the schema of a database that this build can work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaVersion {
    /// The newest applied version; none in a new database.
    pub applied: Option<i64>,
    /// The newest version known to this build.
    pub known: i64,
}

/// Version, description, success and checksum of an applied migration.
type Applied = (i64, String, bool, Vec<u8>);

/// A newer schema that this build can work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewerSchema {
    /// The newest applied version.
    pub applied: i64,
    /// The newest version known to this build.
    pub known: i64,
}

/// Takes a session-level advisory lock: one process migrates, the others wait.
pub(super) async fn postgres(
    connection: &mut PgConnection,
) -> Result<Option<NewerSchema>, DbError> {
    run(POSTGRES, connection).await?;
    let known = newest(POSTGRES);
    newer(known, sqlx::query_as(UNKNOWN).bind(known).fetch_all(connection).await?)
}

/// Takes no lock: `connection` must be inside a transaction that holds the write lock of the file.
pub(super) async fn sqlite(
    connection: &mut SqliteConnection,
) -> Result<Option<NewerSchema>, DbError> {
    run(SQLITE, connection).await?;
    let known = newest(SQLITE);
    newer(known, sqlx::query_as(UNKNOWN).bind(known).fetch_all(connection).await?)
}

/// The version, if a start could go on with it. Changes nothing.
pub(super) async fn inspect_postgres(
    connection: &mut PgConnection,
) -> Result<SchemaVersion, DbError> {
    let has_any: bool =
        sqlx::query_scalar(POSTGRES_HAS_MIGRATIONS).fetch_one(&mut *connection).await?;
    let applied =
        if has_any { sqlx::query_as(APPLIED).fetch_all(connection).await? } else { Vec::new() };
    compare(POSTGRES, applied)
}

/// The same of an SQLite file.
pub(super) async fn inspect_sqlite(
    connection: &mut SqliteConnection,
) -> Result<SchemaVersion, DbError> {
    let has_any: bool =
        sqlx::query_scalar(SQLITE_HAS_MIGRATIONS).fetch_one(&mut *connection).await?;
    let applied =
        if has_any { sqlx::query_as(APPLIED).fetch_all(connection).await? } else { Vec::new() };
    compare(SQLITE, applied)
}

/// Refuses what a start refuses.
fn compare(files: &[File], applied: Vec<Applied>) -> Result<SchemaVersion, DbError> {
    let known = newest(files);
    let migrator = migrator(files);
    for (version, _, is_whole, checksum) in &applied {
        if !is_whole {
            return Err(MigrateError::Dirty(*version).into());
        }
        let mut ours = migrator.iter().filter(|migration| migration.version == *version);
        if ours.any(|migration| *migration.checksum != **checksum) {
            return Err(MigrateError::VersionMismatch(*version).into());
        }
    }
    let newest_applied = applied.last().map(|(version, ..)| *version);
    let unknown = applied.into_iter().filter(|(version, ..)| *version > known);
    newer(known, unknown.map(|(version, description, ..)| (version, description)).collect())?;
    Ok(SchemaVersion { applied: newest_applied, known })
}

fn newest(files: &[File]) -> i64 {
    files.iter().map(|(version, ..)| *version).max().unwrap_or_default()
}

/// Refuses breaking migrations among the unknown ones.
fn newer(known: i64, unknown: Vec<(i64, String)>) -> Result<Option<NewerSchema>, DbError> {
    let is_breaking = |(_, description): &&(i64, String)| description.starts_with(BREAKING);
    if let Some((version, _)) = unknown.iter().find(is_breaking) {
        let hint = "the schema was migrated by a newer build and this build cannot work with it; start the newer build";
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
    // An unknown migration comes from a newer build. During a rolling upgrade an older build may
    // still have to start.
    migrator.set_ignore_missing(true);
    migrator
}
