use crate::{conformance::Backend, events::*, postgres::Server, sqlite::File};
use aggregator::store::PageQuery;
use std::time::Instant;

async fn bulk<B: Backend>(name: &str, fill: &[&'static str]) {
    let b = B::empty().await;
    let store = b.open().await;
    let essays: Vec<_> = (0..10_000).map(|n| format!("essay-{n:032}")).collect();
    let ids: Vec<_> = essays.iter().map(String::as_str).collect();
    let t = Instant::now();
    apply(store.as_ref(), &[registered("b", "u", 1, &ids)]).await.unwrap();
    println!("{name} register 10000: {:?}", t.elapsed());
    let slots: Vec<_> = ids.iter().map(|essay| slot("b", essay, 2)).collect();
    let t = Instant::now();
    apply(store.as_ref(), &slots).await.unwrap();
    println!("{name} 10000 slots in one unit: {:?}", t.elapsed());
    let t = Instant::now();
    store.batch(&batch_id("b")).await.unwrap().unwrap();
    println!("{name} read batch of 10000: {:?}", t.elapsed());
    for f in fill {
        b.execute(f).await;
    }
    for n in 0..20 {
        let essays: Vec<_> = (0..25).map(|e| format!("essay-{n}-{e:032}")).collect();
        let ids: Vec<_> = essays.iter().map(String::as_str).collect();
        apply(store.as_ref(), &[registered(&format!("mine{n}"), "teacher", n, &ids)])
            .await
            .unwrap();
        for id in &ids {
            apply(store.as_ref(), &[slot(&format!("mine{n}"), id, n)]).await.unwrap();
        }
    }
    for (what, user, inc) in [
        ("full", "teacher", true),
        ("summary", "teacher", false),
        ("few", "u7", true),
        ("big", "ubig", true),
    ] {
        let q = PageQuery { limit: 20, include_essays: inc, ..whole_list(user) };
        for _ in 0..20 {
            let _ = store.user_page(&q).await;
        }
        let t = Instant::now();
        for _ in 0..200 {
            let _ = store.user_page(&q).await;
        }
        println!("{name} page {what}: {:?}", t.elapsed() / 200);
    }
    let t = Instant::now();
    for n in 0..500 {
        apply(store.as_ref(), &[registered(&format!("x{n}"), "v", n, &["e"])]).await.unwrap();
    }
    println!("{name} unit: {:?}", t.elapsed() / 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measure_sqlite() {
    bulk::<File>("sqlite", &[
        "insert into batches with recursive n(g) as (select 1 union all select g+1 from n where g < 100000) select 'b'||g, 'u'||(g % 20000), 'cancelled', g, '{}' from n",
        "insert into batches with recursive n(g) as (select 1 union all select g+1 from n where g < 20000) select 'big'||g, 'ubig', 'cancelled', g, '{}' from n",
        "insert into essays with recursive n(g) as (select 1 union all select g+1 from n where g < 500000) select 'e'||g, 'b'||(1+g % 100000), 1, '{}' from n",
    ]).await;
}
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measure_postgres() {
    bulk::<Server>("postgres", &[
        "insert into batches select 'b'||g, 'u'||(g % 20000), 'cancelled', to_timestamp(g), '{}' from generate_series(1,100000) g",
        "insert into batches select 'big'||g, 'ubig', 'cancelled', to_timestamp(g), '{}' from generate_series(1,20000) g",
        "insert into essays select 'e'||g, 'b'||(1+g % 100000), 1, '{}' from generate_series(1,500000) g",
        "vacuum analyze",
    ]).await;
}
