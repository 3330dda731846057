//! Three sequences of steps after which a naive cache is stale, and what the library answers after the
//! same steps. Nothing fails in them.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use freshset::{BoxError, Cache, EntryKey, Owner};
use tokio::sync::Semaphore;

use crate::Result;
use crate::naive::Naive;
use crate::report::{Table, progress};
use crate::server::{Server, index_key};

const ENTRY: &str = "entry";

pub(crate) async fn measure(server: &Server) -> Result<impl Display> {
    progress("three sequences of steps");
    let mut table = Table::new(["steps", "acknowledged", "naive answers", "freshset answers"]);
    let mut row = |steps: &str, acknowledged: u64, naive: u64, fresh: u64| {
        let answer = |version: u64| match version == acknowledged {
            true => format!("{version}"),
            false => format!("{version}, stale"),
        };
        table.row([steps.to_owned(), acknowledged.to_string(), answer(naive), answer(fresh)]);
    };

    let naive = late_fill_naive(&Naive::new(server, "late-fill")).await?;
    let fresh = late_fill(&World::new(server, "late-fill")?).await?;
    row(
        "a reader loads 0; a writer commits 1 and invalidates; the reader stores 0",
        1,
        naive,
        fresh,
    );

    let naive = overlap_naive(&Naive::new(server, "overlap")).await?;
    let early = overlap(&World::new(server, "overlap-early")?, true).await?;
    let late = overlap(&World::new(server, "overlap-late")?, false).await?;
    row(
        "writer 1 lists; a reader stores 1; writer 2 commits 2; writer 1 deletes; writer 2 invalidates",
        2,
        naive,
        early.min(late),
    );

    let naive = lost_index_naive(&Naive::new(server, "lost-index")).await?;
    let fresh = lost_index(server, &World::new(server, "lost-index")?).await?;
    row(
        "a reader stores 0; the index is evicted; a writer commits 1 and invalidates",
        1,
        naive,
        fresh,
    );
    Ok(table)
}

async fn late_fill_naive(naive: &Naive) -> Result<u64> {
    let loaded = 0;
    naive.invalidate().await?;
    naive.fill(ENTRY, loaded).await?;
    Ok(naive.get(ENTRY).await?.unwrap_or(1))
}

async fn late_fill(world: &World) -> Result<u64> {
    let loaded = Arc::new(Semaphore::new(0));
    let go_on = Arc::new(Semaphore::new(0));
    let reader = tokio::spawn({
        let (world, loaded, go_on) = (world.clone(), loaded.clone(), go_on.clone());
        async move {
            let load = || async {
                let entry = world.entry();
                loaded.add_permits(1);
                go_on.acquire().await?.forget();
                Ok::<_, BoxError>(entry)
            };
            world.cache.get_or_load(&world.owner, &world.key, load).await
        }
    });
    loaded.acquire().await?.forget();
    world.commit(1);
    world.cache.invalidate(&world.owner).await?;
    go_on.add_permits(1);
    reader.await??;
    world.read().await
}

async fn overlap_naive(naive: &Naive) -> Result<u64> {
    let members = naive.members().await?;
    naive.fill(ENTRY, 1).await?;
    naive.delete(&members).await?;
    naive.invalidate().await?;
    Ok(naive.get(ENTRY).await?.unwrap_or(2))
}

/// The library invalidates in one step: that of the first writer is either before the reader or after.
async fn overlap(world: &World, first_is_early: bool) -> Result<u64> {
    world.commit(1);
    if first_is_early {
        world.cache.invalidate(&world.owner).await?;
    }
    world.read().await?;
    world.commit(2);
    if !first_is_early {
        world.cache.invalidate(&world.owner).await?;
    }
    world.cache.invalidate(&world.owner).await?;
    world.read().await
}

async fn lost_index_naive(naive: &Naive) -> Result<u64> {
    naive.fill(ENTRY, 0).await?;
    naive.delete(&[]).await?; // Only the index, as an eviction would.
    naive.invalidate().await?;
    Ok(naive.get(ENTRY).await?.unwrap_or(1))
}

async fn lost_index(server: &Server, world: &World) -> Result<u64> {
    world.read().await?;
    let _: u64 = server.ask(&["DEL", &index_key(&world.owner)]).await?;
    world.commit(1);
    world.cache.invalidate(&world.owner).await?;
    world.read().await
}

/// A database of one number, and a cache of it.
#[derive(Clone)]
struct World {
    database: Arc<AtomicU64>,
    cache: Cache,
    owner: Owner,
    key: EntryKey,
}

impl World {
    fn new(server: &Server, owner: &str) -> Result<Self> {
        Ok(Self {
            database: Arc::default(),
            cache: server.cache()?,
            owner: Owner::new("trace", owner)?,
            key: EntryKey::new([ENTRY])?,
        })
    }

    fn commit(&self, version: u64) {
        self.database.store(version, Ordering::SeqCst);
    }

    fn entry(&self) -> Bytes {
        Bytes::from(self.database.load(Ordering::SeqCst).to_string())
    }

    async fn read(&self) -> Result<u64> {
        let load = || async { Ok::<_, BoxError>(self.entry()) };
        let answer = self.cache.get_or_load(&self.owner, &self.key, load).await?;
        Ok(std::str::from_utf8(&answer.bytes)?.parse()?)
    }
}
