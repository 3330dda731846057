//! The settings: defaults, a file, variables, flags, in this order; later wins.
//!
//! `config.default.toml` documents every key and holds every default, so that the two cannot differ.

mod check;
mod effective;
mod kafka;
mod problem;
mod redis;
mod reference;
mod source;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use projection::{StatusValues, Timestamp};
use secrecy::SecretString;
use serde::Deserialize;

pub use self::effective::{EffectiveSetting, Origin};
pub use self::kafka::{KafkaConfig, SaslMechanism, SecurityProtocol};
pub use self::problem::ConfigError;
use self::problem::Problems;
pub use self::redis::{RedisMode, RedisServers};
pub use self::reference::unread_variables;
use self::values::{
    address, hours, list, milliseconds, moment, non_empty, non_empty_path, non_empty_secret,
    seconds, secret_list, word,
};

/// The documented defaults.
pub const DEFAULTS: &str = include_str!("config.default.toml");
const HOUR_SECONDS: u64 = 3_600;
/// Prefix of the variables.
const ENV_PREFIX: &str = "RAS";

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address of the server.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Directory of the files of the embedded mode.
    pub data_dir: PathBuf,
    /// URL of PostgreSQL; none: SQLite.
    #[serde(deserialize_with = "non_empty_secret")]
    pub database_url: Option<SecretString>,
    /// URL of Redis; none: a cache inside this process.
    #[serde(deserialize_with = "non_empty_secret")]
    pub redis_url: Option<SecretString>,
    /// What the servers of Redis are to each other.
    #[serde(deserialize_with = "word")]
    pub redis_mode: RedisMode,
    /// URLs of sentinels, or of servers of a Cluster.
    #[serde(deserialize_with = "secret_list")]
    pub redis_urls: Vec<SecretString>,
    /// What the sentinels call the primary.
    #[serde(deserialize_with = "non_empty")]
    pub redis_sentinel_master: Option<String>,
    /// User of the servers that sentinels name.
    #[serde(deserialize_with = "non_empty")]
    pub redis_username: Option<String>,
    /// Its password.
    #[serde(deserialize_with = "non_empty_secret")]
    pub redis_password: Option<SecretString>,
    /// File of the CA of the servers of Redis; none: those that the system trusts.
    #[serde(deserialize_with = "non_empty_path")]
    pub redis_ca_file: Option<PathBuf>,
    /// File of the certificate that the servers ask for.
    #[serde(deserialize_with = "non_empty_path")]
    pub redis_client_certificate_file: Option<PathBuf>,
    /// File of its key.
    #[serde(deserialize_with = "non_empty_path")]
    pub redis_client_key_file: Option<PathBuf>,
    /// Brokers of Kafka; none: no consumer and no publisher.
    #[serde(deserialize_with = "non_empty")]
    pub kafka_brokers: Option<String>,
    /// Key that callers send.
    #[serde(deserialize_with = "non_empty_secret")]
    pub internal_api_key: Option<SecretString>,
    /// The key before it, accepted while it is rotated.
    #[serde(deserialize_with = "non_empty_secret")]
    pub internal_api_key_previous: Option<SecretString>,
    /// Services that may call.
    #[serde(deserialize_with = "list")]
    pub allowed_services: Vec<String>,
    /// Log filter.
    pub log: String,
    /// Format of log lines.
    #[serde(deserialize_with = "word")]
    pub log_format: LogFormat,
    /// HTTP server.
    pub http: HttpConfig,
    /// HTTP answers.
    pub api: ApiConfig,
    /// Cache.
    pub cache: CacheConfig,
    /// Audit of the cache.
    pub audit: AuditConfig,
    /// PostgreSQL.
    pub postgres: PostgresConfig,
    /// Kafka: its consumer, and how the brokers are reached.
    pub kafka: KafkaConfig,
    /// Outgoing events.
    pub publish: PublishConfig,
    /// Retention periods.
    pub retention: RetentionConfig,
    /// Traces.
    pub traces: TracesConfig,
    /// The operator's console.
    pub console: ConsoleConfig,
    /// All of these as people read them, secrets masked.
    #[serde(skip)]
    pub effective: Vec<EffectiveSetting>,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object per line.
    Json,
}

/// Settings of the HTTP server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Connections at a time.
    pub connections_max: usize,
    /// Streams of versions at a time; 0: none. See [`streams_max`](Self::streams_max).
    pub streams_max: usize,
    /// Time limit of the first head of a connection.
    #[serde(rename = "head_timeout_seconds", deserialize_with = "seconds")]
    pub head_timeout: Duration,
    /// Time limit of a read.
    #[serde(rename = "read_timeout_seconds", deserialize_with = "seconds")]
    pub read_timeout: Duration,
    /// Time limit of `POST events` and of replays of dead letters, from the head of the request on.
    #[serde(rename = "events_wait_seconds", deserialize_with = "seconds")]
    pub events_wait: Duration,
    /// Memory for bodies of `POST events`.
    pub body_memory_megabytes: usize,
    /// Capacity of the compressed forms of answers; 0: none.
    pub compressed_megabytes: u64,
    /// How long after a stop begins requests are still accepted.
    #[serde(rename = "drain_delay_seconds", deserialize_with = "seconds")]
    pub drain_delay: Duration,
    /// Drain timeout: time limit of answers under way after a stop.
    #[serde(rename = "stop_grace_seconds", deserialize_with = "seconds")]
    pub stop_grace: Duration,
    /// File of the certificate of the server; none: it listens without TLS.
    #[serde(deserialize_with = "non_empty_path")]
    pub tls_certificate_file: Option<PathBuf>,
    /// File of its key.
    #[serde(deserialize_with = "non_empty_path")]
    pub tls_key_file: Option<PathBuf>,
}

impl HttpConfig {
    /// The files of the certificate of the server; none: it listens without TLS.
    pub fn certificate_files(&self) -> Option<CertificateFiles> {
        let (chain, key) = self.tls_certificate_file.clone().zip(self.tls_key_file.clone())?;
        Some(CertificateFiles { chain, key })
    }

    /// Streams of versions at a time. A third of the connections is left for reads.
    pub fn streams_max(&self) -> usize {
        self.streams_max.min(self.connections_max.saturating_mul(2) / 3)
    }
}

/// Files of a certificate, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and those that lead to its CA.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Settings of the HTTP answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiConfig {
    /// Values of `overall_status`.
    #[serde(deserialize_with = "word")]
    pub status_values: StatusSet,
}

/// Values of `overall_status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusSet {
    /// Those of the contract.
    Client,
    /// Those of the platform, for clients that map them.
    Internal,
}

impl From<StatusSet> for StatusValues {
    fn from(set: StatusSet) -> Self {
        match set {
            StatusSet::Client => Self::Client,
            StatusSet::Internal => Self::Internal,
        }
    }
}

/// Settings of the cache.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheConfig {
    /// First part of every key.
    pub namespace: String,
    /// Longest life of an answer.
    #[serde(rename = "entry_ttl_seconds", deserialize_with = "seconds")]
    pub entry_ttl: Duration,
    /// Most percent by which it is shortened at random.
    pub ttl_jitter_percent: u32,
    /// Most entries of one owner.
    pub pages_per_owner_max: u32,
    /// Capacity of the cache inside this process.
    pub memory_megabytes: u64,
    /// Capacity of the near copies of entries in Redis; 0: none.
    pub near_megabytes: u64,
    /// Whether this is the only process, which needs no Redis.
    pub single_process: bool,
    /// Time limit of a command.
    #[serde(rename = "command_timeout_milliseconds", deserialize_with = "milliseconds")]
    pub command_timeout: Duration,
    /// Time limit of an invalidation.
    #[serde(rename = "drop_timeout_milliseconds", deserialize_with = "milliseconds")]
    pub drop_timeout: Duration,
}

/// Settings of the audit of the cache.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditConfig {
    /// Hits of each cached read that are audited in a second, at most; 0: none.
    pub hits_per_second: u32,
    /// How long a cached answer must differ from the database before it is stale.
    #[serde(rename = "stale_after_seconds", deserialize_with = "seconds")]
    pub stale_after: Duration,
}

/// Settings of PostgreSQL.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// Connections of this process.
    pub connections_max: u32,
    /// Time limit of the wait for one.
    #[serde(rename = "acquire_timeout_milliseconds", deserialize_with = "milliseconds")]
    pub acquire_timeout: Duration,
}

/// Settings of outgoing events.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishConfig {
    /// Interval of polls without a notification.
    #[serde(rename = "poll_seconds", deserialize_with = "seconds")]
    pub poll: Duration,
    /// Time limit of the wait for an acknowledgement.
    #[serde(rename = "delivery_timeout_seconds", deserialize_with = "seconds")]
    pub delivery_timeout: Duration,
    /// Events that happened before this are not published; none: all are.
    #[serde(deserialize_with = "moment")]
    pub skip_before: Option<Timestamp>,
}

/// Retention periods.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionConfig {
    /// Of events in the inbox.
    #[serde(rename = "inbox_hours", deserialize_with = "hours")]
    pub inbox: Duration,
    /// Of published outgoing events.
    #[serde(rename = "outbox_hours", deserialize_with = "hours")]
    pub outbox: Duration,
    /// Of dead letters.
    #[serde(rename = "dead_letter_hours", deserialize_with = "hours")]
    pub dead_letters: Duration,
    /// Most megabytes of dead letters.
    pub dead_letters_megabytes: u64,
}

/// Settings of traces.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracesConfig {
    /// URL of a collector; none: spans are not sent.
    #[serde(deserialize_with = "non_empty")]
    pub endpoint: Option<String>,
    /// File of the CA of a collector at https; none: those that the system trusts.
    #[serde(deserialize_with = "non_empty_path")]
    pub ca_file: Option<PathBuf>,
    /// Share of the traces that begin here that is sent.
    pub sample_percent: u32,
}

/// Settings of the operator's console.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleConfig {
    /// What an operator logs in with.
    #[serde(deserialize_with = "non_empty_secret")]
    pub operator_token: Option<SecretString>,
    /// What somebody who may only read logs in with.
    #[serde(deserialize_with = "non_empty_secret")]
    pub viewer_token: Option<SecretString>,
    /// How long a login lasts.
    #[serde(rename = "session_hours", deserialize_with = "hours")]
    pub session: Duration,
}

/// Settings of the command line. `None`: not given.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config`
    pub file: Option<PathBuf>,
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--database-url`
    pub database_url: Option<String>,
    /// `--redis-url`
    pub redis_url: Option<String>,
    /// Leaves every setting of Redis at its default, whatever the variables say.
    pub without_redis: bool,
    /// `--kafka-brokers`
    pub kafka_brokers: Option<String>,
}

impl Config {
    /// Reads the settings from their sources.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with everything that is wrong: unknown keys, values that cannot be read or are
    /// out of range, and values that contradict each other. It quotes no value.
    pub fn load(overrides: Overrides) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        let config = source::read(overrides, &mut problems)?;
        config.check(&mut problems);
        problems.or(config)
    }

    /// Reads the settings for a client of Kafka that is no server, and checks only those of Kafka.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_for_kafka(overrides: Overrides) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        let config = source::read(overrides, &mut problems)?;
        config.check_brokers(&mut problems);
        config.check_kafka(&mut problems);
        problems.or(config)
    }

    /// Whether the service uses no server.
    pub fn is_embedded(&self) -> bool {
        self.database_url.is_none() && self.redis().is_none() && self.kafka_brokers.is_none()
    }
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
