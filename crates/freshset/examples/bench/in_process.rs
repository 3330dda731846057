//! Hits inside the process, beside moka and quick_cache, which have no generations.

use std::fmt::Display;

use bytes::Bytes;
use freshset::Cache;
use freshset::backend::memory::MemoryBackend;

use crate::Result;
use crate::chart::Chart;
use crate::on_redis::{add_rows, hit};
use crate::report::Table;
use crate::rounds::{Subject, rates};

const BYTES: usize = 20_000;
const KEY: &str = "hit:20000-0:entry";

pub(crate) async fn hits(chart: &mut Chart) -> Result<impl Display> {
    let mut table = Table::new(["readers", "subject", "reads/s", "from – to", "× moka"]);
    let subjects =
        [moka().await, quick_cache(), hit("freshset", Cache::new(MemoryBackend::new()), BYTES, 1)?];
    for callers in [1, 8] {
        let rates = rates("hits in the process", &subjects, callers).await?;
        chart.group(&format!("In the process, readers: {callers}, times a moka get"), &rates);
        add_rows(&mut table, &callers.to_string(), &rates);
    }
    Ok(table)
}

async fn moka() -> Subject {
    let cache = moka::future::Cache::<String, Bytes>::new(10_000);
    cache.insert(KEY.to_owned(), Bytes::from(vec![b'x'; BYTES])).await;
    Subject::new("moka", move || {
        let cache = cache.clone();
        async move {
            std::hint::black_box(cache.get(KEY).await);
            Ok(())
        }
    })
}

fn quick_cache() -> Subject {
    let cache = std::sync::Arc::new(quick_cache::sync::Cache::<String, Bytes>::new(10_000));
    cache.insert(KEY.to_owned(), Bytes::from(vec![b'x'; BYTES]));
    Subject::new("quick_cache", move || {
        let cache = cache.clone();
        async move {
            std::hint::black_box(cache.get(KEY));
            Ok(())
        }
    })
}
