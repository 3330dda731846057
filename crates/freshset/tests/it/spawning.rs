//! Every call can be made in a spawned task, with arguments that the task owns.

use std::time::Duration;

use bytes::Bytes;
use freshset::backend::memory::MemoryBackend;
use freshset::{BoxError, Cache, EntryKey, Owner, Owners};

#[tokio::test]
async fn every_call_can_be_spawned() {
    let cache = Cache::new(MemoryBackend::new());
    let owners = vec![Owner::new("team", "t").unwrap(), Owner::new("project", "p").unwrap()];
    let key = EntryKey::of("entry").unwrap();
    let task = async move {
        let load = || async { Ok::<_, BoxError>(Bytes::from("body")) };
        let both = Owners::of(&owners[0]).and_all(&owners);
        cache.get_or_load(&both, &key, load).await?;
        cache.entry(&both, &key).get_or_load_if(|_| true, load).await?;
        let some = || async { Ok::<_, BoxError>(Some(Bytes::from("body"))) };
        cache.entry(&both, &key).get_or_load_optional(some).await?;
        let find = async |dependencies: freshset::Dependencies| {
            dependencies.depend_on(&owners[1]).await;
            Ok::<_, BoxError>(Bytes::from("body"))
        };
        cache.entry(&owners[0], &key).get_or_load_with(find).await?;
        cache.get(&both, &key).await;
        let names = cache.typed::<Vec<String>>();
        names.get_or_load(&both, &key, || async { Ok::<_, BoxError>(Vec::new()) }).await?;
        let request = |cache| Cache::entry(cache, &both, &key);
        names.get_or_load_as(request, async |_| Ok::<_, BoxError>(Vec::new())).await?;
        cache.invalidate(&owners[0]).await?;
        let results = cache.invalidate_all(&owners).await;
        let results_of_some = cache.invalidate_all([&owners[0]]).await;
        cache.remove(&owners[0], &key).await?;
        cache.close(Duration::ZERO).await?;
        Ok::<_, BoxError>(results.len() + results_of_some.len())
    };
    assert_eq!(tokio::spawn(task).await.unwrap().unwrap(), 3);
}
