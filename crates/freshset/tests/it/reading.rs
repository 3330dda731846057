//! Reads through the cache: hits, shared loads, errors, a new leader, limits, broken bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use freshset::backend::memory::MemoryBackend;
use freshset::testing::ManualClock;
use freshset::{
    Answer, BoxError, Cache, ENTRY_BYTES_MAX, EntryKey, LoadError, Owner, Source, Stored,
};
use tokio::sync::Semaphore;

use crate::fixtures::{connect, redis, redis_backend};

const STORED: Source = Source::Loaded { stored: Stored::Yes, shared: false };

fn cache() -> Cache {
    Cache::builder(Arc::new(MemoryBackend::new())).build()
}

fn owner() -> Owner {
    Owner::new("user", "u").unwrap()
}

fn key(name: &str) -> EntryKey {
    EntryKey::new([name]).unwrap()
}

async fn read(cache: &Cache, name: &str, body: &'static str) -> Answer {
    let load = || async { Ok::<_, BoxError>(Bytes::from(body)) };
    cache.get_or_load(&owner(), &key(name), load).await.unwrap()
}

#[tokio::test]
async fn second_read_hits_until_an_invalidation() {
    let (backend, _) = redis_backend().await;
    for cache in [cache(), Cache::builder(Arc::new(backend)).build()] {
        assert_eq!(read(&cache, "a", "one").await.source, STORED);
        let hit = read(&cache, "a", "two").await;
        assert_eq!((hit.source, &hit.bytes[..]), (Source::Hit, &b"one"[..]));
        assert_eq!(cache.invalidate(&owner()).await.unwrap().entries, 1);
        let fresh = read(&cache, "a", "two").await;
        assert_eq!((fresh.source, &fresh.bytes[..]), (STORED, &b"two"[..]));
    }
}

#[tokio::test]
async fn thousand_concurrent_readers_cause_one_load() {
    let cache = cache();
    let loads = Arc::new(AtomicU32::new(0));
    let go = Arc::new(Semaphore::new(0));
    let readers: Vec<_> = (0..1000)
        .map(|_| {
            let (cache, loads, go) = (cache.clone(), loads.clone(), go.clone());
            tokio::spawn(async move {
                let load = || async {
                    loads.fetch_add(1, Ordering::SeqCst);
                    go.acquire().await?.forget();
                    Ok::<_, BoxError>(Bytes::from("entry"))
                };
                cache.get_or_load(&owner(), &key("a"), load).await.unwrap()
            })
        })
        .collect();
    go.add_permits(1);
    let mut shared = 0;
    for reader in readers {
        let answer = reader.await.unwrap();
        assert_eq!(&answer.bytes[..], b"entry");
        shared += u32::from(answer.source != STORED);
    }
    assert_eq!((loads.load(Ordering::SeqCst), shared), (1, 999));
}

#[derive(Debug, thiserror::Error)]
#[error("database unavailable")]
struct DatabaseUnavailable;

#[tokio::test]
async fn load_error_reaches_every_waiter_and_nothing_is_stored() {
    let cache = cache();
    let go = Arc::new(Semaphore::new(0));
    let waiting = Arc::new(AtomicU32::new(0));
    let readers: Vec<_> = (0..10)
        .map(|_| {
            let (cache, go, waiting) = (cache.clone(), go.clone(), waiting.clone());
            tokio::spawn(async move {
                waiting.fetch_add(1, Ordering::SeqCst);
                let load = || async {
                    go.acquire().await.unwrap().forget();
                    Err::<Bytes, _>(DatabaseUnavailable)
                };
                cache.get_or_load(&owner(), &key("a"), load).await
            })
        })
        .collect();
    while waiting.load(Ordering::SeqCst) < 10 {
        tokio::task::yield_now().await;
    }
    go.add_permits(10);
    for reader in readers {
        let error: LoadError<DatabaseUnavailable> = reader.await.unwrap().unwrap_err();
        assert!(matches!(error, LoadError::Loader(_)), "{error:?}");
    }
    assert_eq!(read(&cache, "a", "entry").await.source, STORED, "nothing was stored");
}

#[tokio::test]
async fn cancelled_or_panicking_leader_is_replaced_by_a_waiter() {
    let cache = cache();
    let leads = Arc::new(Semaphore::new(0));
    let leader = |panics: bool| {
        let (cache, leads, panics_now) =
            (cache.clone(), leads.clone(), Arc::new(Semaphore::new(0)));
        let wait = panics_now.clone();
        let task = tokio::spawn(async move {
            let load = || async {
                leads.add_permits(1);
                wait.acquire().await?.forget();
                assert!(!panics, "planted");
                Ok::<_, BoxError>(Bytes::from("unused"))
            };
            cache.get_or_load(&owner(), &key("a"), load).await
        });
        (task, panics_now)
    };
    let (cancelled, _held) = leader(false);
    leads.acquire().await.unwrap().forget();
    let (panicking, panic_now) = leader(true);
    let follower = {
        let cache = cache.clone();
        tokio::spawn(async move { read(&cache, "a", "entry").await })
    };
    cancelled.abort();
    panic_now.add_permits(1);
    assert_eq!(&follower.await.unwrap().bytes[..], b"entry");
    let _ = panicking.await;
}

#[tokio::test]
async fn entries_beyond_count_or_size_limit_are_answered_and_not_stored() {
    let backend = Arc::new(MemoryBackend::new());
    let cache = Cache::builder(backend).entries_per_owner_max(1).build();
    assert_eq!(read(&cache, "a", "entry").await.source, STORED);
    let full = Source::Loaded { stored: Stored::Full, shared: false };
    assert_eq!(read(&cache, "b", "entry").await.source, full);
    assert_eq!(read(&cache, "b", "entry").await.source, full);
    assert_eq!(read(&cache, "a", "entry").await.source, Source::Hit);

    let load = || async { Ok::<_, BoxError>(Bytes::from(vec![0; ENTRY_BYTES_MAX + 1])) };
    let answer = cache.get_or_load(&owner(), &key("c"), load).await.unwrap();
    assert_eq!(answer.source, Source::Loaded { stored: Stored::TooLarge, shared: false });
}

#[tokio::test]
async fn entry_expires_at_its_ttl_whatever_the_jitter() {
    let clock = Arc::new(ManualClock::default());
    let backend = Arc::new(MemoryBackend::with(1 << 20, clock.clone()));
    let ttl = Duration::from_secs(10);
    let cache = Cache::builder(backend).entry_ttl(ttl).jitter_percent(50).build();
    read(&cache, "a", "entry").await;
    clock.advance(ttl / 2 - Duration::from_millis(1));
    assert_eq!(read(&cache, "a", "entry").await.source, Source::Hit, "jitter cuts half at most");
    clock.advance(ttl / 2 + Duration::from_millis(1));
    assert_eq!(read(&cache, "a", "entry").await.source, STORED, "jitter never lengthens");
}

/// Bytes under the right key with the right stamp that are still not this entry.
#[tokio::test]
async fn bytes_of_another_entry_or_schema_are_a_miss() {
    let (backend, namespace) = redis_backend().await;
    let backend = Arc::new(backend);
    let cache = Cache::builder(backend.clone()).schema_version(1).build();
    read(&cache, "a", "entry a").await;
    read(&cache, "b", "entry b").await;

    let mut admin = connect(&redis().await.admin_url()).await;
    let stored_under = |name: &str| format!("{}:e:{{user:u}}:{name}", namespace.as_str());
    let copied: u32 = redis::cmd("COPY")
        .arg(stored_under("a"))
        .arg(stored_under("b"))
        .arg("REPLACE")
        .query_async(&mut admin)
        .await
        .unwrap();
    assert_eq!(copied, 1);
    assert_eq!(read(&cache, "b", "fresh").await.source, STORED, "another entry's bytes");
    let _: String = redis::cmd("SET")
        .arg(stored_under("b"))
        .arg(b"short".as_slice())
        .arg("KEEPTTL")
        .query_async(&mut admin)
        .await
        .unwrap();
    assert_eq!(read(&cache, "b", "fresh").await.source, STORED, "too short for a stamp");

    let newer = Cache::builder(backend).schema_version(2).build();
    assert_eq!(read(&newer, "a", "entry").await.source, STORED, "another schema");
}

/// What a broken server, a full disk or another program may leave behind.
#[tokio::test]
async fn truncated_lengthened_or_altered_entry_is_a_miss() {
    let (backend, namespace) = redis_backend().await;
    let cache = Cache::builder(Arc::new(backend)).build();
    let mut admin = connect(&redis().await.admin_url()).await;
    let name = format!("{}:e:{{user:u}}:a", namespace.as_str());
    assert_eq!(read(&cache, "a", "entry").await.source, STORED);
    let whole: Vec<u8> = redis::cmd("GET").arg(&name).query_async(&mut admin).await.unwrap();
    let mut altered = whole.clone();
    *altered.last_mut().unwrap() ^= 1;
    let lengthened = [&whole[..], b"e"].concat();
    let cut = [0, 48, 60, whole.len() - 1].map(|bytes| whole[..bytes].to_vec());
    for broken in cut.into_iter().chain([altered, lengthened]) {
        let overwrite = redis::cmd("SET").arg(&name).arg(&broken).arg("KEEPTTL").take();
        let _: () = overwrite.query_async(&mut admin).await.unwrap();
        let answer = read(&cache, "a", "entry").await;
        assert_eq!((answer.source, &answer.bytes[..]), (STORED, &b"entry"[..]), "{broken:?}");
        assert_eq!(read(&cache, "a", "entry").await.source, Source::Hit, "after {broken:?}");
    }
}

#[tokio::test]
async fn typed_values_round_trip_and_other_json_is_a_miss() {
    let cache = cache();
    let numbers = cache.typed::<Vec<u32>>();
    let load = || async { Ok::<_, BoxError>(vec![1, 2]) };
    let (first, source) = numbers.get_or_load(&owner(), &key("a"), load).await.unwrap();
    assert_eq!((first, source), (vec![1, 2], STORED));
    let (hit, source) = numbers.get_or_load(&owner(), &key("a"), load).await.unwrap();
    assert_eq!((hit, source), (vec![1, 2], Source::Hit));

    let text = cache.typed::<String>();
    let load = || async { Ok::<_, BoxError>("one".to_owned()) };
    let (value, source) = text.get_or_load(&owner(), &key("a"), load).await.unwrap();
    assert_eq!((value.as_str(), source), ("one", STORED));
}

#[tokio::test]
async fn absent_typed_value_lives_for_the_absent_ttl() {
    let clock = Arc::new(ManualClock::default());
    let cache = Cache::builder(MemoryBackend::with(1 << 20, clock.clone()))
        .entry_ttl(Duration::from_secs(60))
        .absent_ttl(Duration::from_secs(5))
        .jitter_percent(0)
        .build();
    let titles = cache.typed::<String>();
    let (owner, key) = (owner(), key("a"));
    let absent = || async { Ok::<Option<String>, BoxError>(None) };
    let created = || async { Ok::<_, BoxError>(Some("one".to_owned())) };
    let first = titles.get_or_load_optional(&owner, &key, absent).await.unwrap();
    assert_eq!(first, (None, STORED));
    let hit = titles.get_or_load_optional(&owner, &key, created).await.unwrap();
    assert_eq!(hit, (None, Source::Hit));

    clock.advance(Duration::from_secs(5));
    let value = titles.get_or_load_optional(&owner, &key, created).await.unwrap();
    assert_eq!(value, (Some("one".to_owned()), STORED));
    clock.advance(Duration::from_secs(5));
    let hit = titles.get_or_load_optional(&owner, &key, absent).await.unwrap();
    assert_eq!(hit, (Some("one".to_owned()), Source::Hit), "not the absent TTL");
    assert_eq!(titles.get(&owner, &key).await.as_deref(), Some("one"));
}
