//! The schema, brought up to date at start.
//!
//! Applied files never change: their checksums are kept beside the tables and compared.

use std::borrow::Cow;

use sqlx::{
    PgConnection, SqlSafeStr, SqliteConnection,
    migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator},
};

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
];

const SQLITE: &[File] = &[
    (1, "read model", include_str!("migrations/sqlite/0001_read_model.sql")),
    (2, "outbox", include_str!("migrations/sqlite/0002_outbox.sql")),
    (3, "dead letters", include_str!("migrations/sqlite/0003_dead_letters.sql")),
    (4, "inbox places", include_str!("migrations/sqlite/0004_inbox_places.sql")),
    (5, "outbox indexes", include_str!("migrations/sqlite/0005_outbox_indexes.sql")),
    (6, "dead letters in order", include_str!("migrations/sqlite/0006_dead_letters_in_order.sql")),
];

/// Takes an advisory lock of the session, which ends with the connection at the latest: of several
/// processes one migrates, the others wait.
pub(super) async fn postgres(connection: &mut PgConnection) -> Result<(), MigrateError> {
    run(POSTGRES, connection).await
}

/// Takes no lock, so `connection` must be inside a transaction that has the file's write lock.
pub(super) async fn sqlite(connection: &mut SqliteConnection) -> Result<(), MigrateError> {
    run(SQLITE, connection).await
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
