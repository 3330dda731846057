//! Events: what an observer is given, and what an absent one costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use freshset::backend::memory::MemoryBackend;
use freshset::observe::{Observer, Operation, ReadEvent};
use freshset::{BoxError, Cache, Clock, ENTRY_BYTES_MAX, EntryKey, LoadError, Owner};
use testkit::eventually;

use crate::observe::faults::{Observed, Recorder, TIMEOUT, key, load, owner};

const LOAD_TIME: Duration = Duration::from_millis(7);

#[tokio::test]
async fn load_fill_and_reads_are_given_with_their_durations() {
    let observed = Observed::new();
    let slow_load = || async {
        observed.clock.advance(LOAD_TIME);
        load().await
    };
    observed.cache.get_or_load(&owner(), &key(), slow_load).await.unwrap();
    assert_eq!(
        observed.recorder.take(),
        [
            "load lists user failed=false 7ms",
            "fill lists user Yes 3 bytes 0ns",
            "read lists user loaded 7ms",
        ]
    );
    observed.read().await;
    assert_eq!(observed.recorder.take(), ["read lists user hit 0ns"]);
}

#[tokio::test]
async fn read_without_load_is_given_with_its_outcome() {
    let observed = Observed::new();
    assert_eq!(observed.cache.get(&owner(), &key()).await, None);
    observed.read().await;
    observed.cache.get(&owner(), &key()).await.unwrap();
    observed.backend.fail(Operation::Read);
    assert_eq!(observed.cache.get(&owner(), &key()).await, None);
    let reads: Vec<_> = observed.recorder.take();
    let reads: Vec<_> = reads.iter().filter(|line| line.starts_with("read")).collect();
    assert_eq!(
        reads,
        [
            "read lists user absent 0ns",
            "read lists user loaded 0ns",
            "read lists user hit 0ns",
            "read lists user bypass 0ns",
        ]
    );
}

#[tokio::test]
async fn failed_load_is_given() {
    let observed = Observed::new();
    let load = || async { Err::<Bytes, BoxError>("no database".into()) };
    observed.cache.get_or_load(&owner(), &key(), load).await.unwrap_err();
    assert_eq!(
        observed.recorder.take(),
        ["load lists user failed=true 0ns", "read lists user failed 0ns"]
    );
    let (cache, owner, key) = (&observed.cache, owner(), key());
    let load = || async {
        let inner = cache.get_or_load(&owner, &key, load).await;
        assert!(matches!(inner, Err(LoadError::Recursive)));
        load().await
    };
    cache.get_or_load(&owner, &key, load).await.unwrap_err();
    assert_eq!(observed.recorder.take()[0], "read lists user failed 0ns", "its own entry");
}

#[tokio::test]
async fn shared_load_is_given_once_and_each_read_with_its_source() {
    let observed = Observed::new();
    let (owner, key) = (owner(), key());
    let slow_load = || async {
        tokio::task::yield_now().await;
        load().await
    };
    let read = || observed.cache.get_or_load(&owner, &key, slow_load);
    let (one, two) = tokio::join!(read(), read());
    assert_eq!(one.unwrap().bytes, two.unwrap().bytes);
    let count = |start| observed.recorder.count(start);
    assert_eq!(count("load "), 1);
    assert_eq!((count("read lists user loaded"), count("read lists user shared")), (1, 1));
}

#[tokio::test]
async fn refused_fill_is_given() {
    let observed = Observed::new();
    let load = || async {
        observed.cache.invalidate(&owner()).await?;
        load().await
    };
    observed.cache.get_or_load(&owner(), &key(), load).await.unwrap();
    assert_eq!(
        observed.recorder.take(),
        [
            "invalidation lists user 0 entries, 0 unconfirmed, 0ns",
            "load lists user failed=false 0ns",
            "fill lists user Refused 3 bytes 0ns",
            "read lists user loaded 0ns",
        ]
    );
}

#[tokio::test]
async fn fill_that_stores_nothing_is_given_with_its_reason() {
    let observed = Observed::with(|builder| builder.entries_per_owner_max(1));
    let large = || async { Ok::<_, BoxError>(Bytes::from(vec![0; ENTRY_BYTES_MAX + 1])) };
    observed.cache.get_or_load(&owner(), &key(), large).await.unwrap();
    observed.backend.fail(Operation::Fill);
    observed.read().await;
    observed.backend.repair();
    observed.read().await;
    let other = EntryKey::new(["other"]).unwrap();
    observed.cache.get_or_load(&owner(), &other, load).await.unwrap();
    let lines = observed.recorder.take();
    let fills: Vec<_> = lines.iter().filter(|line| !line.starts_with("load")).collect();
    assert_eq!(
        fills,
        [
            "fill lists user TooLarge 8388609 bytes 0ns",
            "read lists user loaded 0ns",
            "error lists fill no answer from test within 50 ms",
            "fill lists user Failed 3 bytes 0ns",
            "read lists user loaded 0ns",
            "fill lists user Yes 3 bytes 0ns",
            "read lists user loaded 0ns",
            "fill lists user Full 3 bytes 0ns",
            "read lists user loaded 0ns",
        ]
    );
}

#[tokio::test]
async fn failed_read_is_given_with_its_error() {
    let observed = Observed::new();
    observed.backend.fail(Operation::Read);
    observed.read().await;
    assert_eq!(
        observed.recorder.take(),
        [
            "error lists read no answer from test within 50 ms",
            "load lists user failed=false 0ns",
            "read lists user bypass 0ns",
        ]
    );
}

#[tokio::test]
async fn failed_removal_and_maintenance_are_given() {
    let observed = Observed::new();
    observed.read().await;
    observed.backend.fail(Operation::Remove);
    observed.cache.remove(&owner(), &key()).await.unwrap_err();
    assert!(observed.recorder.has("error lists remove "));
    observed.backend.fail(Operation::Maintain);
    observed.cache.invalidate(&owner()).await.unwrap();
    eventually(TIMEOUT, "a failed collection", async || {
        observed.recorder.has("error lists maintain ")
    })
    .await;
}

#[tokio::test]
async fn invalidation_and_its_repetition_are_given() {
    let observed = Observed::new();
    observed.read().await;
    observed.cache.invalidate(&owner()).await.unwrap();
    assert!(observed.recorder.has("invalidation lists user 1 entries, 0 unconfirmed, 0ns"));
    observed.recorder.take();

    observed.backend.fail(Operation::Invalidate);
    observed.cache.invalidate(&owner()).await.unwrap_err();
    let failed = "lists user no answer from test within 50 ms, 1 unconfirmed, 0ns";
    assert!(observed.recorder.has("error lists invalidate "));
    assert!(observed.recorder.has(&format!("invalidation {failed}")));
    eventually(TIMEOUT, "a failed repetition", async || {
        observed.recorder.has(&format!("repetition {failed}"))
    })
    .await;
    observed.backend.repair();
    eventually(TIMEOUT, "a confirmed repetition", async || {
        observed.recorder.has("repetition lists user 0 entries, 0 unconfirmed, 0ns")
    })
    .await;
}

#[tokio::test]
async fn each_of_several_observers_is_given_every_event() {
    let recorders: Vec<Arc<Recorder>> = (0..3).map(|_| Arc::default()).collect();
    let observed = Observed::with(|builder| {
        builder.observer(recorders[0].clone()).observer(recorders[1..].to_vec())
    });
    observed.read().await;
    observed.cache.invalidate(&owner()).await.unwrap();
    observed.backend.fail(Operation::Read);
    observed.read().await;
    let expected = observed.recorder.take();
    assert_eq!(expected.len(), 7, "{expected:?}");
    for recorder in recorders {
        assert_eq!(recorder.take(), expected);
    }
}

/// Counts how often it is read.
#[derive(Debug, Default)]
struct CountingClock(AtomicUsize);

impl Clock for CountingClock {
    fn now(&self) -> Duration {
        self.0.fetch_add(1, Ordering::SeqCst);
        Duration::ZERO
    }
}

#[derive(Debug)]
struct Blind;

impl Observer for Blind {}

#[tokio::test]
async fn without_an_observer_nothing_is_measured() {
    let readings = async |observed: bool| {
        let clock = Arc::new(CountingClock::default());
        let builder = Cache::builder(MemoryBackend::new()).clock(clock.clone());
        let builder = if observed { builder.observer(Blind) } else { builder };
        let cache = builder.build();
        cache.get_or_load(&owner(), &key(), load).await.unwrap();
        let before = clock.0.load(Ordering::SeqCst);
        cache.get_or_load(&owner(), &key(), load).await.unwrap();
        cache.invalidate(&owner()).await.unwrap();
        clock.0.load(Ordering::SeqCst) - before
    };
    let (without, with) = (readings(false).await, readings(true).await);
    assert_eq!(with - without, 4, "begin and end of a hit and of an invalidation");
}

#[tokio::test]
async fn cache_without_a_name_is_called_default() {
    #[derive(Debug)]
    struct Names;
    impl Observer for Names {
        fn on_read(&self, event: &ReadEvent<'_>) {
            assert_eq!((event.cache, event.owner_kind), ("default", "shop"));
        }
    }
    let cache = Cache::builder(MemoryBackend::new()).observer(Names).build();
    cache.get_or_load(&Owner::new("shop", "s").unwrap(), &key(), load).await.unwrap();
}
