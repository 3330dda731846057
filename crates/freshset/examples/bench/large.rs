//! Small hits while another reader of the process reads large entries.

use std::fmt::Display;
use std::time::Duration;

use bytes::Bytes;
use freshset::{BoxError, Cache, Clock as _, EntryKey, Near, Owner, SystemClock};
use tokio::task::JoinHandle;

use crate::Result;
use crate::on_redis::Server;
use crate::report::{Table, progress, ratio, time};

const LARGE_BYTES: usize = 8_000_000;
const SMALL_BYTES: usize = 200;
/// Small hits whose mean is taken; the median hides those that wait.
const HITS: u32 = 2_000;

pub(crate) async fn measure(server: &Server) -> Result<impl Display> {
    let mut table = Table::new(["small hits", "alone", "beside 8 MB reads", "times"]);
    let caches = [
        ("one connection", Cache::new(server.backend(1)?)),
        ("four connections", Cache::new(server.backend(4)?)),
        (
            "validated near copies",
            Cache::builder(server.backend(1)?).near(Near::validated(64 << 20)).build(),
        ),
    ];
    for (name, cache) in caches {
        progress(&format!("small hits beside large ones, {name}"));
        let alone = small_hits(&cache).await?;
        let large = read_large_entries(cache.clone())?;
        read(&cache, "large", LARGE_BYTES).await?;
        let beside = small_hits(&cache).await?;
        large.abort();
        table.row([name.to_owned(), time(alone), time(beside), ratio(beside, alone)]);
    }
    Ok(table)
}

async fn small_hits(cache: &Cache) -> Result<Duration> {
    let clock = SystemClock::default();
    read(cache, "small", SMALL_BYTES).await?;
    let began = clock.now();
    for _ in 0..HITS {
        read(cache, "small", SMALL_BYTES).await?;
    }
    Ok((clock.now() - began) / HITS)
}

fn read_large_entries(cache: Cache) -> Result<JoinHandle<()>> {
    Ok(tokio::spawn(async move { while read(&cache, "large", LARGE_BYTES).await.is_ok() {} }))
}

async fn read(cache: &Cache, name: &str, bytes: usize) -> Result<()> {
    let owner = Owner::new("large", name)?;
    let key = EntryKey::new([name])?;
    let load = || async { Ok::<_, BoxError>(Bytes::from(vec![b'x'; bytes])) };
    cache.get_or_load(&owner, &key, load).await?;
    Ok(())
}
