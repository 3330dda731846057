//! Answers come from the cache until their owner is invalidated, and have the headers of client caches.

use std::sync::Arc;

use axum::http::Method;
use projection::{BatchId, StatusValues, UserId};

use crate::http::app::{Answer, App, with_method};
use crate::http::fakes::Mood;

const LIST: &str = "/internal/v1/batches/user/teacher";
const STATUS: &str = "/internal/v1/batches/batch/status";

const HIT: &str = "freshset; hit";
const STORED: &str = "freshset; fwd=miss; stored";

fn app() -> App {
    let app = App::new();
    app.repository.register("batch", "teacher", 2);
    app
}

#[tokio::test]
async fn second_read_is_a_hit_until_the_owner_is_invalidated() {
    let app = app();
    for (path, id) in [(LIST, "teacher"), (STATUS, "batch")] {
        let asked = || app.repository.asked().iter().filter(|asked| *asked == id).count();
        let first = app.get(path).await;
        assert_eq!(first.cache_status(), STORED);
        let second = app.get(path).await;
        assert_eq!(second.cache_status(), HIT);
        assert_eq!(asked(), 1);
        assert_eq!(first.body, second.body);
        assert_eq!(first.header("etag"), second.header("etag"));

        let dropped = match id {
            "teacher" => app.cache.invalidate_user_batches(&UserId::parse(id).unwrap()).await,
            _ => app.cache.invalidate_batch_status(&BatchId::parse(id).unwrap()).await,
        };
        assert_eq!(dropped.unwrap().entries, 1);
        let third = app.get(path).await;
        assert_eq!(third.cache_status(), STORED);
        assert_eq!(asked(), 2);
        assert_eq!(third.header("etag"), first.header("etag"), "nothing changed");
    }
}

/// RFC 9875: a list of one string, on every answer that has `Cache-Status`.
#[tokio::test]
async fn answers_name_their_owner_as_cache_group() {
    let app = app();
    for (path, group) in [
        (LIST, "\"user:teacher\""),
        ("/internal/v1/batches/user/teacher?limit=1&include=summary", "\"user:teacher\""),
        (STATUS, "\"batch:batch\""),
        ("/internal/v1/batches/user/%22%5C%C3%BC%3A", "\"user:%22%5C%C3%BC%3A\""),
    ] {
        let loaded = app.get(path).await;
        assert_eq!(loaded.header("cache-groups"), group, "{path}");
        let not_modified = app.get_with(path, "if-none-match", loaded.header("etag")).await;
        assert_eq!(not_modified.status, 304);
        assert_eq!(not_modified.header("cache-groups"), group, "{path}");
    }
    let unknown = app.get("/internal/v1/batches/nobody/status").await;
    assert_eq!(unknown.headers.get("cache-groups"), None, "a problem is in no cache");
}

#[tokio::test]
async fn change_is_visible_after_the_invalidation_with_a_new_tag() {
    let app = app();
    let before = app.get(LIST).await;
    app.repository.register("second", "teacher", 0);
    app.cache.invalidate_user_batches(&UserId::parse("teacher").unwrap()).await.unwrap();
    let after = app.get(LIST).await;
    assert_eq!(after.json()["pagination"]["total"], 2);
    assert_ne!(before.header("etag"), after.header("etag"));
}

#[tokio::test]
async fn two_spellings_of_a_query_share_an_entry_and_two_queries_do_not() {
    let app = app();
    let mut asked = 0;
    let spellings = [
        ["", "?limit=20&offset=0&status=&include=full"],
        ["?limit=5&offset=1", "?offset=01&limit=005&unknown=1"],
        ["?status=failed", "?status=%66ailed"],
        ["?status=ready", "?status=ready_for_pipeline_execution"],
        ["?include=summary", "?include=summary&status="],
        ["?limit=1", "?limit=1&offset=0"],
        ["?offset=1", "?limit=20&offset=1"],
    ];
    for [first, second] in spellings {
        assert_eq!(app.get(&format!("{LIST}{first}")).await.cache_status(), STORED, "{first}");
        assert_eq!(app.get(&format!("{LIST}{second}")).await.cache_status(), HIT, "{second}");
        asked += 1;
        assert_eq!(app.repository.asked().len(), asked);
    }
}

#[tokio::test]
async fn user_and_batch_of_the_same_id_share_no_entry() {
    let app = App::new();
    app.repository.register("same", "same", 0);
    app.get("/internal/v1/batches/user/same").await;
    app.get("/internal/v1/batches/same/status").await;
    app.cache.invalidate_user_batches(&UserId::parse("same").unwrap()).await.unwrap();
    assert_eq!(app.get("/internal/v1/batches/same/status").await.cache_status(), HIT);
    assert_eq!(app.get("/internal/v1/batches/user/same").await.cache_status(), STORED);
}

#[tokio::test]
async fn answers_have_tag_vary_and_cache_control() {
    let app = app();
    for path in [LIST, STATUS] {
        for _ in 0..2 {
            let answer = app.get(path).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("content-type"), "application/json");
            assert_eq!(answer.header("cache-control"), "private, no-cache");
            assert_eq!(answer.header("vary"), "accept-encoding");
            let tag = answer.header("etag");
            assert!(tag.starts_with("W/\"") && tag.ends_with('"') && tag.len() == 36, "{tag}");
        }
    }
}

#[tokio::test]
async fn client_with_the_current_tag_gets_304() {
    let app = app();
    for path in [LIST, STATUS] {
        let tag = app.get(path).await.header("etag").to_owned();
        let strong = tag.trim_start_matches("W/").to_owned();
        for known in [&*tag, &strong, "*", &format!("\"other\", {tag}")] {
            let answer = app.get_with(path, "If-None-Match", known).await;
            assert_eq!(answer.status, 304, "{known}");
            assert!(answer.body.is_empty());
            assert_eq!(answer.header("etag"), tag);
            assert_eq!(answer.header("cache-control"), "private, no-cache");
            assert_eq!(answer.header("vary"), "accept-encoding");
            assert_eq!(answer.cache_status(), HIT);
            assert!(!answer.headers.contains_key("content-type"));
        }
        for other in ["\"other\"", "W/\"\"", "nonsense", ""] {
            assert_eq!(app.get_with(path, "If-None-Match", other).await.status, 200, "{other}");
        }
    }
}

#[tokio::test]
async fn client_with_an_old_tag_gets_the_new_answer() {
    let app = app();
    let tag = app.get(LIST).await.header("etag").to_owned();
    app.repository.register("second", "teacher", 0);
    app.cache.invalidate_user_batches(&UserId::parse("teacher").unwrap()).await.unwrap();
    assert_eq!(app.get_with(LIST, "If-None-Match", &tag).await.status, 200);
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let app = app();
    for path in [LIST, STATUS, "/healthz", "/readyz", "/metrics"] {
        let with_body = app.get(path).await;
        let head = app.send(with_method(Method::HEAD, path)).await;
        assert_eq!(head.status, 200, "{path}");
        assert!(head.body.is_empty(), "{path}");
        for name in ["content-type", "etag", "cache-control", "vary"] {
            assert_eq!(head.headers.get(name), with_body.headers.get(name), "{path}: {name}");
        }
    }
}

#[tokio::test]
async fn unknown_batch_is_not_cached() {
    let app = app();
    for _ in 0..2 {
        let answer = app.get("/internal/v1/batches/nobody/status").await;
        answer.assert_problem(404, "batch_not_found", "Batch not found");
    }
    assert_eq!(app.repository.asked(), ["nobody", "nobody"]);
    app.repository.register("nobody", "teacher", 0);
    assert_eq!(app.get("/internal/v1/batches/nobody/status").await.status, 200);
}

#[tokio::test]
async fn concurrent_readers_share_one_load() {
    let app = Arc::new(app());
    app.repository.set_mood(Mood::Waits);
    let readers: Vec<_> = (0..10)
        .map(|_| {
            let app = app.clone();
            tokio::spawn(async move { app.get(LIST).await.cache_status().to_owned() })
        })
        .collect();
    app.repository.entered.notified().await;
    // One thread: every reader has run until it waits, for the load or for the loader.
    tokio::task::yield_now().await;
    app.repository.release.add_permits(readers.len());
    let mut statuses = Vec::new();
    for reader in readers {
        statuses.push(reader.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses[..9], ["freshset; fwd=miss; collapsed"; 9]);
    assert_eq!(statuses[9], STORED);
    assert_eq!(app.repository.asked().len(), 1);
}

#[tokio::test]
async fn unavailable_cache_is_bypassed() {
    let app = app();
    app.get(LIST).await;
    app.backend.set_unavailable(true);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let answer = app.get(LIST).await;
        assert_eq!(answer.status, 200);
        statuses.push(answer.cache_status().to_owned());
    }
    assert_eq!(statuses[0], "freshset; fwd=bypass; detail=store_failed");
    assert_eq!(statuses[3], "freshset; fwd=bypass; detail=store_away");
    assert_eq!(app.repository.asked().len(), 5);
}

#[tokio::test]
async fn owner_with_an_unconfirmed_invalidation_bypasses_the_cache() {
    let app = app();
    app.get(LIST).await;
    app.backend.set_unavailable(true);
    let user = UserId::parse("teacher").unwrap();
    app.cache.invalidate_user_batches(&user).await.unwrap_err();
    assert_eq!(app.metric("ras_cache_pending_drops").await, Some(1.0));
    assert_eq!(app.metric("ras_cache_drop_failures_total").await, Some(1.0));
    let answer = app.get(LIST).await;
    assert_eq!(answer.cache_status(), "freshset; fwd=bypass; detail=pending_drop");

    app.backend.set_unavailable(false);
    app.cache.invalidate_user_batches(&user).await.unwrap();
    assert_eq!(app.metric("ras_cache_pending_drops").await, Some(0.0));
    assert_eq!(app.get(LIST).await.cache_status(), STORED);
}

#[tokio::test]
async fn hits_misses_bypasses_and_invalidations_are_counted() {
    let app = app();
    app.get(LIST).await;
    app.get(LIST).await;
    app.get(LIST).await;
    app.get(STATUS).await;
    app.get("/internal/v1/batches/nobody/status").await;
    app.cache.invalidate_user_batches(&UserId::parse("teacher").unwrap()).await.unwrap();
    app.backend.set_unavailable(true);
    app.get(STATUS).await;
    for (metric, want) in [
        (r#"ras_cache_hits_total{cache_type="user_batches"}"#, Some(2.0)),
        (r#"ras_cache_hits_total{cache_type="batch_status"}"#, Some(0.0)),
        (r#"ras_cache_misses_total{cache_type="user_batches"}"#, Some(1.0)),
        (r#"ras_cache_misses_total{cache_type="batch_status"}"#, Some(2.0)),
        (r#"ras_cache_bypasses_total{cache_type="batch_status",reason="store_failed"}"#, Some(1.0)),
        ("ras_cache_drops_total", Some(1.0)),
        ("ras_cache_dropped_pages_total", Some(1.0)),
    ] {
        assert_eq!(app.metric(metric).await, want, "{metric}");
    }
}

/// Two processes with one cache, of which one shows internal status values: neither ever serves what
/// the other stored, and a change invalidates both.
#[tokio::test]
async fn answers_with_other_status_values_share_no_entry() {
    let store = Arc::new(crate::http::fakes::FakeBackend::default());
    let client = App::with(store.clone(), StatusValues::Client);
    let internal = App::with(store, StatusValues::Internal);
    for app in [&client, &internal] {
        app.repository.register("batch", "teacher", 2);
    }
    let summary = format!("{LIST}?include=summary");
    for path in [LIST, STATUS, &summary] {
        let status = |answer: &Answer| {
            let body = answer.json();
            body.get("batches").map_or(&body, |batches| &batches[0])["overall_status"].clone()
        };
        for (app, want) in
            [(&client, "pending_content"), (&internal, "awaiting_content_validation")]
        {
            let first = app.get(path).await;
            assert_eq!((first.cache_status(), status(&first)), (STORED, want.into()), "{path}");
        }
        for (app, want) in
            [(&client, "pending_content"), (&internal, "awaiting_content_validation")]
        {
            let second = app.get(path).await;
            assert_eq!((second.cache_status(), status(&second)), (HIT, want.into()), "{path}");
        }
    }
    client.cache.invalidate_user_batches(&UserId::parse("teacher").unwrap()).await.unwrap();
    client.cache.invalidate_batch_status(&BatchId::parse("batch").unwrap()).await.unwrap();
    for path in [LIST, STATUS, &summary] {
        assert_eq!(internal.get(path).await.cache_status(), STORED, "{path}");
    }
}
