//! Near copies: what they save, and that they are as fresh as without them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use freshset::backend::memory::MemoryBackend;
use freshset::backend::{
    Collected, Entry, Filled, Found, Generation, Invalidated, Lifetimes, Lookup, Members,
    RandomHex, Trimmed,
};
use freshset::testing::{ManualClock, Mutant};
use freshset::{
    Answer, BackendError, BoxError, Cache, CacheBackend, CacheBuilder, EntryKey, Near, Owner,
    Owners, Source,
};

use crate::fixtures::{RedisFixture, redis_backend, start_redis};
use crate::world::World;

/// A backend that counts look-ups with an entry, and those of generations only.
#[derive(Debug)]
struct Counting {
    inner: MemoryBackend,
    entries: AtomicU64,
    generations: AtomicU64,
}

impl Counting {
    fn new(clock: Arc<ManualClock>) -> Arc<Self> {
        let inner = MemoryBackend::with(1 << 20, clock);
        Arc::new(Self { inner, entries: AtomicU64::new(0), generations: AtomicU64::new(0) })
    }

    fn take(&self) -> (u64, u64) {
        let take = |count: &AtomicU64| count.swap(0, Ordering::SeqCst);
        (take(&self.entries), take(&self.generations))
    }
}

#[async_trait]
impl CacheBackend for Counting {
    async fn get(&self, lookup: Lookup<'_>) -> Result<Found, BackendError> {
        let count = if lookup.entry.is_some() { &self.entries } else { &self.generations };
        count.fetch_add(1, Ordering::SeqCst);
        self.inner.get(lookup).await
    }

    async fn generation(
        &self,
        owner: &Owner,
        random_part: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Generation, BackendError> {
        self.inner.generation(owner, random_part, lifetimes).await
    }

    async fn fill(&self, entry: Entry<'_>) -> Result<Filled, BackendError> {
        self.inner.fill(entry).await
    }

    async fn invalidate(
        &self,
        owner: &Owner,
        garbage_set: &RandomHex,
        lifetimes: &Lifetimes,
    ) -> Result<Invalidated, BackendError> {
        self.inner.invalidate(owner, garbage_set, lifetimes).await
    }

    async fn remove(&self, owner: &Owner, key: &EntryKey) -> Result<bool, BackendError> {
        self.inner.remove(owner, key).await
    }

    async fn collect(&self, owner: &Owner) -> Result<Collected, BackendError> {
        self.inner.collect(owner).await
    }

    async fn trim(&self, owner: &Owner) -> Result<Trimmed, BackendError> {
        self.inner.trim(owner).await
    }

    async fn members(&self, owner: &Owner, keys_max: usize) -> Result<Members, BackendError> {
        self.inner.members(owner, keys_max).await
    }
}

const BYTES_MAX: u64 = 1 << 20;

fn team() -> Owner {
    Owner::new("team", "t").unwrap()
}

fn project() -> Owner {
    Owner::new("project", "p").unwrap()
}

fn key(name: &str) -> EntryKey {
    EntryKey::new([name]).unwrap()
}

fn near(backend: impl CacheBackend, clock: &Arc<ManualClock>) -> CacheBuilder {
    let clock = Arc::clone(clock) as Arc<dyn freshset::Clock>;
    Cache::builder(backend).near(Near::validated(BYTES_MAX)).clock(clock)
}

async fn read(cache: &Cache, owners: impl Into<Owners>, body: &'static str) -> Answer {
    let load = || async { Ok::<_, BoxError>(Bytes::from(body)) };
    cache.get_or_load(owners, &key("board"), load).await.unwrap()
}

#[tokio::test]
async fn hit_looks_up_generations_only() {
    let clock = Arc::new(ManualClock::default());
    let backend = Counting::new(clock.clone());
    let [first, second] = [(); 2].map(|()| near(backend.clone(), &clock).build());
    read(&first, &team(), "one").await;
    backend.take();
    assert_eq!(read(&first, &team(), "two").await.source, Source::Hit, "kept by its fill");
    assert_eq!(backend.take(), (0, 1));
    assert_eq!(read(&second, &team(), "two").await.source, Source::Hit);
    assert_eq!(backend.take(), (1, 0), "the first hit of a process brings the entry");
    assert_eq!(read(&second, &team(), "two").await.source, Source::Hit);
    assert_eq!(backend.take(), (0, 1));
}

/// Without a copy they take two round trips.
#[tokio::test]
async fn hit_with_found_owners_takes_one_round_trip() {
    let clock = Arc::new(ManualClock::default());
    let backend = Counting::new(clock.clone());
    let cache = near(backend.clone(), &clock).build();
    let (team, board) = (team(), key("board"));
    let read = async || {
        let request = cache.entry(&team, &board);
        let load = async |dependencies: freshset::Dependencies| {
            dependencies.depend_on(&project()).await;
            Ok::<_, BoxError>(Bytes::from("both"))
        };
        request.get_or_load_with(load).await.unwrap().source
    };
    read().await;
    backend.take();
    assert_eq!(read().await, Source::Hit);
    assert_eq!(backend.take(), (0, 1));
    cache.invalidate(&project()).await.unwrap();
    assert!(matches!(read().await, Source::Loaded { .. }));
}

/// What the second process reads after the first has invalidated, with a copy from before.
async fn read_after_invalidation(second: &Cache, first: &Cache, owner: &Owner) -> Bytes {
    let owners = Owners::of(&team()).and(&project());
    read(first, &owners, "old").await;
    read(second, &owners, "unused").await;
    assert_eq!(read(second, &owners, "unused").await.source, Source::Hit);
    first.invalidate(owner).await.unwrap();
    read(second, &owners, "new").await.bytes
}

#[tokio::test]
async fn copy_is_not_given_after_another_process_has_invalidated() {
    for owner in [team(), project()] {
        for mutant in [None, Some(Mutant::NearCopyUnchecked)] {
            let fixture = RedisFixture::empty(None).await;
            let first = Cache::new(fixture.backend());
            let mut builder = Cache::builder(fixture.backend()).near(Near::validated(BYTES_MAX));
            if let Some(mutant) = mutant {
                builder = builder.with_mutant(mutant);
            }
            let expected = if mutant.is_none() { "new" } else { "old" };
            let read = read_after_invalidation(&builder.build(), &first, &owner).await;
            assert_eq!(read, expected, "{owner:?}, {mutant:?}");
        }
    }
}

#[tokio::test]
async fn copy_does_not_outlive_its_entry() {
    let clock = Arc::new(ManualClock::default());
    let backend = Counting::new(clock.clone());
    let ttl = Duration::from_secs(10);
    let [first, second] =
        [(); 2].map(|()| near(backend.clone(), &clock).entry_ttl(ttl).jitter_percent(0).build());
    read(&first, &team(), "one").await;
    clock.advance(ttl / 2);
    read(&second, &team(), "two").await;
    clock.advance(ttl / 2 - Duration::from_millis(1));
    for cache in [&first, &second] {
        assert_eq!(read(cache, &team(), "two").await.source, Source::Hit);
    }
    clock.advance(Duration::from_millis(1));
    for cache in [&first, &second] {
        assert_eq!(read(cache, &team(), "two").await.bytes, "two", "expired in every process");
    }
}

#[tokio::test]
async fn copies_are_bounded_in_bytes() {
    let clock = Arc::new(ManualClock::default());
    let backend = Counting::new(clock.clone());
    let cache = near(backend.clone(), &clock).entries_per_owner_max(u32::MAX).build();
    let body = vec![b'x'; 10_000];
    let rounds = 3 * BYTES_MAX as usize / body.len();
    let read = async |number: usize| {
        let load = || async { Ok::<_, BoxError>(Bytes::from(body.clone())) };
        cache.get_or_load(&team(), &key(&number.to_string()), load).await.unwrap().source
    };
    for number in 0..rounds {
        read(number).await;
    }
    backend.take();
    for number in 0..rounds {
        read(number).await;
    }
    let (entries, _) = backend.take();
    assert!(entries as usize >= rounds - BYTES_MAX as usize / body.len(), "{entries} of {rounds}");
}

#[tokio::test]
async fn removed_entry_has_no_copy_in_this_process() {
    let (backend, _) = redis_backend().await;
    let cache = Cache::builder(backend).near(Near::validated(BYTES_MAX)).build();
    read(&cache, &team(), "one").await;
    assert!(cache.remove(&team(), &key("board")).await.unwrap());
    assert_eq!(read(&cache, &team(), "two").await.bytes, "two");
}

/// Nothing is given unvalidated, however good the copy looks.
#[tokio::test]
async fn copy_is_not_given_while_an_invalidation_is_unconfirmed() {
    let redis = start_redis().await;
    let world = World::with_near_copies(&redis.url());
    world.wait_for_hit().await;
    world.wait_for_hit().await;
    redis.pause().await;
    let number = world.write();
    world.cache.invalidate(&world.owner).await.expect_err("not confirmed");
    assert_eq!(world.read().await.0, number);
    redis.resume().await;
}
