//! Checks of the settings: each by itself, then together.
//!
//! An invalid setting is refused at the start, even if the mode does not use it: otherwise it would be
//! found only when the mode changes.

use std::str::FromStr as _;
use std::time::Duration;

use axum::http::Uri;
use freshset::Namespace;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgConnectOptions;

use super::problem::Problems;
use super::{Config, HOUR_SECONDS};
use crate::key;

/// More connections than any system allows a process.
const CONNECTIONS_MAX: u64 = 1_000_000;
/// Fewest connections with which no part of the service blocks the others.
const POSTGRES_CONNECTIONS_MIN: u32 = 3;
/// More connections than a PostgreSQL server has.
const POSTGRES_CONNECTIONS_MAX: u32 = 10_000;
/// Longest life of an entry: 30 days.
const ENTRY_TTL_SECONDS_MAX: u64 = 30 * 24 * HOUR_SECONDS;
/// More entries than one owner can have in a cache of any size.
const ENTRIES_PER_OWNER_MAX: u64 = 10_000_000;
/// More audits than find anything sooner; each reads the database.
const AUDITED_HITS_PER_SECOND_MAX: u64 = 100;
/// Least space for dead letters: several times those of one request.
const DEAD_LETTERS_MEGABYTES_MIN: u64 = 64;
/// Least memory for bodies: the largest one.
const BODY_MEMORY_MEGABYTES_MIN: u64 = 16;
/// More memory than a machine has: 16 TiB.
const MEMORY_MEGABYTES_MAX: u64 = 16 * 1024 * 1024;
/// Longest wait for a server while a client waits: a minute.
const WAIT_MILLISECONDS_MAX: u64 = 60_000;
/// Shortest session timeout that brokers allow by default.
const SESSION_TIMEOUT_SECONDS_MIN: u64 = 6;
/// Longest session timeout that the client allows: it may not exceed the longest time between two polls.
const SESSION_TIMEOUT_SECONDS_MAX: u64 = 300;
/// Longest delivery of an outgoing event: a claim on the outbox is held for as long as two may take.
const DELIVERY_TIMEOUT_SECONDS_MAX: u64 = 300;
/// Ten years, so that no date is out of range.
const RETENTION_HOURS_MAX: u64 = 10 * 366 * 24;
/// Longest login to the console: 30 days.
const SESSION_HOURS_MAX: u64 = 30 * 24;
/// Longest service id and consumer group, in characters.
const NAME_CHARS_MAX: usize = 128;
/// Largest share.
const PERCENT_MAX: u32 = 100;
/// The levels of the log.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl Config {
    pub(super) fn check(&self, problems: &mut Problems) {
        self.check_database_url(problems);
        self.check_brokers(problems);
        self.check_traces(problems);
        self.check_redis(problems);
        self.check_kafka(problems);
        self.check_listener(problems);
        self.check_names(problems);
        self.check_key(problems);
        self.check_console(problems);
        self.check_ranges(problems);
        self.check_together(problems);
    }

    fn check_database_url(&self, problems: &mut Problems) {
        if let Some(url) = &self.database_url {
            let url = url.expose_secret();
            let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
            if !is_postgres {
                let allowed = "allowed is postgres://user:password@host:5432/database, or nothing \
                               for SQLite in data_dir";
                problems.key("database_url", allowed);
            } else if PgConnectOptions::from_str(url).is_err() {
                let hint = "is no URL that can be read; characters of a password such as @, / and \
                            # are written as %40, %2F and %23";
                problems.key("database_url", hint);
            }
        }
    }

    pub(super) fn check_brokers(&self, problems: &mut Problems) {
        if let Some(brokers) = &self.kafka_brokers
            && !brokers.split(',').all(is_broker)
        {
            let allowed = "allowed are host:9092 or host:9092,host:9092, without a scheme";
            problems.key("kafka_brokers", allowed);
        }
    }

    fn check_traces(&self, problems: &mut Problems) {
        let endpoint = self.traces.endpoint.as_deref().unwrap_or_default();
        if !endpoint.is_empty() && !is_collector(endpoint) {
            let allowed = "allowed is http://host:4318/v1/traces or https://host/v1/traces, \
                           without user and password";
            problems.key("traces.endpoint", allowed);
        }
        if self.traces.ca_file.is_some() && !endpoint.starts_with("https://") {
            problems.key("traces.ca_file", "is for a traces.endpoint that begins with https://");
        }
    }

    fn check_listener(&self, problems: &mut Problems) {
        let certificate = ("http.tls_certificate_file", self.http.tls_certificate_file.is_some());
        problems.pair(certificate, ("http.tls_key_file", self.http.tls_key_file.is_some()));
    }

    fn check_names(&self, problems: &mut Problems) {
        if !is_log_filter(&self.log) {
            let allowed = "allowed are off, error, warn, info, debug, trace, or per module, such as \
                           info,aggregator=debug,database=debug";
            problems.key("log", allowed);
        }
        if let Err(error) = Namespace::new(&self.cache.namespace) {
            problems.key("cache.namespace", error);
        }
        if !is_name(&self.kafka.group_id) {
            problems.key("kafka.group_id", name_allowed());
        }
        if self.allowed_services.is_empty() {
            problems.key("allowed_services", "is empty: nobody could call");
        }
        if !self.allowed_services.iter().all(|service| is_name(service)) {
            let form = "separated by commas, or as a JSON list";
            problems.key("allowed_services", format_args!("{}, {form}", name_allowed()));
        }
    }

    fn check_key(&self, problems: &mut Problems) {
        let wrong = |key: &secrecy::SecretString| !key::is_acceptable(key.expose_secret());
        if self.internal_api_key.as_ref().is_some_and(wrong) {
            problems.key("internal_api_key", key::ALLOWED);
        }
        let Some(previous) = &self.internal_api_key_previous else { return };
        if wrong(previous) {
            problems.key("internal_api_key_previous", key::ALLOWED);
        }
        match &self.internal_api_key {
            None => {
                let hint = "is set without internal_api_key, the key that takes its place";
                problems.key("internal_api_key_previous", hint);
            }
            Some(key) if key.expose_secret() == previous.expose_secret() => {
                let hint = "is the same as internal_api_key; nothing is rotated";
                problems.key("internal_api_key_previous", hint);
            }
            Some(_) => {}
        }
    }

    fn check_console(&self, problems: &mut Problems) {
        const OPERATOR: &str = "console.operator_token";
        const VIEWER: &str = "console.viewer_token";
        let (operator, viewer) = (&self.console.operator_token, &self.console.viewer_token);
        let is = |one: &Option<SecretString>, other: &Option<SecretString>| {
            let text = |secret: &SecretString| secret.expose_secret().to_owned();
            one.is_some() && one.as_ref().map(text) == other.as_ref().map(text)
        };
        for (key, token) in [(OPERATOR, operator), (VIEWER, viewer)] {
            if token.as_ref().is_some_and(|token| !key::is_acceptable(token.expose_secret())) {
                problems.key(key, key::ALLOWED);
            }
            if is(token, &self.internal_api_key) || is(token, &self.internal_api_key_previous) {
                problems.key(key, "is an API key; every service that has it could log in");
            }
        }
        if viewer.is_some() && operator.is_none() {
            problems.key(
                VIEWER,
                "is set without console.operator_token, which switches the console on",
            );
        }
        if is(viewer, operator) {
            problems
                .key(VIEWER, "is the same as console.operator_token; viewers could do anything");
        }
    }

    fn check_ranges(&self, problems: &mut Problems) {
        let Self { http, cache, audit, postgres, kafka, publish, retention, .. } = self;
        let seconds = |time: Duration| time.as_secs();
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let hours = |time: Duration| time.as_secs() / HOUR_SECONDS;
        let connections = u64::from(POSTGRES_CONNECTIONS_MIN)..=u64::from(POSTGRES_CONNECTIONS_MAX);
        for (key, value, allowed) in [
            ("http.connections_max", http.connections_max as u64, 1..=CONNECTIONS_MAX),
            ("http.streams_max", http.streams_max as u64, 0..=CONNECTIONS_MAX),
            ("http.head_timeout_seconds", seconds(http.head_timeout), 1..=HOUR_SECONDS),
            ("http.read_timeout_seconds", seconds(http.read_timeout), 1..=HOUR_SECONDS),
            ("http.events_wait_seconds", seconds(http.events_wait), 1..=HOUR_SECONDS),
            (
                "http.body_memory_megabytes",
                http.body_memory_megabytes as u64,
                BODY_MEMORY_MEGABYTES_MIN..=MEMORY_MEGABYTES_MAX,
            ),
            ("http.compressed_megabytes", http.compressed_megabytes, 0..=MEMORY_MEGABYTES_MAX),
            ("http.drain_delay_seconds", seconds(http.drain_delay), 0..=HOUR_SECONDS),
            ("http.stop_grace_seconds", seconds(http.stop_grace), 0..=HOUR_SECONDS),
            ("cache.entry_ttl_seconds", seconds(cache.entry_ttl), 1..=ENTRY_TTL_SECONDS_MAX),
            ("cache.ttl_jitter_percent", cache.ttl_jitter_percent.into(), 0..=PERCENT_MAX.into()),
            (
                "cache.pages_per_owner_max",
                cache.pages_per_owner_max.into(),
                1..=ENTRIES_PER_OWNER_MAX,
            ),
            ("cache.memory_megabytes", cache.memory_megabytes, 1..=MEMORY_MEGABYTES_MAX),
            ("cache.near_megabytes", cache.near_megabytes, 0..=MEMORY_MEGABYTES_MAX),
            (
                "cache.command_timeout_milliseconds",
                milliseconds(cache.command_timeout),
                1..=WAIT_MILLISECONDS_MAX,
            ),
            (
                "cache.drop_timeout_milliseconds",
                milliseconds(cache.drop_timeout),
                1..=WAIT_MILLISECONDS_MAX,
            ),
            (
                "audit.hits_per_second",
                audit.hits_per_second.into(),
                0..=AUDITED_HITS_PER_SECOND_MAX,
            ),
            ("audit.stale_after_seconds", seconds(audit.stale_after), 1..=HOUR_SECONDS),
            ("postgres.connections_max", postgres.connections_max.into(), connections),
            (
                "postgres.acquire_timeout_milliseconds",
                milliseconds(postgres.acquire_timeout),
                1..=WAIT_MILLISECONDS_MAX,
            ),
            (
                "kafka.session_timeout_seconds",
                seconds(kafka.session_timeout),
                SESSION_TIMEOUT_SECONDS_MIN..=SESSION_TIMEOUT_SECONDS_MAX,
            ),
            ("publish.poll_seconds", seconds(publish.poll), 1..=HOUR_SECONDS),
            (
                "publish.delivery_timeout_seconds",
                seconds(publish.delivery_timeout),
                1..=DELIVERY_TIMEOUT_SECONDS_MAX,
            ),
            (
                "retention.dead_letters_megabytes",
                retention.dead_letters_megabytes,
                DEAD_LETTERS_MEGABYTES_MIN..=MEMORY_MEGABYTES_MAX,
            ),
            ("traces.sample_percent", self.traces.sample_percent.into(), 0..=PERCENT_MAX.into()),
            ("console.session_hours", hours(self.console.session), 1..=SESSION_HOURS_MAX),
            ("retention.inbox_hours", hours(retention.inbox), 1..=RETENTION_HOURS_MAX),
            ("retention.outbox_hours", hours(retention.outbox), 1..=RETENTION_HOURS_MAX),
            ("retention.dead_letter_hours", hours(retention.dead_letters), 1..=RETENTION_HOURS_MAX),
        ] {
            problems.range(key, value, allowed);
        }
    }

    fn check_together(&self, problems: &mut Problems) {
        if self.internal_api_key.is_none() && !self.is_embedded() {
            problems.key(
                "internal_api_key",
                "is not set; it is required as soon as a database, Redis or Kafka is, \
                 because a key that every replica made for itself would differ",
            );
        } else if self.internal_api_key.is_none() && !self.listen.ip().is_loopback() {
            let hint = "is an address that others can reach; set internal_api_key \
                        (RAS_INTERNAL_API_KEY), or listen on 127.0.0.1";
            problems.key("listen", hint);
        }
        if self.redis().is_none() && !self.is_embedded() && !self.cache.single_process {
            problems.key(
                "redis_url",
                "is not set; without it each process has a cache of its own, which another process \
                 cannot invalidate. Set it, or cache.single_process = true \
                 (RAS_CACHE__SINGLE_PROCESS) if there is only one",
            );
        }
        if self.cache.drop_timeout < self.cache.command_timeout {
            let other = "is shorter than cache.command_timeout_milliseconds";
            problems.key("cache.drop_timeout_milliseconds", other);
        }
    }
}

/// A level, or one for each module. Any other word would be read as the name of a module, and the log
/// would be silent.
fn is_log_filter(filter: &str) -> bool {
    let is_level = |word: &str| LEVELS.contains(&&*word.to_ascii_lowercase());
    let is_module = |word: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_:-".contains(&byte);
        !word.is_empty() && word.bytes().all(is_allowed)
    };
    filter.split(',').map(str::trim).all(|directive| match directive.split_once('=') {
        Some((module, level)) => is_module(module) && is_level(level),
        None => is_level(directive),
    })
}

/// A URL of a collector: no user or password, which would be shown, and a path, which is not added.
fn is_collector(url: &str) -> bool {
    let is_allowed = |url: Uri| {
        let host = url.authority().is_some_and(|host| !host.as_str().contains('@'));
        matches!(url.scheme_str(), Some("http" | "https")) && host && url.path() != "/"
    };
    url.parse().is_ok_and(is_allowed)
}

/// `host` or `host:port`.
fn is_broker(broker: &str) -> bool {
    let (host, port) = match broker.trim().rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (broker.trim(), None),
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
    !host.is_empty()
        && host.bytes().all(is_host)
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(is_allowed)
}

fn name_allowed() -> String {
    format!("allowed are 1 to {NAME_CHARS_MAX} characters from A-Z, a-z, 0-9, dot, _ and -")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_filter_is_a_level_or_levels_of_modules() {
        for filter in ["info", "OFF", "aggregator=debug,info", "warn, database=trace"] {
            assert!(is_log_filter(filter), "{filter}");
        }
        for filter in ["", "loud", "warning", "aggregator", "info,loud", "aggregator=loud", "=info"]
        {
            assert!(!is_log_filter(filter), "{filter}");
        }
    }

    #[test]
    fn brokers_are_hosts_with_or_without_ports() {
        for broker in ["kafka", "kafka:9092", "10.0.0.1:9092", "[::1]:9092", " a-b.c_d:1"] {
            assert!(is_broker(broker), "{broker}");
        }
        for broker in
            ["", ":9092", "kafka:", "kafka:0", "kafka:70000", "PLAINTEXT://k:9092", "a b:1"]
        {
            assert!(!is_broker(broker), "{broker}");
        }
    }
}
