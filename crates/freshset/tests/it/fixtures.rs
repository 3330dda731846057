//! Fixtures: an empty backend in memory with a clock that the test moves, and one on a real Redis whose
//! user has the documented rights and no others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use freshset::backend::memory::MemoryBackend;
use freshset::backend::redis::{ACL_COMMANDS, RedisBackend, RedisOptions};
use freshset::testing::ManualClock;
use freshset::testing::conformance::Fixture;
use freshset::{CacheBackend, Mutant, Namespace, Owner};
use redis::aio::MultiplexedConnection;
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
fn long_timeouts(namespace: Namespace) -> RedisOptions {
    let limit = Duration::from_secs(10);
    RedisOptions {
        command_timeout: limit,
        invalidate_timeout: limit,
        ..RedisOptions::new(namespace)
    }
}

pub(crate) struct MemoryFixture {
    backend: Arc<MemoryBackend>,
    clock: Arc<ManualClock>,
}

impl MemoryFixture {
    pub(crate) fn empty(mutant: Option<Mutant>) -> Arc<dyn Fixture> {
        let clock = Arc::new(ManualClock::default());
        let mut backend = MemoryBackend::with(64 << 20, clock.clone());
        if let Some(mutant) = mutant {
            backend = backend.with_mutant(mutant);
        }
        Arc::new(Self { backend: Arc::new(backend), clock })
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

    async fn keys_without_ttl(&self) -> Vec<String> {
        // Every entry, index and generation here has an expiry by its type.
        Vec::new()
    }
}

pub(crate) struct RedisFixture {
    namespace: Namespace,
    mutant: Option<Mutant>,
    admin: MultiplexedConnection,
    url: String,
}

impl RedisFixture {
    pub(crate) async fn empty(mutant: Option<Mutant>) -> Arc<dyn Fixture> {
        let server = redis().await;
        let admin = redis::Client::open(server.admin_url()).unwrap();
        let admin = admin.get_multiplexed_async_connection().await.unwrap();
        // A mistake must be rejected for its effect, not for a missing right.
        let url = if mutant.is_some() { server.admin_url() } else { server.url() };
        Arc::new(Self { namespace: namespace(), mutant, admin, url })
    }

    fn key(&self, kind: char, owner: &Owner) -> String {
        format!("{}:{kind}:{{{}}}", self.namespace.as_str(), owner.as_str())
    }

    async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut call = redis::cmd(command[0]);
        call.arg(&command[1..]);
        call.query_async(&mut self.admin.clone()).await.unwrap()
    }
}

#[async_trait]
impl Fixture for RedisFixture {
    fn backend(&self) -> Arc<dyn CacheBackend> {
        let backend = RedisBackend::new(&self.url, long_timeouts(self.namespace.clone())).unwrap();
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
        // A key exists during the whole of its last millisecond.
        let end = now().await + time + Duration::from_millis(1);
        while now().await <= end {
            tokio::task::yield_now().await;
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

    async fn keys_without_ttl(&self) -> Vec<String> {
        // The administrator may list all keys; the backend's user may not.
        let pattern = format!("{}:*", self.namespace.as_str());
        let keys: Vec<String> = self.ask(&["KEYS", &pattern]).await;
        let mut without_ttl = Vec::new();
        for key in keys {
            let ttl: i64 = self.ask(&["PTTL", &key]).await;
            if ttl == -1 {
                without_ttl.push(key);
            }
        }
        without_ttl
    }
}
