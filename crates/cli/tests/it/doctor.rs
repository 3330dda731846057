//! `doctor` on real servers: nothing wrong, and each kind of fault with its exit code.

use std::net::{SocketAddr, TcpListener};

use projection::{EventKind, OutgoingEventKind};
use serde_json::Value;
use testkit::{Certificates, Kafka, ProcessBuilder, Redis, RedisCluster, RedisSentinel, postgres};

use crate::support::broker::Broker;
use crate::support::common::next_micros;
use crate::support::events::{REGISTERED, registered};
use crate::support::program::{program, run};
use crate::support::service::{KEY, NAMESPACE, ServiceBuilder, redis, redis_user};

/// No output may have it: the password of Redis and of PostgreSQL, and the API key.
const SECRETS: [&str; 3] = ["secret", "pgpass-1", KEY];

/// Arguments of a Redis whose memory is limited, and which evicts.
const SOUND_MEMORY: [&str; 4] = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"];

/// A run of `doctor --json` to its end.
struct Run {
    code: i32,
    lines: Vec<Value>,
}

impl Run {
    /// Runs it as JSON, and as text, which must say the same.
    async fn with(variables: &[(&'static str, &str)]) -> Self {
        let (code, text) = run(doctor(&["doctor"], variables)).await;
        let (json_code, json) = run(doctor(&["doctor", "--json"], variables)).await;
        assert_eq!(code, json_code, "{text}\n{json}");
        let lines: Vec<Value> = json
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
            .collect();
        for secret in SECRETS {
            assert!(!text.contains(secret) && !json.contains(secret), "{secret}: {text}\n{json}");
        }
        let run = Self { code, lines };
        for finding in run.findings() {
            for part in ["code", "problem", "meaning", "fix"] {
                let part = finding[part].as_str().expect("a text");
                assert!(!part.is_empty() && text.contains(part), "{part}: {text}");
            }
        }
        run
    }

    fn findings(&self) -> Vec<&Value> {
        self.lines.iter().flat_map(|line| line["findings"].as_array().expect("findings")).collect()
    }

    /// Codes of the findings of a check, sorted.
    fn codes(&self, check: &str) -> Vec<&str> {
        let findings = self.of(check)["findings"].as_array().expect("findings");
        let mut codes: Vec<_> =
            findings.iter().map(|finding| finding["code"].as_str().expect("a code")).collect();
        codes.sort_unstable();
        codes
    }

    fn of(&self, check: &str) -> &Value {
        let mut lines = self.lines.iter().filter(|line| line["check"] == check);
        lines.next().unwrap_or_else(|| panic!("{check} in {:?}", self.lines))
    }

    fn summary(&self, check: &str) -> &str {
        self.of(check)["summary"].as_str().expect("a text")
    }
}

fn doctor(arguments: &[&str], variables: &[(&'static str, &str)]) -> ProcessBuilder {
    let mut builder = program(arguments)
        .env("RAS_INTERNAL_API_KEY", KEY)
        // Longer than a busy machine needs for a command.
        .env("RAS_CACHE__COMMAND_TIMEOUT_MILLISECONDS", "5000")
        .env("RAS_CACHE__DROP_TIMEOUT_MILLISECONDS", "5000")
        .env("RAS_POSTGRES__ACQUIRE_TIMEOUT_MILLISECONDS", "5000");
    for (name, value) in variables {
        builder = builder.env(name, *value);
    }
    builder
}

/// A Redis without anything that is worth a warning.
async fn sound_redis() -> Redis {
    let redis = redis().await;
    for (name, value) in [("maxmemory", "100mb"), ("maxmemory-policy", "allkeys-lru"), ("save", "")]
    {
        redis.cli(&["CONFIG", "SET", name, value]).await;
    }
    redis
}

/// An address without a listener.
fn unused_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn sound_servers_have_no_finding_and_a_group_ahead_of_the_database_is_one() {
    let (redis, broker) = tokio::join!(sound_redis(), Broker::start());
    let postgres = postgres().await;
    let database = postgres.create_database().await;
    let brokers = broker.kafka.brokers();
    let variables = [
        ("RAS_DATABASE_URL", database.as_str()),
        ("RAS_REDIS_URL", &redis.url()),
        ("RAS_KAFKA_BROKERS", &brokers),
    ];
    let before = Run::with(&variables).await;
    assert_eq!(before.code, 0, "{:?}", before.lines);
    assert_eq!(before.lines.len(), 4);
    assert!(before.summary("http").contains("without TLS"), "{:?}", before.lines);
    assert!(before.summary("database").contains("no schema yet"), "{:?}", before.lines);
    assert!(before.summary("redis").contains("role master"), "{:?}", before.lines);
    assert!(before.summary("redis").contains("+randomkey"), "{:?}", before.lines);
    assert!(before.summary("kafka").contains("lag 0 records"), "{:?}", before.lines);
    let tables = "select count(*) from pg_tables where schemaname = 'public'";
    assert_eq!(postgres.psql(&database, tables).await.trim(), "0", "nothing is migrated");
    assert_eq!(redis.cli(&["DBSIZE"]).await.trim(), "0");

    let service = ServiceBuilder::on(&database, &redis.url()).kafka(&brokers).start().await;
    let event = registered("teacher", "batch", 1, next_micros()).to_string();
    broker.produce(REGISTERED, "batch", event.as_bytes()).await;
    broker.wait_until_acknowledged().await;
    let beside = Run::with(&variables).await;
    assert_eq!(beside.code, 0, "beside a running service: {:?}", beside.lines);
    assert!(beside.summary("database").contains("schema version"), "{:?}", beside.lines);

    drop(service);
    let empty = postgres.create_database().await;
    drop(ServiceBuilder::on(&empty, &redis.url()).start().await);
    let [_, redis, kafka] = variables;
    let ahead = Run::with(&[("RAS_DATABASE_URL", &empty), redis, kafka]).await;
    let codes = ahead.codes("kafka");
    assert_eq!((ahead.code, codes), (3, vec!["group_ahead_of_database"]), "{:?}", ahead.lines);
}

#[tokio::test]
async fn embedded_mode_makes_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let ran = Run::with(&[("RAS_DATA_DIR", data_dir.to_str().unwrap())]).await;
    assert_eq!(ran.code, 0, "{:?}", ran.lines);
    assert!(ran.summary("database").starts_with("SQLite"), "{:?}", ran.lines);
    assert!(ran.summary("kafka").contains("not configured"), "{:?}", ran.lines);
    assert!(!data_dir.exists());
}

#[tokio::test]
async fn certificate_of_the_listener_that_cannot_be_read_stops_the_service() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::in_directory(directory.path());
    let (chain, key) = (certificates.server_certificate_file(), certificates.server_key_file());
    let variables = [
        ("RAS_DATA_DIR", directory.path().to_str().unwrap()),
        ("RAS_HTTP__TLS_CERTIFICATE_FILE", chain.to_str().unwrap()),
        ("RAS_HTTP__TLS_KEY_FILE", key.to_str().unwrap()),
    ];
    let sound = Run::with(&variables).await;
    assert_eq!((sound.code, sound.codes("http")), (0, vec![]), "{:?}", sound.lines);
    std::fs::write(&key, "no key").unwrap();
    let broken = Run::with(&variables).await;
    assert_eq!((broken.code, broken.codes("http")), (2, vec!["certificate_not_read"]));
}

#[tokio::test]
async fn redis_that_lacks_a_right_stops_the_service() {
    let redis = Redis::builder().acl_user(&format!("{} -rename", redis_user())).start().await;
    redis.cli(&["CONFIG", "SET", "maxmemory", "100mb"]).await;
    let directory = tempfile::tempdir().unwrap();
    let url = redis.url();
    let variables =
        [("RAS_REDIS_URL", url.as_str()), ("RAS_DATA_DIR", directory.path().to_str().unwrap())];
    let ran = Run::with(&variables).await;
    assert_eq!((ran.code, ran.codes("redis")), (2, vec!["unauthorized"]));

    redis.cli(&["ACL", "SETUSER", "ras", "+rename", "+randomkey"]).await;
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    redis.cli(&["CONFIG", "SET", "appendonly", "yes"]).await;
    redis.cli(&["SET", &format!("{NAMESPACE}:e:x"), "x"]).await;
    let ran = Run::with(&variables).await;
    assert_eq!((ran.code, ran.codes("redis")), (3, vec!["keys_without_ttl", "persistence"]));
}

#[tokio::test]
async fn missing_topic_is_a_warning_and_is_not_created() {
    // As many as usual: a new broker, which makes them now, is not the coordinator at once.
    let kafka = Kafka::builder().property("offsets.topic.num.partitions", "50").start().await;
    let missing = EventKind::ALL[0].topic();
    let topics = EventKind::ALL.iter().skip(1).map(|kind| kind.topic());
    for topic in topics.chain(OutgoingEventKind::ALL.iter().map(|kind| kind.as_str())) {
        kafka.create_topic(topic, 2).await;
    }
    let redis = sound_redis().await;
    let database = postgres().await.create_database().await;
    let (brokers, url) = (kafka.brokers(), redis.url());
    let variables = [
        ("RAS_DATABASE_URL", database.as_str()),
        ("RAS_REDIS_URL", &url),
        ("RAS_KAFKA_BROKERS", &brokers),
    ];
    let ran = Run::with(&variables).await;
    assert_eq!((ran.code, ran.codes("kafka")), (3, vec!["missing_topics"]), "{:?}", ran.lines);
    assert!(ran.findings()[0]["problem"].as_str().unwrap().contains(missing), "{:?}", ran.lines);
    let again = Run::with(&variables).await;
    assert_eq!(again.codes("kafka"), ["missing_topics"], "a question creates no topic");
}

#[tokio::test]
async fn newer_schema_is_a_warning_and_a_breaking_one_stops_the_service() {
    let redis = sound_redis().await;
    let postgres = postgres().await;
    let database = postgres.create_database().await;
    drop(ServiceBuilder::on(&database, &redis.url()).start().await);
    let newer =
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                 select 1000, 'one more table', success, checksum, execution_time
                 from _sqlx_migrations where version = 1";
    postgres.psql(&database, newer).await;
    let url = redis.url();
    let variables = [("RAS_DATABASE_URL", database.as_str()), ("RAS_REDIS_URL", &url)];
    let ran = Run::with(&variables).await;
    assert_eq!((ran.code, ran.codes("database")), (3, vec!["newer_schema"]), "{:?}", ran.lines);

    let breaking = "update _sqlx_migrations set description = 'breaking: x' where version = 1000";
    postgres.psql(&database, breaking).await;
    let ran = Run::with(&variables).await;
    assert_eq!((ran.code, ran.codes("database")), (2, vec!["misconfigured"]), "{:?}", ran.lines);
}

#[tokio::test]
async fn unreachable_servers_are_all_found_at_once() {
    let address = unused_address();
    let ran = Run::with(&[
        ("RAS_DATABASE_URL", &format!("postgres://u:pgpass-1@{address}/x")),
        ("RAS_REDIS_URL", &format!("redis://ras:secret@{address}")),
        ("RAS_KAFKA_BROKERS", &address.to_string()),
    ])
    .await;
    assert_eq!(ran.code, 2, "{:?}", ran.lines);
    for check in ["database", "redis", "kafka"] {
        assert_eq!(ran.codes(check), ["unavailable"], "{:?}", ran.lines);
    }
}

#[tokio::test]
async fn wrong_settings_end_it_before_any_check() {
    let (code, text) = run(doctor(&["doctor"], &[("RAS_REDIS_URL", "http://secret")])).await;
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("redis_url") && !text.contains("secret"), "{text}");
    assert!(!text.contains("checking"), "{text}");
}

#[tokio::test]
async fn every_primary_of_a_cluster_is_checked() {
    let cluster = RedisCluster::builder().acl_user(&redis_user());
    let cluster = SOUND_MEMORY.iter().fold(cluster, |cluster, argument| cluster.argument(argument));
    let cluster = cluster.start().await;
    let (directory, urls) = (tempfile::tempdir().unwrap(), cluster.urls().join(","));
    let variables = [
        ("RAS_DATA_DIR", directory.path().to_str().unwrap()),
        ("RAS_REDIS_MODE", "cluster"),
        ("RAS_REDIS_URLS", &urls),
    ];
    let sound = Run::with(&variables).await;
    assert_eq!(sound.code, 0, "{:?}", sound.lines);
    let summary = sound.summary("redis");
    assert_eq!(summary.matches("role master").count(), 3, "{summary}");
    let (second, third, replica_of_second) = (cluster.node(1), cluster.node(2), cluster.node(4));
    let address = format!("127.0.0.1:{}", third.port());
    assert!(summary.contains(&address), "{summary}");

    replica_of_second.kill().await;
    let without_replica = Run::with(&variables).await;
    assert_eq!(without_replica.code, 0, "{:?}", without_replica.lines);

    third.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    let ran = Run::with(&variables).await;
    assert_eq!((ran.code, ran.codes("redis")), (3, vec!["no_eviction"]), "{:?}", ran.lines);
    assert!(ran.findings()[0]["problem"].as_str().unwrap().contains(&address), "{:?}", ran.lines);

    // Nobody has its slots now.
    second.kill().await;
    let ran = Run::with(&variables).await;
    assert_eq!((ran.code, ran.codes("redis")), (2, vec!["unavailable"]), "{:?}", ran.lines);
}

#[tokio::test]
async fn primary_that_sentinel_names_is_checked() {
    let redis = RedisSentinel::builder().acl_user(&redis_user());
    let redis = SOUND_MEMORY.iter().fold(redis, |redis, argument| redis.argument(argument));
    // A primary that writes a snapshot to its disk for each replica.
    let redis = redis.argument("--repl-diskless-sync").argument("no").start().await;
    let (directory, urls) = (tempfile::tempdir().unwrap(), redis.sentinel_urls().join(","));
    let variables = [
        ("RAS_DATA_DIR", directory.path().to_str().unwrap()),
        ("RAS_REDIS_MODE", "sentinel"),
        ("RAS_REDIS_URLS", &urls),
        ("RAS_REDIS_SENTINEL_MASTER", redis.master_name()),
        ("RAS_REDIS_USERNAME", "ras"),
        ("RAS_REDIS_PASSWORD", "secret"),
    ];
    let sound = Run::with(&variables).await;
    assert_eq!(sound.code, 0, "{:?}", sound.lines);
    assert!(sound.summary("redis").contains("role master"), "{:?}", sound.lines);

    let (primary, replica, other_replica) = (redis.server(0), redis.server(1), redis.server(2));
    replica.kill().await;
    other_replica.kill().await;
    let alone = Run::with(&variables).await;
    assert_eq!(alone.code, 0, "{:?}", alone.lines);

    // The replica that is promoted has loaded a snapshot of its primary, with a key.
    primary.cli(&["SET", &format!("{NAMESPACE}:e:x"), "x", "EX", "600"]).await;
    replica.restart_empty().await;
    other_replica.restart_empty().await;
    redis.wait_until_settled().await;
    primary.kill().await;
    assert_eq!(redis.wait_for_failover().await, 1);
    let promoted = Run::with(&variables).await;
    assert_eq!(promoted.code, 0, "{:?}", promoted.lines);

    replica.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    let ran = Run::with(&variables).await;
    assert_eq!((ran.code, ran.codes("redis")), (3, vec!["no_eviction"]), "{:?}", ran.lines);

    for index in 0..3 {
        redis.sentinel(index).kill().await;
    }
    let ran = Run::with(&variables).await;
    assert_eq!((ran.code, ran.codes("redis")), (2, vec!["unavailable"]), "{:?}", ran.lines);
}
