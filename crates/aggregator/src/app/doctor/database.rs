//! Check of the database: what a start would find, without migrating it.

use std::time::Duration;

use database::inspect::{self, DatabaseReport};
use database::{
    DbError, InboxReport, PostgresInspector, PostgresOptions, ReadRecord, SchemaVersion,
    SqliteOptions,
};
use secrecy::ExposeSecret as _;

use super::{Diagnosis, DoctorFinding, Effect, Subject};
use crate::app::open_database::{NEWER_SCHEMA, SQLITE_FILE};
use crate::clock::Clock;
use crate::config::Config;
use crate::error_chain::error_chain;
use crate::retention::{CLOCK_DIFFERENCE_MAX, CLOCK_DIFFERENCE_MEANING, ClockDifference, DIFFERS};

/// The oldest PostgreSQL that the service is made for, as it numbers its versions.
const POSTGRES_VERSION_MIN: i32 = 150_000;

const ENDS_START: &str = "a start fails with it";

/// Checks the database.
pub(super) async fn check(config: &Config, clock: &dyn Clock) -> Diagnosis {
    let described = match &config.database_url {
        Some(url) => postgres(url.expose_secret(), &postgres_options(config), clock).await,
        None => {
            let path = config.data_dir.join(SQLITE_FILE);
            let busy_timeout = SqliteOptions::default().busy_timeout;
            inspect::sqlite(&path, busy_timeout).await.map(|report| (report, None))
        }
    };
    let (report, clocks) = match described {
        Ok(described) => described,
        Err(error) => {
            return Diagnosis::new(Subject::Database, "not reached").with(of_error(&error));
        }
    };
    diagnosis(&report, clocks)
}

/// What the database has of some records.
pub(super) async fn inbox(config: &Config, records: &[ReadRecord]) -> Result<InboxReport, DbError> {
    match &config.database_url {
        Some(url) => {
            let options = postgres_options(config);
            PostgresInspector::connect(url.expose_secret(), &options).await?.inbox(records).await
        }
        None => {
            let path = config.data_dir.join(SQLITE_FILE);
            inspect::sqlite_inbox(&path, SqliteOptions::default().busy_timeout, records).await
        }
    }
}

fn postgres_options(config: &Config) -> PostgresOptions {
    PostgresOptions::new(config.postgres.connections_max, config.postgres.acquire_timeout)
}

async fn postgres(
    url: &str,
    options: &PostgresOptions,
    clock: &dyn Clock,
) -> Result<(DatabaseReport, Option<ClockDifference>), DbError> {
    let inspector = PostgresInspector::connect(url, options).await?;
    let report = inspector.report().await?;
    Ok((report, ClockDifference::read(&inspector, clock).await?))
}

fn diagnosis(report: &DatabaseReport, clocks: Option<ClockDifference>) -> Diagnosis {
    let mut summary = vec![report.server.clone()];
    summary.extend(report.schema.map(schema_text));
    summary.extend(clocks.map(|difference| format!("clocks {}", apart(difference.by))));
    let mut diagnosis = Diagnosis::new(Subject::Database, summary.join(", "));
    diagnosis.findings.extend(report.faults.iter().map(of_error));
    diagnosis.findings.extend(old_server(report));
    diagnosis.findings.extend(missing_rights(&report.missing_rights));
    diagnosis.findings.extend(report.schema.and_then(newer_schema));
    diagnosis.findings.extend(clocks.and_then(clocks_differ));
    diagnosis
}

fn schema_text(SchemaVersion { applied, known }: SchemaVersion) -> String {
    match applied {
        None => format!("no schema yet, a start makes version {known}"),
        Some(applied) if applied < known => {
            format!("schema version {applied}, a start makes it {known}")
        }
        Some(applied) => format!("schema version {applied}"),
    }
}

fn apart(by: Duration) -> String {
    if by.is_zero() { "agree".into() } else { format!("{} ms apart", by.as_millis()) }
}

fn of_error(error: &DbError) -> DoctorFinding {
    let (code, meaning, fix) = match error {
        DbError::Misconfigured { hint, .. } => ("misconfigured", ENDS_START, hint.as_ref()),
        DbError::Unavailable { .. } | DbError::TimedOut { .. } => (
            "unavailable",
            "a start waits for it, live and not ready",
            "start the server, and check host and port of database_url and the network to it",
        ),
        _ => (
            "unusable",
            ENDS_START,
            "use the database of this service, or restore it: its applied migrations never change",
        ),
    };
    let problem = match error {
        // The hint is the fix.
        DbError::Misconfigured { source, .. } => error_chain(&**source),
        error => error_chain(error),
    };
    DoctorFinding {
        code,
        effect: Effect::Stops,
        problem,
        meaning: meaning.into(),
        fix: fix.to_owned(),
    }
}

fn old_server(report: &DatabaseReport) -> Option<DoctorFinding> {
    let is_old = report.postgres_version.is_some_and(|version| version < POSTGRES_VERSION_MIN);
    is_old.then(|| DoctorFinding {
        code: "old_version",
        effect: Effect::Stops,
        problem: format!("the server is {}", report.server),
        meaning: "the service is made for PostgreSQL 15 and later; an older one may refuse its \
                  statements"
            .into(),
        fix: "upgrade the server".into(),
    })
}

fn missing_rights(missing: &[String]) -> Option<DoctorFinding> {
    (!missing.is_empty()).then(|| DoctorFinding {
        code: "missing_rights",
        effect: Effect::Stops,
        problem: format!("the user of database_url lacks: {}", missing.join(", ")),
        meaning: "a start fails, or events are not applied".into(),
        fix: "let the user own the database, or grant these rights to it".into(),
    })
}

fn newer_schema(SchemaVersion { applied, known }: SchemaVersion) -> Option<DoctorFinding> {
    let applied = applied.filter(|applied| *applied > known)?;
    Some(DoctorFinding {
        code: NEWER_SCHEMA,
        effect: Effect::Warning,
        problem: format!(
            "the schema is of a newer build: migration {applied} is applied, this build knows {known}"
        ),
        meaning: "this build works with it, and should be replaced".into(),
        fix: "use the newer build".into(),
    })
}

fn clocks_differ(difference: ClockDifference) -> Option<DoctorFinding> {
    (difference.by > CLOCK_DIFFERENCE_MAX).then(|| DoctorFinding {
        code: DIFFERS,
        effect: Effect::Warning,
        problem: difference.to_string(),
        meaning: format!("{CLOCK_DIFFERENCE_MEANING}, and times in the database are wrong"),
        fix: format!(
            "synchronise both clocks (NTP); they must agree within {} s",
            CLOCK_DIFFERENCE_MAX.as_secs()
        ),
    })
}
