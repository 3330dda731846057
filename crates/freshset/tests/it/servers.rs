//! Fixtures for every way to connect to Redis. The tests of this binary share the servers, and none moves
//! a slot or a primary of them. All users have the documented rights and no others.

use std::sync::Arc;
use std::time::Duration;

use freshset::backend::redis::{RedisBackend, RedisOptions, SentinelServers, TlsOptions};
use freshset::testing::Mutant;
use freshset::testing::conformance::Fixture;
use redis::aio::ConnectionManagerConfig;
use redis::cluster_read_routing::RandomReplicaStrategy;
use testkit::{Certificates, Redis, RedisCluster, RedisSentinel};
use tokio::sync::OnceCell;

use crate::fixtures::{
    ANSWER_LIMIT, Admin, RedisFixture, acl_user, cluster_client, connect, redis,
};

/// After how long without an answer a shared server counts as down: a busy machine must not replace it.
const NEVER: Duration = Duration::from_secs(60);

/// A Cluster. Its user `fresh` has the documented rights and no others.
pub(crate) async fn redis_cluster() -> &'static RedisCluster {
    static SERVERS: OnceCell<RedisCluster> = OnceCell::const_new();
    let cluster = RedisCluster::builder().acl_user(&acl_user()).node_timeout(NEVER);
    SERVERS.get_or_init(|| cluster.start()).await
}

/// A Cluster for one test, which may break it.
pub(crate) async fn start_cluster() -> RedisCluster {
    RedisCluster::builder().acl_user(&acl_user()).start().await
}

async fn redis_tls() -> &'static Redis {
    static SERVER: OnceCell<Redis> = OnceCell::const_new();
    SERVER.get_or_init(|| Redis::builder().acl_user(&acl_user()).mutual_tls().start()).await
}

async fn redis_unix() -> &'static Redis {
    static SERVER: OnceCell<Redis> = OnceCell::const_new();
    SERVER.get_or_init(|| Redis::builder().acl_user(&acl_user()).unix_socket().start()).await
}

async fn redis_sentinel() -> &'static RedisSentinel {
    static SERVERS: OnceCell<RedisSentinel> = OnceCell::const_new();
    let sentinel = RedisSentinel::builder().acl_user(&acl_user()).down_after(NEVER);
    SERVERS.get_or_init(|| sentinel.start()).await
}

/// Servers with sentinels for one test, which may break them.
pub(crate) async fn start_sentinel() -> RedisSentinel {
    RedisSentinel::builder().acl_user(&acl_user()).start().await
}

pub(crate) async fn resp3() -> Arc<dyn Fixture> {
    let server = redis().await;
    let url = format!("{}?protocol=resp3", server.url());
    RedisFixture::on_url(url, Admin::of(&server.admin_url()).await, None)
}

pub(crate) async fn tls() -> Arc<dyn Fixture> {
    let server = redis_tls().await;
    let (url, tls) = (server.url(), tls_options(server.certificates()));
    RedisFixture::with(Admin::of(&server.admin_url()).await, None, move |options| {
        RedisBackend::new(&url, options.tls(tls.clone())).unwrap()
    })
}

/// What a client needs for a server that asks for a certificate.
pub(crate) fn tls_options(certificates: &Certificates) -> TlsOptions {
    TlsOptions::default()
        .ca(certificates.ca_pem())
        .client(certificates.client_certificate_pem(), certificates.client_key_pem())
}

pub(crate) async fn unix_socket() -> Arc<dyn Fixture> {
    let server = redis_unix().await;
    RedisFixture::on_url(server.unix_url(), Admin::of(&server.admin_url()).await, None)
}

pub(crate) async fn three_connections() -> Arc<dyn Fixture> {
    let server = redis().await;
    let url = server.url();
    RedisFixture::with(Admin::of(&server.admin_url()).await, None, move |options| {
        RedisBackend::new(&url, options.connections(3)).unwrap()
    })
}

pub(crate) async fn given_connection() -> Arc<dyn Fixture> {
    let server = redis().await;
    let connection = connect(&server.url()).await;
    RedisFixture::with(Admin::of(&server.admin_url()).await, None, move |options| {
        RedisBackend::from_connection(connection.clone(), options)
    })
}

pub(crate) async fn given_manager() -> Arc<dyn Fixture> {
    let server = redis().await;
    let client = redis::Client::open(server.url()).unwrap();
    let config = ConnectionManagerConfig::new().set_response_timeout(Some(ANSWER_LIMIT));
    let manager = client.get_connection_manager_with_config(config).await.unwrap();
    RedisFixture::with(Admin::of(&server.admin_url()).await, None, move |options| {
        RedisBackend::from_connection(manager.clone(), options)
    })
}

pub(crate) async fn cluster(mutant: Option<Mutant>) -> Arc<dyn Fixture> {
    let cluster = redis_cluster().await;
    // A mistake must be rejected for its effect, not for a missing right.
    let urls = if mutant.is_some() { cluster.admin_urls() } else { cluster.urls() };
    RedisFixture::with(cluster_admin(cluster).await, mutant, move |options| {
        RedisBackend::cluster(&urls, options).unwrap()
    })
}

/// Over a connection that itself reads from replicas.
pub(crate) async fn given_cluster() -> Arc<dyn Fixture> {
    let cluster = redis_cluster().await;
    let client = cluster_client(cluster.admin_urls());
    let client = client.read_routing_strategy(RandomReplicaStrategy).build().unwrap();
    let connection = client.get_async_connection().await.unwrap();
    RedisFixture::with(cluster_admin(cluster).await, None, move |options| {
        RedisBackend::from_connection(connection.clone(), options)
    })
}

pub(crate) async fn cluster_admin(cluster: &RedisCluster) -> Admin {
    let client = cluster_client(cluster.admin_urls()).build().unwrap();
    let keyed = Arc::new(client.get_async_connection().await.unwrap());
    let mut servers = Vec::new();
    for primary in cluster.primaries().await {
        servers.push(connect(&cluster.node(primary).admin_url()).await);
    }
    Admin { keyed, servers }
}

pub(crate) async fn sentinel() -> Arc<dyn Fixture> {
    let sentinel = redis_sentinel().await;
    let primary = sentinel.server(sentinel.primary_index().await);
    RedisFixture::with(Admin::of(&primary.admin_url()).await, None, |options| {
        sentinel_backend(sentinel, options)
    })
}

/// The login of the user `fresh`.
pub(crate) fn login(password: &str) -> SentinelServers {
    SentinelServers::default().username("fresh").password(password)
}

/// A backend on the primary that the sentinels name, as the user `fresh`.
pub(crate) fn sentinel_backend(sentinel: &RedisSentinel, options: RedisOptions) -> RedisBackend {
    let options = options.sentinel_servers(login("secret"));
    RedisBackend::sentinel(sentinel.sentinel_urls(), sentinel.master_name(), options).unwrap()
}
