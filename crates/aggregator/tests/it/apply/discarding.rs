//! More assessments than a batch holds until its registration: those that are never published are counted.

use std::sync::Arc;

use aggregator::apply::{Delivery, EventProcessor};
use aggregator::cache::CacheManager;
use aggregator::clock::SystemClock;
use aggregator::metrics::{Exposition, Metrics};
use database::{SqliteOptions, SqliteRepository};
use freshset::Cache;
use freshset::backend::memory::MemoryBackend;
use projection::{Event, HELD_ASSESSMENTS_MAX};
use testkit::log;
use tokio_util::sync::CancellationToken;

use crate::apply::facts::{assessed, batch_id, registered};

#[tokio::test]
async fn assessment_that_is_never_published_is_counted_and_logged_once() {
    log::record();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("results.sqlite3");
    let repository = SqliteRepository::open(path, SqliteOptions::default()).await.unwrap();
    let metrics = Metrics::new();
    let cache = CacheManager::new(Cache::builder(Arc::new(MemoryBackend::new())), metrics.clone());
    let clock = Arc::new(SystemClock::new());
    let processor = EventProcessor::new(Arc::new(repository), cache, metrics.clone(), clock);
    let process = async |events: Vec<Event>| {
        let group: Vec<_> = events.into_iter().map(Delivery::from).collect();
        processor.process(&group, &CancellationToken::new()).await.unwrap();
        let page = metrics.encode(Exposition::Text).unwrap();
        let mut lines = page.lines();
        let line = lines.find(|line| line.starts_with("ras_held_assessments_discarded_total"));
        line.unwrap().rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let early = |number| assessed(number, number, 1, &[1]);
    let held = HELD_ASSESSMENTS_MAX as u32;
    assert_eq!(process((0..held).map(early).collect()).await, 0);
    assert_eq!(process(vec![early(held), early(held)]).await, 1);
    assert_eq!(process(vec![early(held)]).await, 1, "a duplicate discards nothing");
    assert_eq!(process((held + 1..held + 3).map(early).collect()).await, 3);
    assert_eq!(process(vec![registered(99, 99, 1, &[1])]).await, 3);
    assert_eq!(process(vec![early(held + 3)]).await, 3, "nothing is held any more");

    let logged = log::take();
    let warned = logged.lines().filter(|line| line.contains("never published"));
    let warned: Vec<_> = warned.filter(|line| line.contains("\"WARN\"")).collect();
    assert_eq!(warned.len(), 1, "{logged}");
    assert!(!warned[0].contains(batch_id(1).as_str()), "{}", warned[0]);
}
