//! The service on every kind of Redis: a Cluster, a primary that Sentinel names, and over TLS. A registered
//! batch is in the very next read of both processes, and no read is stale.

use testkit::{Redis, RedisCluster, RedisSentinel, eventually, postgres, seed};

use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::registered;
use crate::support::load::{LoadPlan, run};
use crate::support::service::{Service, ServiceBuilder, redis_user};

const TEACHER: &str = "teacher-1";
/// Reads of the load: a few seconds.
const READS: u64 = 2_000;

/// Two processes with these settings, on a database of their own.
async fn start_two(variables: &[(&'static str, String)]) -> [Service; 2] {
    let database = postgres().await.create_database().await;
    let builder = || {
        let builder = ServiceBuilder::on_database(&database);
        variables.iter().fold(builder, |builder, (name, value)| builder.variable(name, value))
    };
    let (one, two) = tokio::join!(builder().start(), builder().start());
    let services = [one, two];
    for service in &services {
        wait_until_connected(service).await;
    }
    services
}

async fn wait_until_connected(service: &Service) {
    eventually(TIMEOUT, "the cache is connected, without findings", || async {
        let answer = service.client.get("/readyz").await.ok()?;
        let body: serde_json::Value = answer.json().await.ok()?;
        let is_well = body["cache"] == "connected" && body["findings"] == serde_json::json!([]);
        is_well.then_some(())
    })
    .await;
}

/// Registers batches through one process and the other; both show each at once.
async fn assert_visible_at_once([one, two]: &[Service; 2], batches: std::ops::Range<u64>) {
    for number in batches {
        let writer = if number % 2 == 0 { one } else { two };
        for service in [one, two] {
            service.client.list(TEACHER, "").await;
            service.client.list(TEACHER, "").await;
        }
        let event = registered(TEACHER, &format!("batch-{number}"), 2, next_micros());
        writer.client.post_until_acknowledged(&[event]).await;
        for service in [one, two] {
            assert_eq!(service.client.list(TEACHER, "?limit=0").await.total(), number + 1);
            assert_eq!(service.client.list(TEACHER, "").await.total(), number + 1);
        }
    }
}

async fn assert_never_stale(services: &[Service; 2]) {
    let plan = LoadPlan {
        writers: 4,
        readers: 4,
        teachers: 8,
        reads: READS,
        until_stale: false,
        seed: seed(),
    };
    let tally = run(plan, services.iter().map(|service| service.client.clone()).collect()).await;
    tally.assert_never_stale();
    assert!(tally.hits > READS / 10, "the cache was used: {} hits", tally.hits);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_serves_no_stale_read_also_after_a_failover() {
    let cluster = RedisCluster::builder().acl_user(&redis_user()).start().await;
    let services = start_two(&[
        ("RAS_REDIS_MODE", "cluster".to_owned()),
        ("RAS_REDIS_URLS", cluster.urls()[..2].join(",")),
    ])
    .await;
    assert_visible_at_once(&services, 0..10).await;
    assert_never_stale(&services).await;
    cluster.failover(cluster.slot_of(format!("{{user:{TEACHER}}}"))).await;
    assert_visible_at_once(&services, 10..20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinel_fails_over_and_no_read_is_stale() {
    let redis = RedisSentinel::builder().acl_user(&redis_user()).start().await;
    let services = start_two(&[
        ("RAS_REDIS_MODE", "sentinel".to_owned()),
        ("RAS_REDIS_URLS", redis.sentinel_urls().join(",")),
        ("RAS_REDIS_SENTINEL_MASTER", redis.master_name().to_owned()),
        ("RAS_REDIS_USERNAME", "ras".to_owned()),
        ("RAS_REDIS_PASSWORD", "secret".to_owned()),
    ])
    .await;
    assert_visible_at_once(&services, 0..10).await;
    assert_never_stale(&services).await;
    // Whose replicas have received everything: what they had not, they would lack.
    redis.wait_until_settled().await;
    redis.server(redis.primary_index().await).kill().await;
    // Acknowledged as soon as the new primary has confirmed the invalidation.
    assert_visible_at_once(&services, 10..20).await;
    for service in &services {
        wait_until_connected(service).await;
    }
    assert_never_stale(&services).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_over_tls_with_client_certificate_serves_no_stale_read() {
    let redis = Redis::builder().acl_user(&redis_user()).mutual_tls().start().await;
    let file = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    let certificates = redis.certificates();
    let with_client = [
        ("RAS_REDIS_URL", redis.url()),
        ("RAS_REDIS_CA_FILE", file(certificates.ca_file())),
        ("RAS_REDIS_CLIENT_CERTIFICATE_FILE", file(certificates.client_certificate_file())),
        ("RAS_REDIS_CLIENT_KEY_FILE", file(certificates.client_key_file())),
    ];
    let services = start_two(&with_client).await;
    assert_visible_at_once(&services, 0..10).await;
    assert_never_stale(&services).await;
    assert_eq!(cache_without(&with_client[..2]).await, "never_reached", "no client certificate");
    assert_eq!(cache_without(&with_client[..1]).await, "never_reached", "no CA of its own");
}

/// What `/readyz` says of the cache of a process with only these settings.
async fn cache_without(variables: &[(&'static str, String)]) -> String {
    let files = tempfile::tempdir().unwrap();
    let builder = ServiceBuilder::embedded(files.path());
    let builder =
        variables.iter().fold(builder, |builder, (name, value)| builder.variable(name, value));
    let service = builder.start().await;
    let answer = service.client.get("/readyz").await.unwrap();
    let body: serde_json::Value = answer.json().await.unwrap();
    body["cache"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn redis_over_a_unix_socket_is_used() {
    let redis = Redis::builder().acl_user(&redis_user()).unix_socket().start().await;
    let services = start_two(&[("RAS_REDIS_URL", redis.unix_url())]).await;
    assert_visible_at_once(&services, 0..4).await;
}
