//! The settings: defaults, a file, variables, flags, in this order; later wins.
//!
//! `config.default.toml` documents every key and is what the program starts from, so that the
//! document and the defaults cannot differ.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Environment, File, FileFormat};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

/// The documented defaults.
pub const DEFAULTS: &str = include_str!("config.default.toml");
/// More connections than any system gives a process.
const CONNECTIONS_MAX: u64 = 1_000_000;
/// Fewest connections with which no part of the service keeps the others waiting.
const POSTGRES_CONNECTIONS_MIN: u32 = 3;
/// Longest life of an answer: 30 days.
const ENTRY_TTL_SECONDS_MAX: u64 = 30 * 24 * HOUR_SECONDS;
/// Longest delivery of an announcement: a claim on the outbox is held for as long as two may take.
const DELIVERY_TIMEOUT_SECONDS_MAX: u64 = 300;
/// Where the type of a number is its limit.
const UNLIMITED: u64 = u64::MAX;
const HOUR_SECONDS: u64 = 3_600;
/// What the variables begin with.
const ENV_PREFIX: &str = "RAS";

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the server listens.
    pub listen: SocketAddr,
    /// Where the embedded mode keeps its files.
    pub data_dir: PathBuf,
    /// PostgreSQL; none: SQLite.
    #[serde(deserialize_with = "non_empty_secret")]
    pub database_url: Option<SecretString>,
    /// Redis; none: in this process.
    #[serde(deserialize_with = "non_empty_secret")]
    pub redis_url: Option<SecretString>,
    /// Kafka; none: no consumer, and nobody publishes.
    #[serde(deserialize_with = "non_empty")]
    pub kafka_brokers: Option<String>,
    /// The key that callers send.
    #[serde(deserialize_with = "non_empty_secret")]
    pub internal_api_key: Option<SecretString>,
    /// The services that may call.
    #[serde(deserialize_with = "list")]
    pub allowed_services: Vec<String>,
    /// Log filter.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// The server's limits.
    pub http: HttpConfig,
    /// The cache.
    pub cache: CacheConfig,
    /// PostgreSQL's limits.
    pub postgres: PostgresConfig,
    /// The consumer.
    pub kafka: KafkaConfig,
    /// The announcements.
    pub publish: PublishConfig,
    /// How long things are kept.
    pub retention: RetentionConfig,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object per line.
    Json,
}

/// The server's limits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Connections at a time.
    pub connections_max: usize,
    /// Limit of a read.
    #[serde(rename = "read_timeout_seconds", deserialize_with = "seconds")]
    pub read_timeout: Duration,
    /// Limit of the wait of `POST events` and of replays of dead letters.
    #[serde(rename = "events_wait_seconds", deserialize_with = "seconds")]
    pub events_wait: Duration,
    /// Limit of answers under way after a stop.
    #[serde(rename = "stop_grace_seconds", deserialize_with = "seconds")]
    pub stop_grace: Duration,
}

/// The cache.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheConfig {
    /// First part of every key.
    pub namespace: String,
    /// Longest life of an answer.
    #[serde(rename = "entry_ttl_seconds", deserialize_with = "seconds")]
    pub entry_ttl: Duration,
    /// Share by which it may be shortened.
    pub ttl_jitter_percent: u8,
    /// Pages of one owner.
    pub pages_per_owner_max: u32,
    /// Capacity inside this process.
    pub memory_megabytes: u64,
    /// Whether this is the only process, which may do without Redis.
    pub single_process: bool,
    /// Limit of a command.
    #[serde(rename = "command_timeout_milliseconds", deserialize_with = "milliseconds")]
    pub command_timeout: Duration,
    /// Limit of a drop.
    #[serde(rename = "drop_timeout_milliseconds", deserialize_with = "milliseconds")]
    pub drop_timeout: Duration,
}

/// PostgreSQL's limits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// Connections of this process.
    pub connections_max: u32,
    /// Limit of the wait for one.
    #[serde(rename = "acquire_timeout_milliseconds", deserialize_with = "milliseconds")]
    pub acquire_timeout: Duration,
}

/// The consumer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// Consumer group.
    pub group_id: String,
    /// How long the broker waits for a silent member.
    #[serde(rename = "session_timeout_seconds", deserialize_with = "seconds")]
    pub session_timeout: Duration,
}

/// The announcements.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishConfig {
    /// How often to look for some unasked.
    #[serde(rename = "poll_seconds", deserialize_with = "seconds")]
    pub poll: Duration,
    /// Limit of the wait for an acknowledgement.
    #[serde(rename = "delivery_timeout_seconds", deserialize_with = "seconds")]
    pub delivery_timeout: Duration,
}

/// How long things are kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionConfig {
    /// Events in the inbox.
    #[serde(rename = "inbox_hours", deserialize_with = "hours")]
    pub inbox: Duration,
    /// Announcements that were published.
    #[serde(rename = "outbox_hours", deserialize_with = "hours")]
    pub outbox: Duration,
    /// Dead letters.
    #[serde(rename = "dead_letter_hours", deserialize_with = "hours")]
    pub dead_letters: Duration,
}

/// What was said on the command line. `None`: not said.
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
    /// `--kafka-brokers`
    pub kafka_brokers: Option<String>,
}

/// Settings that cannot be used. The text names the key and what is allowed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A source cannot be read, or a value has the wrong form.
    #[error("settings: {}", first_line(.0))]
    Source(#[from] config::ConfigError),
    /// A value, or two together, cannot work.
    #[error("settings: {0}")]
    Contradiction(String),
}

impl Config {
    /// Reads the settings from their sources.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for an unknown key, a value that cannot be read, or values that contradict
    /// each other.
    pub fn load(overrides: Overrides) -> Result<Self, ConfigError> {
        let mut sources =
            config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(file) = &overrides.file {
            sources = sources.add_source(File::from(file.as_path()).format(FileFormat::Toml));
        }
        let variables = Environment::with_prefix(ENV_PREFIX).prefix_separator("_").separator("__");
        sources = sources
            .add_source(variables)
            .set_override_option("listen", overrides.listen.map(|address| address.to_string()))?
            .set_override_option("data_dir", overrides.data_dir.as_deref().map(path_text))?
            .set_override_option("database_url", overrides.database_url)?
            .set_override_option("redis_url", overrides.redis_url)?
            .set_override_option("kafka_brokers", overrides.kafka_brokers)?;
        let config: Self = sources.build()?.try_deserialize()?;
        config.check()?;
        Ok(config)
    }

    /// Whether nothing outside this process is used.
    pub fn is_embedded(&self) -> bool {
        self.database_url.is_none() && self.redis_url.is_none() && self.kafka_brokers.is_none()
    }

    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |text: String| Err(ConfigError::Contradiction(text));
        if self.internal_api_key.is_none() && !self.is_embedded() {
            return wrong(
                "internal_api_key (RAS_INTERNAL_API_KEY) is not set; it is required as soon as \
                 database_url, redis_url or kafka_brokers is, because a key that every replica made \
                 for itself would differ"
                    .into(),
            );
        }
        if self.internal_api_key.is_none() && !self.listen.ip().is_loopback() {
            return wrong(format!(
                "listen is {}, which others can reach; set internal_api_key \
                 (RAS_INTERNAL_API_KEY), or listen on 127.0.0.1",
                self.listen
            ));
        }
        if self.redis_url.is_none() && !self.is_embedded() && !self.cache.single_process {
            return wrong(
                "redis_url (RAS_REDIS_URL) is not set; without it each process has a cache of its \
                 own, which another process cannot drop. Set it, or cache.single_process = true \
                 (RAS_CACHE__SINGLE_PROCESS) if there is only one"
                    .into(),
            );
        }
        if self.allowed_services.is_empty() {
            return wrong("allowed_services is empty: nobody could call".into());
        }
        if self.cache.drop_timeout < self.cache.command_timeout {
            return wrong(
                "cache.drop_timeout_milliseconds is shorter than \
                 cache.command_timeout_milliseconds"
                    .into(),
            );
        }
        if self.postgres.connections_max < POSTGRES_CONNECTIONS_MIN {
            return wrong(format!(
                "postgres.connections_max: allowed are numbers from {POSTGRES_CONNECTIONS_MIN}: one \
                 for events, one for reads, one that is held while announcements are sent"
            ));
        }
        self.check_ranges()
    }

    fn check_ranges(&self) -> Result<(), ConfigError> {
        let Self { http, cache, postgres, kafka, .. } = self;
        check_ranges(&[
            ("http.connections_max", http.connections_max as u64, CONNECTIONS_MAX),
            ("http.read_timeout_seconds", http.read_timeout.as_secs(), UNLIMITED),
            ("http.events_wait_seconds", http.events_wait.as_secs(), UNLIMITED),
            ("cache.entry_ttl_seconds", cache.entry_ttl.as_secs(), ENTRY_TTL_SECONDS_MAX),
            ("cache.pages_per_owner_max", cache.pages_per_owner_max.into(), UNLIMITED),
            ("cache.memory_megabytes", cache.memory_megabytes, UNLIMITED),
            (
                "cache.command_timeout_milliseconds",
                milliseconds_of(cache.command_timeout),
                UNLIMITED,
            ),
            (
                "postgres.acquire_timeout_milliseconds",
                milliseconds_of(postgres.acquire_timeout),
                UNLIMITED,
            ),
            ("kafka.session_timeout_seconds", kafka.session_timeout.as_secs(), UNLIMITED),
        ])?;
        self.publish.check_ranges()?;
        self.retention.check_ranges()
    }
}

impl PublishConfig {
    fn check_ranges(&self) -> Result<(), ConfigError> {
        let (poll, delivery_timeout) = (self.poll.as_secs(), self.delivery_timeout.as_secs());
        check_ranges(&[
            ("publish.poll_seconds", poll, HOUR_SECONDS),
            ("publish.delivery_timeout_seconds", delivery_timeout, DELIVERY_TIMEOUT_SECONDS_MAX),
        ])
    }
}

impl RetentionConfig {
    fn check_ranges(&self) -> Result<(), ConfigError> {
        // Ten years, so that no date is out of range.
        const HOURS_MAX: u64 = 10 * 366 * 24;
        let times = [
            ("retention.inbox_hours", self.inbox),
            ("retention.outbox_hours", self.outbox),
            ("retention.dead_letter_hours", self.dead_letters),
        ];
        check_ranges(&times.map(|(key, time)| (key, time.as_secs() / HOUR_SECONDS, HOURS_MAX)))
    }
}

/// Keys with their values and the largest ones allowed; the smallest is 1.
fn check_ranges(ranges: &[(&str, u64, u64)]) -> Result<(), ConfigError> {
    let wrong = ranges.iter().find(|(_, value, max)| !(1..=*max).contains(value));
    wrong.map_or(Ok(()), |(key, _, max)| {
        let allowed = match *max {
            UNLIMITED => "numbers from 1".to_owned(),
            max => format!("1 to {max}"),
        };
        Err(ConfigError::Contradiction(format!("{key}: allowed are {allowed}")))
    })
}

fn milliseconds_of(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The rest of a syntax error quotes the file, which may hold a password.
fn first_line(error: &config::ConfigError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn non_empty<'de, D: Deserializer<'de>>(source: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(source)?;
    Ok((!text.is_empty()).then_some(text))
}

fn non_empty_secret<'de, D: Deserializer<'de>>(
    source: D,
) -> Result<Option<SecretString>, D::Error> {
    let secret = SecretString::deserialize(source)?;
    Ok((!secret.expose_secret().is_empty()).then_some(secret))
}

fn seconds<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    u64::deserialize(source).map(Duration::from_secs)
}

fn hours<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    u64::deserialize(source).map(|hours| Duration::from_secs(hours.saturating_mul(HOUR_SECONDS)))
}

fn milliseconds<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    u64::deserialize(source).map(Duration::from_millis)
}

/// A list, or, as variables have no lists, a text with commas.
fn list<'de, D: Deserializer<'de>>(source: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        List(Vec<String>),
        Text(String),
    }
    let items = match Form::deserialize(source)? {
        Form::List(items) => items,
        Form::Text(text) => text.split(',').map(|item| item.trim().to_owned()).collect(),
    };
    Ok(items.into_iter().filter(|item| !item.is_empty()).collect())
}
