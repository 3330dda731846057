//! Checks of the servers that the settings name, for operators before or beside a start.
//!
//! Starts nothing and changes nothing. What a start and `/readyz` check is checked by their code; here is
//! what an operator can see only from outside.

mod database;
mod http;
mod kafka;
mod redis;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use crate::clock::{Clock, SystemClock};
use crate::config::Config;

/// Time limit of the check of the database: some ten statements.
const DATABASE_CHECK_MAX: Duration = Duration::from_secs(10);
/// Time limit of the check of Redis: some two hundred commands to each server.
const REDIS_CHECK_MAX: Duration = Duration::from_secs(15);
/// Time limit of the check of Kafka: one request for each topic and each partition.
const KAFKA_CHECK_MAX: Duration = Duration::from_secs(30);
/// Time limit of the check of the listener: two files.
const HTTP_CHECK_MAX: Duration = Duration::from_secs(5);

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// PostgreSQL or SQLite.
    Database,
    /// Redis.
    Redis,
    /// Kafka.
    Kafka,
    /// The listener.
    Http,
}

impl Subject {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Database, Self::Redis, Self::Kafka, Self::Http];

    /// Time limit of its check.
    pub fn limit(self) -> Duration {
        match self {
            Self::Database => DATABASE_CHECK_MAX,
            Self::Redis => REDIS_CHECK_MAX,
            Self::Kafka => KAFKA_CHECK_MAX,
            Self::Http => HTTP_CHECK_MAX,
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Redis => "redis",
            Self::Kafka => "kafka",
            Self::Http => "http",
        }
    }
}

/// Effect of a finding on the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The service works, but not as it should, or not for long.
    Warning,
    /// The service does not start, is not ready, or applies no events.
    Stops,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DoctorFinding {
    /// `snake_case` and stable; that of `/readyz` where that reports it too.
    pub code: &'static str,
    /// Effect on the service.
    pub effect: Effect,
    /// What is wrong. May quote a server.
    pub problem: String,
    /// What it means for the service.
    pub meaning: String,
    /// What to do.
    pub fix: String,
}

/// Result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// What was checked.
    pub check: Subject,
    /// What it is found to be.
    pub summary: String,
    /// What is wrong with it.
    pub findings: Vec<DoctorFinding>,
}

impl Diagnosis {
    fn new(check: Subject, summary: impl Into<String>) -> Self {
        Self { check, summary: summary.into(), findings: Vec::new() }
    }

    fn with(mut self, finding: DoctorFinding) -> Self {
        self.findings.push(finding);
        self
    }

    /// The worst effect; none without a finding.
    pub fn effect(&self) -> Option<Effect> {
        self.findings.iter().map(|finding| finding.effect).max()
    }
}

/// Runs all checks at once, and calls `report` with each result as it arrives.
///
/// # Errors
///
/// If a check panicked.
pub async fn run(config: &Config, mut report: impl FnMut(Diagnosis)) -> Result<(), JoinError> {
    let config = Arc::new(config.clone());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut checks = JoinSet::new();
    let (of_database, of_redis) = (Arc::clone(&config), Arc::clone(&config));
    let (of_http, kafka_clock) = (Arc::clone(&config), Arc::clone(&clock));
    checks.spawn(within(
        Subject::Database,
        async move { database::check(&of_database, &*clock).await },
    ));
    checks.spawn(within(Subject::Redis, async move { redis::check(&of_redis).await }));
    checks.spawn(within(Subject::Http, async move { http::check(&of_http) }));
    checks.spawn(within(Subject::Kafka, async move { kafka::check(&config, kafka_clock).await }));
    while let Some(checked) = checks.join_next().await {
        report(checked?);
    }
    Ok(())
}

async fn within(check: Subject, checking: impl Future<Output = Diagnosis>) -> Diagnosis {
    let limit = check.limit();
    timeout(limit, checking).await.unwrap_or_else(|_| {
        Diagnosis::new(check, "not checked to the end").with(DoctorFinding {
            code: "timeout",
            effect: Effect::Stops,
            problem: format!("the check was not done within {} s", limit.as_secs()),
            meaning: "the server answers too slowly for the service, or not at all".into(),
            fix: "look at the load of the server and at the network between it and this machine"
                .into(),
        })
    })
}
