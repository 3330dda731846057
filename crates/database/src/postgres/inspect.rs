//! A connection that looks at a PostgreSQL database and changes nothing.

use std::fmt;

use chrono::{DateTime, Utc};
use projection::{EventId, Timestamp};
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::Mutex;

use super::connect::{ConnectionLimits, check_encoding, check_sessions, connect, within};
use super::inbox::known_events;
use super::{NOW, PostgresOptions, tls_files, url};
use crate::error::DbError;
use crate::inbox::{InboxReport, ReadRecord};
use crate::inspect::INBOX_IS_EMPTY;
use crate::migrate::{self, SchemaVersion};

const DESCRIBE_SERVER: &str = include_str!("../queries/postgres/describe_server.sql");
const MISSING_RIGHTS: &str = include_str!("../queries/postgres/missing_rights.sql");

/// The tables of the service, and that of its migrations.
const TABLES: &[&str] = &[
    "_sqlx_migrations",
    "batches",
    "dead_letter_usage",
    "dead_letters",
    "essays",
    "inbox",
    "outbox",
    "user_versions",
];

/// Looks at a database, and changes nothing.
pub struct PostgresInspector {
    server: PgConnectOptions,
    limits: ConnectionLimits,
    connection: Mutex<PgConnection>,
}

impl PostgresInspector {
    /// Connects as the repository does, and migrates nothing.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] if the server does not answer or is a standby.
    /// [`DbError::Misconfigured`] for an invalid URL, a refused login or a database that does not exist.
    pub async fn connect(url: &str, options: &PostgresOptions) -> Result<Self, DbError> {
        let server = url::parse(url)?;
        tls_files::check(&server)?;
        let limits = ConnectionLimits::of(options);
        let connection = Mutex::new(connect(&server, limits).await?);
        Ok(Self { server, limits, connection })
    }

    /// What the database has of some records.
    ///
    /// # Errors
    ///
    /// [`DbError`] if the server does not answer, or the tables are missing.
    pub async fn inbox(&self, records: &[ReadRecord]) -> Result<InboxReport, DbError> {
        let mut connection = self.connection.lock().await;
        let limit = self.limits.statement_timeout;
        let is_empty = sqlx::query_scalar(INBOX_IS_EMPTY).fetch_one(&mut *connection);
        let is_empty: i32 = within(limit, is_empty).await?;
        let known = within(limit, known_events(records).fetch_all(&mut *connection)).await?;
        let known = known.into_iter().map(|(event,)| EventId(event)).collect();
        Ok(InboxReport { is_empty: is_empty == 1, known })
    }

    pub(crate) async fn version(&self) -> Result<(String, i32), DbError> {
        let mut connection = self.connection.lock().await;
        let query = sqlx::query_as(DESCRIBE_SERVER).fetch_one(&mut *connection);
        within(self.limits.statement_timeout, query).await
    }

    pub(crate) async fn missing_rights(&self) -> Result<Vec<String>, DbError> {
        let mut connection = self.connection.lock().await;
        let query = sqlx::query_scalar(MISSING_RIGHTS).bind(TABLES);
        within(self.limits.statement_timeout, query.fetch_all(&mut *connection)).await
    }

    /// What a start refuses: the encoding, and a pooler that does not keep sessions.
    pub(crate) async fn faults(&self) -> Vec<DbError> {
        let mut connection = self.connection.lock().await;
        let limit = self.limits.connect_timeout;
        let encoding = within(limit, check_encoding(&mut connection)).await;
        let sessions = check_sessions(&self.server, &mut connection, self.limits);
        let sessions = within(limit, sessions).await;
        [encoding, sessions].into_iter().filter_map(Result::err).collect()
    }

    pub(crate) async fn schema(&self) -> Result<SchemaVersion, DbError> {
        let mut connection = self.connection.lock().await;
        within(self.limits.statement_timeout, migrate::inspect_postgres(&mut connection)).await
    }

    pub(crate) async fn now(&self) -> Result<Timestamp, DbError> {
        let mut connection = self.connection.lock().await;
        let query = sqlx::query_scalar(NOW).fetch_one(&mut *connection);
        let now: DateTime<Utc> = within(self.limits.statement_timeout, query).await?;
        Ok(Timestamp::from_unix_micros(now.timestamp_micros()))
    }
}

impl fmt::Debug for PostgresInspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The connection settings have the password.
        f.debug_struct("PostgresInspector").field("limits", &self.limits).finish_non_exhaustive()
    }
}
