//! Opens the database of the service: connects, migrates, and locks it for this process.

use std::sync::Arc;

use anyhow::Context as _;
use database::backoff::Backoff;
use database::data_dir::DataDir;
use database::{
    DbError, LockMode, NewerSchema, PostgresOptions, PostgresRepository, ProcessLock, Repository,
    SqliteOptions, SqliteRepository,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::sleep;

use crate::clock::Clock;
use crate::config::Config;
use crate::health::{Component, Finding, Health};

/// File of the database in the data directory.
pub(super) const SQLITE_FILE: &str = "results.sqlite3";
/// Code of the finding that a newer build has changed the schema.
pub(super) const NEWER_SCHEMA: &str = "newer_schema";

/// The database, and the lock of this process if other processes may use the database too.
pub(super) async fn repository(
    config: &Config,
    sqlite_dir: Option<&DataDir>,
    clock: &Arc<dyn Clock>,
    health: &Health,
) -> anyhow::Result<(Arc<dyn Repository>, Option<ProcessLock>)> {
    let Some(url) = &config.database_url else {
        let sqlite_dir = sqlite_dir.context("no data directory for SQLite")?;
        let path = sqlite_dir.file(SQLITE_FILE)?;
        let open = || SqliteRepository::open(&path, SqliteOptions::default());
        let opened = with_retry(open, clock, health).await;
        let repository = opened.with_context(|| format!("open {}", path.display()))?;
        report_newer_schema(repository.newer_schema(), clock, health);
        return Ok((Arc::new(repository), None));
    };
    let options =
        PostgresOptions::new(config.postgres.connections_max, config.postgres.acquire_timeout);
    let lock_mode =
        if config.cache.single_process { LockMode::Exclusive } else { LockMode::Shared };
    let connect = || connect(url, options.clone(), lock_mode);
    let connected = with_retry(connect, clock, health).await;
    let (repository, process_lock) = connected.context("connect to postgres")?;
    report_newer_schema(repository.newer_schema(), clock, health);
    Ok((Arc::new(repository), Some(process_lock)))
}

/// Reports that a newer build has changed the schema. This build works with it, but should be replaced.
fn report_newer_schema(newer: Option<NewerSchema>, clock: &Arc<dyn Clock>, health: &Health) {
    let Some(NewerSchema { applied, known }) = newer else { return };
    let detail = format!(
        "the schema is of a newer build: migration {applied} is applied, this build knows {known}; \
         it works, and is to be replaced by that build"
    );
    let finding = Finding::new(Component::Database, NEWER_SCHEMA, detail.clone(), clock.now());
    if health.report(finding) {
        tracing::warn!("{detail}");
    }
}

async fn connect(
    url: &SecretString,
    options: PostgresOptions,
    lock_mode: LockMode,
) -> Result<(PostgresRepository, ProcessLock), DbError> {
    let repository = PostgresRepository::connect(url.expose_secret(), options).await?;
    let mut process_lock = repository.lock_for_process(lock_mode).await?;
    process_lock.wait_for_previous_holder().await?;
    Ok((repository, process_lock))
}

/// Connects, and retries while the database is unavailable: the service is live and not ready meanwhile.
async fn with_retry<T>(
    connect: impl AsyncFn() -> Result<T, DbError>,
    clock: &Arc<dyn Clock>,
    health: &Health,
) -> Result<T, DbError> {
    const CODE: &str = "waiting";
    let detail = "the database does not answer; the start goes on when it does";
    let mut backoff = Backoff::new();
    loop {
        let error = match connect().await {
            Err(error) if error.is_transient() && !error.is_misconfigured() => error,
            outcome => {
                if health.clear(Component::Database, CODE) {
                    tracing::info!("database available");
                }
                return outcome;
            }
        };
        let cause = &error as &dyn std::error::Error;
        let finding = Finding::new(Component::Database, CODE, detail, clock.now()).blocking();
        if health.report(finding) {
            tracing::warn!(error = cause, "database unavailable, waiting for it");
        } else {
            tracing::debug!(error = cause, "database still unavailable");
        }
        sleep(backoff.next_wait()).await;
    }
}
