//! Which entries of an owner an operator sees: those that a reader could be given now.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshset::testing::conformance::Fixture;
use freshset::{BoxError, Cache, EntryKey, Owner, Owners};

use crate::fixtures::{MemoryFixture, RedisFixture};
use crate::servers;

async fn store(cache: &Cache, owners: impl Into<Owners>, name: &str) {
    let load = || async { Ok::<_, BoxError>(Bytes::from(name.to_owned())) };
    cache.get_or_load(owners, &EntryKey::of(name).unwrap(), load).await.unwrap();
}

async fn only_readable_entries_are_listed(fixture: Arc<dyn Fixture>) {
    let cache = Cache::new(fixture.backend());
    let [team, project, other] =
        ["team", "project", "other"].map(|id| Owner::new("unit", id).unwrap());
    store(&cache, &other, "of another owner").await;
    store(&cache, &team, "plain").await;
    store(&cache, Owners::of(&team).and(&project), "of two").await;
    let listed_payloads = async |entries_max| {
        let listed = cache.entries(&team, entries_max, Option::unwrap).await.unwrap();
        let payloads = listed.entries.iter().map(|entry| entry.value.clone());
        (listed.members, payloads.collect::<Vec<_>>())
    };
    assert_eq!(listed_payloads(10).await, (2, vec!["of two".into(), "plain".into()]));
    assert_eq!(listed_payloads(1).await.1.len(), 1, "as many as asked for");
    let listed = cache.entries(&team, 10, drop).await.unwrap();
    let remaining = listed.entries[0].remaining.unwrap();
    assert!(remaining > Duration::ZERO && remaining <= Duration::from_secs(600), "{remaining:?}");

    cache.invalidate(&project).await.unwrap();
    assert_eq!(listed_payloads(10).await, (2, vec!["plain".into()]), "in the index, not readable");
    cache.invalidate(&team).await.unwrap();
    assert_eq!(listed_payloads(10).await, (0, Vec::new()));
}

#[tokio::test]
async fn only_readable_entries_are_listed_in_memory() {
    only_readable_entries_are_listed(MemoryFixture::empty(None)).await;
}

#[tokio::test]
async fn only_readable_entries_are_listed_on_redis() {
    only_readable_entries_are_listed(RedisFixture::empty(None).await).await;
}

#[tokio::test]
async fn only_readable_entries_are_listed_on_cluster() {
    only_readable_entries_are_listed(servers::cluster(None).await).await;
}
