//! Fixtures: an empty backend in memory with a clock that the test moves, and one on a real Redis whose
//! user has the documented rights and no others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use freshset::backend::memory::MemoryBackend;
use freshset::backend::redis::{ACL_COMMANDS, RedisBackend, RedisConnection, RedisOptions, Target};
use freshset::testing::conformance::Fixture;
use freshset::testing::{ManualClock, Mutant};
use freshset::{CacheBackend, Namespace, Owner};
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use testkit::Redis;
use tokio::sync::OnceCell;

/// The Redis that the tests share. Its user `fresh` has the documented rights and no others.
pub(crate) async fn redis() -> &'static Redis {
    static SERVER: OnceCell<Redis> = OnceCell::const_new();
    SERVER.get_or_init(start_redis).await
}

/// A Redis for one test, which may break it.
pub(crate) async fn start_redis() -> Redis {
    let server = Redis::builder().acl_user(&acl_user());
    // So that DEBUG is refused for lack of a right.
    server.argument("--enable-debug-command").argument("yes").start().await
}

/// The documented line of the ACL, filled in.
pub(crate) fn acl_user() -> String {
    format!("fresh on >secret ~t*:* {ACL_COMMANDS}")
}

/// A namespace that no other test uses.
pub(crate) fn namespace() -> Namespace {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Namespace::new(&format!("t{}-{number}", std::process::id())).unwrap()
}

/// A backend on the shared Redis, and its namespace.
pub(crate) async fn redis_backend() -> (RedisBackend, Namespace) {
    let namespace = namespace();
    let options = long_timeouts(namespace.clone());
    (RedisBackend::new(&redis().await.url(), options).unwrap(), namespace)
}

/// Timeouts that a busy machine does not reach: these tests are not about time.
pub(crate) fn long_timeouts(namespace: Namespace) -> RedisOptions {
    let limit = Duration::from_secs(10);
    RedisOptions::new(namespace)
        .command_timeout(limit)
        .invalidate_timeout(limit)
        .connect_timeout(limit)
}

pub(crate) struct MemoryFixture {
    backend: Arc<MemoryBackend>,
    clock: Arc<ManualClock>,
    mutant: Option<Mutant>,
}

impl MemoryFixture {
    pub(crate) fn empty(mutant: Option<Mutant>) -> Arc<dyn Fixture> {
        let clock = Arc::new(ManualClock::default());
        let mut backend = MemoryBackend::with(64 << 20, clock.clone());
        if let Some(mutant) = mutant {
            backend = backend.with_mutant(mutant);
        }
        Arc::new(Self { backend: Arc::new(backend), clock, mutant })
    }
}

#[async_trait]
impl Fixture for MemoryFixture {
    fn backend(&self) -> Arc<dyn CacheBackend> {
        self.backend.clone()
    }

    async fn advance(&self, time: Duration) {
        self.clock.advance(time);
    }

    async fn evict_generation(&self, owner: &Owner) {
        self.backend.evict_generation(owner);
    }

    async fn evict_index(&self, owner: &Owner) {
        self.backend.evict_index(owner);
    }

    async fn index_members(&self, owner: &Owner) -> u64 {
        self.backend.index_members(owner)
    }

    fn mutant(&self) -> Option<Mutant> {
        self.mutant
    }

    async fn keys_without_ttl(&self) -> Vec<String> {
        // Every entry, index and generation here has an expiry by its type.
        Vec::new()
    }
}

/// Makes a backend with these options.
type Make = Box<dyn Fn(RedisOptions) -> RedisBackend + Send + Sync>;

pub(crate) struct RedisFixture {
    namespace: Namespace,
    mutant: Option<Mutant>,
    admin: Admin,
    make: Make,
}

/// The administrator of the servers, who may do everything.
pub(crate) struct Admin {
    /// Sends a command to the server that has the key.
    pub(crate) keyed: Arc<dyn RedisConnection>,
    /// Every server that has keys.
    pub(crate) servers: Vec<MultiplexedConnection>,
}

impl Admin {
    /// Of one server.
    pub(crate) async fn of(url: &str) -> Self {
        let connection = connect(url).await;
        Self { keyed: Arc::new(connection.clone()), servers: vec![connection] }
    }
}

/// Limit of a connection of the client itself. Its own, half a second, is reached on a busy machine.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A connection of the client itself.
pub(crate) async fn connect(url: &str) -> MultiplexedConnection {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_LIMIT))
        .set_response_timeout(Some(ANSWER_LIMIT));
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection_with_config(&config).await.unwrap()
}

/// A client of a Cluster.
pub(crate) fn cluster_client(urls: Vec<String>) -> ClusterClientBuilder {
    ClusterClient::builder(urls).connection_timeout(ANSWER_LIMIT).response_timeout(ANSWER_LIMIT)
}

impl RedisFixture {
    pub(crate) async fn empty(mutant: Option<Mutant>) -> Arc<dyn Fixture> {
        let server = redis().await;
        // A mistake must be rejected for its effect, not for a missing right.
        let url = if mutant.is_some() { server.admin_url() } else { server.url() };
        Self::on_url(url, Admin::of(&server.admin_url()).await, mutant)
    }

    pub(crate) fn on_url(url: String, admin: Admin, mutant: Option<Mutant>) -> Arc<dyn Fixture> {
        Self::with(admin, mutant, move |options| RedisBackend::new(&url, options).unwrap())
    }

    pub(crate) fn with(
        admin: Admin,
        mutant: Option<Mutant>,
        make: impl Fn(RedisOptions) -> RedisBackend + Send + Sync + 'static,
    ) -> Arc<dyn Fixture> {
        Arc::new(Self { namespace: namespace(), mutant, admin, make: Box::new(make) })
    }

    fn key(&self, kind: char, owner: &Owner) -> String {
        format!("{}:{kind}:{{{}}}", self.namespace.as_str(), owner.as_str())
    }

    async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut call = redis::cmd(command[0]);
        call.arg(&command[1..]);
        let key = command.get(1).copied().unwrap_or_default();
        let answer = self.admin.keyed.send(&call, Target::PrimaryOf(key)).await.unwrap();
        redis::from_redis_value(answer.extract_error().unwrap()).unwrap()
    }
}

#[async_trait]
impl Fixture for RedisFixture {
    fn backend(&self) -> Arc<dyn CacheBackend> {
        let backend = (self.make)(long_timeouts(self.namespace.clone()));
        match self.mutant {
            Some(mutant) => Arc::new(backend.with_mutant(mutant)),
            None => Arc::new(backend),
        }
    }

    async fn advance(&self, time: Duration) {
        let now = || async {
            let (seconds, micros): (u64, u64) = self.ask(&["TIME"]).await;
            Duration::from_secs(seconds) + Duration::from_micros(micros)
        };
        // A key exists during the whole of its last millisecond, and the server's clock is what counts.
        let end = now().await + time + Duration::from_millis(2);
        loop {
            let remaining = end.saturating_sub(now().await);
            tokio::time::sleep(remaining).await;
            if remaining.is_zero() {
                return;
            }
        }
    }

    async fn evict_generation(&self, owner: &Owner) {
        let _: u64 = self.ask(&["DEL", &self.key('g', owner)]).await;
    }

    async fn evict_index(&self, owner: &Owner) {
        let _: u64 = self.ask(&["DEL", &self.key('i', owner)]).await;
    }

    async fn index_members(&self, owner: &Owner) -> u64 {
        self.ask(&["SCARD", &self.key('i', owner)]).await
    }

    fn mutant(&self) -> Option<Mutant> {
        self.mutant
    }

    async fn keys_without_ttl(&self) -> Vec<String> {
        // The administrator may list all keys; the backend's user may not.
        let pattern = format!("{}:*", self.namespace.as_str());
        let mut without_ttl = Vec::new();
        for mut server in self.admin.servers.clone() {
            let mut list = redis::cmd("KEYS");
            let keys: Vec<String> = list.arg(&pattern).query_async(&mut server).await.unwrap();
            for key in keys {
                let ttl: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut server).await.unwrap();
                if ttl == -1 {
                    without_ttl.push(key);
                }
            }
        }
        without_ttl
    }
}
