//! Interleavings that make other caches stale, forced step by step.
//!
//! The database is a number, and an entry holds the number that it was loaded from. A test holds a
//! reader inside its load, after it has read the number, for as long as it wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use freshset::backend::{COLLECT_ENTRIES_MAX, Lifetimes, RandomHex};
use freshset::testing::Mutant;
use freshset::testing::conformance::Fixture;
use freshset::{Answer, BoxError, Cache, CacheBackend, EntryKey, Owner, Source, Stored};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::fixtures::{MemoryFixture, RedisFixture};

/// A database of one number, a cache of it, and readers that can be held.
#[derive(Clone)]
struct World {
    database: Arc<AtomicU64>,
    cache: Cache,
    backend: Arc<dyn CacheBackend>,
    owner: Owner,
    key: EntryKey,
}

impl World {
    fn new(fixture: &dyn Fixture) -> Self {
        let backend = fixture.backend();
        Self {
            database: Arc::default(),
            cache: Cache::builder(backend.clone()).build(),
            backend,
            owner: Owner::new("user", "u").unwrap(),
            key: EntryKey::new(["list"]).unwrap(),
        }
    }

    async fn read(&self) -> u64 {
        let load = || async { Ok::<_, BoxError>(entry(self.database.load(Ordering::SeqCst))) };
        version(&self.cache.get_or_load(&self.owner, &self.key, load).await.unwrap())
    }

    /// Starts a reader and waits until it has read the database and not yet stored its entry.
    async fn read_and_hold(&self) -> HeldReader {
        let loaded = Arc::new(Semaphore::new(0));
        let release = Arc::new(Semaphore::new(0));
        let (world, has_loaded, may_go_on) = (self.clone(), loaded.clone(), release.clone());
        let reader = tokio::spawn(async move {
            let load = || async {
                let number = world.database.load(Ordering::SeqCst);
                has_loaded.add_permits(1);
                may_go_on.acquire().await?.forget();
                Ok::<_, BoxError>(entry(number))
            };
            world.cache.get_or_load(&world.owner, &world.key, load).await.unwrap()
        });
        loaded.acquire().await.unwrap().forget();
        HeldReader { release, reader }
    }

    /// Changes the database and invalidates, and so may acknowledge.
    async fn write(&self) -> u64 {
        let number = self.database.fetch_add(1, Ordering::SeqCst) + 1;
        self.cache.invalidate(&self.owner).await.unwrap();
        number
    }
}

struct HeldReader {
    release: Arc<Semaphore>,
    reader: JoinHandle<Answer>,
}

impl HeldReader {
    async fn go_on(self) -> Answer {
        self.release.add_permits(1);
        self.reader.await.unwrap()
    }
}

fn entry(number: u64) -> Bytes {
    Bytes::from(number.to_string())
}

fn version(answer: &Answer) -> u64 {
    std::str::from_utf8(&answer.bytes).unwrap().parse().unwrap()
}

/// A reader loads, a writer changes and invalidates, the reader stores: what the next reader gets.
async fn read_after_late_fill(fixture: Arc<dyn Fixture>) -> u64 {
    let world = World::new(&*fixture);
    let reader = world.read_and_hold().await;
    world.write().await;
    let early = reader.go_on().await;
    assert_eq!(version(&early), 0, "the reader began before the change and may see the old state");
    world.read().await
}

#[tokio::test]
async fn entry_loaded_before_an_invalidation_is_not_stored_after_it() {
    assert_eq!(read_after_late_fill(MemoryFixture::empty(None)).await, 1, "memory");
    assert_eq!(read_after_late_fill(RedisFixture::empty(None).await).await, 1, "redis");
}

#[tokio::test]
async fn without_the_generation_check_the_same_steps_give_a_stale_entry() {
    for mutant in [Mutant::FillWithoutGenerationCheck, Mutant::SmembersThenDel] {
        let memory = MemoryFixture::empty(Some(mutant));
        assert_eq!(read_after_late_fill(memory).await, 0, "{mutant:?} in memory");
        let redis = RedisFixture::empty(Some(mutant)).await;
        assert_eq!(read_after_late_fill(redis).await, 0, "{mutant:?} on redis");
    }
}

/// Two writers overlap. An invalidation is one step, so it runs either before or after each step of the
/// other writer; one of two steps (list, delete) has a window between them.
#[tokio::test]
async fn overlapping_invalidations_leave_no_entry_behind() {
    for first_is_early in [true, false] {
        let fixture = RedisFixture::empty(None).await;
        let world = World::new(&*fixture);
        world.database.store(1, Ordering::SeqCst);
        if first_is_early {
            world.cache.invalidate(&world.owner).await.unwrap();
        }
        assert_eq!(world.read().await, 1, "a reader stores the first writer's state");
        world.database.store(2, Ordering::SeqCst);
        if !first_is_early {
            world.cache.invalidate(&world.owner).await.unwrap();
        }
        world.cache.invalidate(&world.owner).await.unwrap();
        assert_eq!(world.read().await, 2, "first invalidation early: {first_is_early}");
    }
}

#[tokio::test]
async fn invalidation_without_an_index_takes_effect() {
    for fixture in [MemoryFixture::empty(None), RedisFixture::empty(None).await] {
        let world = World::new(&*fixture);
        assert_eq!(world.read().await, 0);
        fixture.evict_index(&world.owner).await;
        assert_eq!(world.write().await, 1);
        assert_eq!(world.read().await, 1);
    }
}

/// A request for a generation is delivered again after that generation was invalidated.
#[tokio::test]
async fn generation_request_delivered_twice_revives_no_entry() {
    for fixture in [MemoryFixture::empty(None), RedisFixture::empty(None).await] {
        let world = World::new(&*fixture);
        let request = RandomHex::from_bits(4);
        let lifetimes = Lifetimes::of_entry(Duration::from_secs(60));
        world.backend.generation(&world.owner, &request, &lifetimes).await.unwrap();
        assert_eq!(world.read().await, 0, "stored under the generation of that request");
        fixture.evict_index(&world.owner).await;
        world.write().await;
        world.backend.generation(&world.owner, &request, &lifetimes).await.unwrap();
        assert_eq!(world.read().await, 1);
    }
}

/// The writer ends between its change and its invalidation; the event comes again, as a duplicate.
#[tokio::test]
async fn repeated_event_invalidates_again() {
    let fixture = RedisFixture::empty(None).await;
    let world = World::new(&*fixture);
    assert_eq!(world.read().await, 0);
    world.database.store(1, Ordering::SeqCst);
    drop(world.cache.invalidate(&world.owner)); // never polled: the process died here
    assert_eq!(world.read().await, 0, "not acknowledged yet, so the old state is allowed");
    world.cache.invalidate(&world.owner).await.unwrap();
    assert_eq!(world.read().await, 1);
}

/// A reader that starts after the invalidation does not join a load that began before it.
#[tokio::test]
async fn reader_does_not_join_a_load_from_before_an_invalidation() {
    for fixture in [MemoryFixture::empty(None), RedisFixture::empty(None).await] {
        let world = World::new(&*fixture);
        let early = world.read_and_hold().await;
        world.write().await;
        assert_eq!(world.read().await, 1, "the early load is still under way");
        let early = early.go_on().await;
        assert_eq!(early.source, Source::Loaded { stored: Stored::Refused, shared: false });
        assert_eq!(world.read().await, 1);
    }
}

/// A change before the load is loaded; a change after it refuses the fill.
#[tokio::test]
async fn load_begins_after_the_generation_is_obtained() {
    for fixture in [MemoryFixture::empty(None), RedisFixture::empty(None).await] {
        let world = World::new(&*fixture);
        let load = || async {
            let random_part = RandomHex::from_bits(11);
            let lifetimes = Lifetimes::of_entry(Duration::from_secs(60));
            let before = world.backend.generation(&world.owner, &random_part, &lifetimes).await?;
            let again = world
                .backend
                .generation(&world.owner, &RandomHex::from_bits(12), &lifetimes)
                .await?;
            assert_eq!(before, again);
            assert!(
                !String::from_utf8_lossy(before.as_bytes()).starts_with(random_part.as_str()),
                "the owner had a generation when the load began"
            );
            Ok::<_, BoxError>(entry(0))
        };
        let answer = world.cache.get_or_load(&world.owner, &world.key, load).await.unwrap();
        assert_eq!(answer.source, Source::Loaded { stored: Stored::Yes, shared: false });
    }
}

/// An invalidation touches no entry, however many there are; they are collected afterwards, in chunks.
#[tokio::test]
async fn invalidation_of_many_entries_touches_none_of_them() {
    const ENTRIES: u64 = 5_000;
    let fixture = RedisFixture::empty(None).await;
    let world = World::new(&*fixture);
    for number in 0..ENTRIES {
        let key = EntryKey::new(["list", &number.to_string()]).unwrap();
        let load = || async { Ok::<_, BoxError>(entry(0)) };
        let cache = Cache::builder(world.backend.clone()).entries_per_owner_max(100_000).build();
        cache.get_or_load(&world.owner, &key, load).await.unwrap();
    }
    let garbage_set = RandomHex::from_bits(24);
    let lifetimes = Lifetimes::of_entry(Duration::from_secs(60));
    let invalidated =
        world.backend.invalidate(&world.owner, &garbage_set, &lifetimes).await.unwrap();
    assert_eq!(invalidated.entries, ENTRIES);
    let mut collected = 0;
    let mut chunks = 0;
    loop {
        let chunk = world.backend.collect(&world.owner).await.unwrap();
        collected += chunk.entries;
        chunks += 1;
        if !chunk.more {
            break;
        }
    }
    assert_eq!(collected, ENTRIES, "all were still there after the invalidation");
    assert!(chunks >= ENTRIES / COLLECT_ENTRIES_MAX as u64, "in {chunks} chunks");
}
