//! Every page, on both kinds of servers: there, safe for a browser, and nothing in it is taken for HTML.

use reqwest::Method;
use serde_json::Value;

use super::{Browser, OPERATOR, encoded, with_tokens};
use crate::support::common::next_micros;
use crate::support::events::{pipeline_completed, registered, slot};
use crate::support::servers::Servers;
use crate::support::service::{Service, ServiceBuilder};

/// An id and a file name that would be a script.
const HOSTILE: &str = "\"><script>alert(1)</script>'&";

/// Sends what the pages show: a batch of hostile names, and a hostile record that is refused.
async fn fill(service: &Service) {
    let file = slot(HOSTILE, 1, HOSTILE, next_micros());
    let events = [
        registered(HOSTILE, HOSTILE, 1, next_micros()),
        file,
        pipeline_completed(HOSTILE, 1, next_micros()),
    ];
    service.client.post(&events).await.unwrap();
    let refused: Value = serde_json::json!({"event_id": HOSTILE, "event_type": HOSTILE});
    service.client.post(&[refused]).await.unwrap();
}

fn paths() -> Vec<String> {
    [
        "/console",
        "/console/dead-letters",
        "/console/dead-letters/1",
        "/console/dead-letters/job",
        "/console/outbox",
        "/console/batch",
        "/console/teacher",
        "/console/settings",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain([
        format!("/console/dead-letters?{}", encoded(&[("detail", HOSTILE)])),
        format!("/console/dead-letters?{}", encoded(&[("topic", HOSTILE)])),
        format!("/console/batch?{}", encoded(&[("id", HOSTILE)])),
        format!("/console/batch?{}", encoded(&[("id", "unknown")])),
        format!("/console/teacher?{}", encoded(&[("id", HOSTILE)])),
    ])
    .collect()
}

async fn check_pages(service: &Service) {
    fill(service).await;
    let browser = Browser::logged_in(&service.client.base, OPERATOR).await;
    for path in paths() {
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "{path}");
        assert!(!page.body.contains("<script>"), "{path}: {}", page.body);
        // Nothing inside the page runs or styles, so the policy can forbid it.
        for inline in [" style=", " onclick=", "javascript:", "<style"] {
            assert!(!page.body.contains(inline), "{path}: {inline}");
        }
        check_headers(&page);
    }
    let dead_letter = browser.get("/console/dead-letters/1").await.body;
    assert!(dead_letter.contains("&#60;script&#62;"), "{dead_letter}");
    for path in ["/console/batch", "/console/teacher"] {
        let page = browser.get(&format!("{path}?{}", encoded(&[("id", HOSTILE)]))).await.body;
        assert!(page.contains("&#60;script&#62;alert(1)"), "{path}: {page}");
    }
    let outbox = browser.get("/console/outbox").await.body;
    assert!(outbox.contains("huleedu.ras.batch.results.ready.v1"), "{outbox}");
}

#[track_caller]
fn check_headers(page: &super::Page) {
    let policy = page.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.split("; ").any(|other| other == part), "{part} in {policy}");
    }
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("referrer-policy"), "same-origin");
    assert!(!page.header("x-correlation-id").is_empty());
}

#[tokio::test]
async fn every_page_is_there_embedded() {
    let directory = tempfile::tempdir().unwrap();
    let service = with_tokens(ServiceBuilder::embedded(directory.path())).start().await;
    check_pages(&service).await;
    let browser = Browser::new(&service.client.base);
    for (name, content_type) in [
        ("console.css", "text/css; charset=utf-8"),
        ("live.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ] {
        let asset = browser.get(&format!("/console/assets/{name}")).await;
        assert_eq!((asset.status.as_u16(), asset.header("content-type")), (200, content_type));
    }
    assert_eq!(browser.get("/console/assets/other").await.status, 404);
    assert_eq!(browser.get("/console/nothing").await.status, 404);
    assert_eq!(browser.send(Method::PUT, "/console/login", &[], String::new()).await.status, 405);
}

#[tokio::test]
async fn every_page_is_there_on_postgres_and_redis() {
    let servers = Servers::new().await;
    let service = with_tokens(servers.builder()).start().await;
    check_pages(&service).await;

    let off = servers.builder().start().await;
    let browser = Browser::new(&off.client.base);
    let nothing = browser.get("/nothing").await;
    for path in ["/console", "/console/login", "/console/assets/console.css"] {
        let page = browser.get(path).await;
        assert_eq!((page.status, &page.body), (nothing.status, &nothing.body), "{path}");
    }

    // A replica takes the login of another one.
    let browser = Browser::logged_in(&service.client.base, OPERATOR).await;
    let replica = with_tokens(servers.builder()).start().await;
    let elsewhere = Browser { base: replica.client.base.clone(), ..browser };
    assert_eq!(elsewhere.get("/console").await.status, 200);
}

/// With the source of each, and no secret.
#[tokio::test]
async fn settings_are_those_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let service = with_tokens(ServiceBuilder::embedded(directory.path()))
        .variable("RAS_CACHE__ENTRY_TTL_SECONDS", "77")
        .start()
        .await;
    let page =
        Browser::logged_in(&service.client.base, OPERATOR).await.get("/console/settings").await;
    let row = |key: &str| {
        let rows = page.body.split("<tr>").find(|row| row.contains(&format!("<code>{key}</code>")));
        rows.unwrap_or_else(|| panic!("no {key}: {}", page.body)).to_owned()
    };
    let ttl = row("cache.entry_ttl_seconds");
    assert!(ttl.contains("<code>77</code>") && ttl.contains(">variable<"), "{ttl}");
    let listen = row("listen");
    assert!(listen.contains("<code>127.0.0.1:0</code>") && listen.contains(">flag<"), "{listen}");
    let interval = row("publish.poll_seconds");
    assert!(interval.contains("<code>5</code>") && interval.contains(">default<"), "{interval}");
    assert!(row("console.operator_token").contains("set, not shown"));
    assert!(row("redis_url").contains("not set"));
    for secret in [OPERATOR, super::VIEWER, crate::support::service::KEY] {
        assert!(!page.body.contains(secret), "{secret}");
    }
}
