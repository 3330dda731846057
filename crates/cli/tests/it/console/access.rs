//! Who comes into the console, and what they may do there.

use reqwest::Method;

use super::{Browser, OPERATOR, VIEWER, with_tokens};
use crate::support::common::TIMEOUT;
use crate::support::program::program;
use crate::support::service::{KEY, Service, ServiceBuilder};

const JOB: &str = "/console/dead-letters/job";

async fn embedded(directory: &tempfile::TempDir) -> Service {
    with_tokens(ServiceBuilder::embedded(directory.path())).start().await
}

#[tokio::test]
async fn login_lets_in_and_logout_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let service = embedded(&directory).await;
    let stranger = Browser::new(&service.client.base);
    for path in ["/console", "/console/settings", "/console/dead-letters"] {
        assert_eq!(stranger.get(path).await.leads_to(), "/console/login");
    }
    assert_eq!(stranger.get("/console/login").await.status, 200);
    for wrong in ["", "wrong", KEY] {
        let refused = stranger.log_in(wrong).await;
        assert_eq!(refused.status, 401);
        assert!(!refused.headers.contains_key("set-cookie"));
    }

    let operator = Browser::logged_in(&service.client.base, OPERATOR).await;
    let page = operator.get("/console").await;
    assert_eq!(page.status, 200);
    let logout = operator.post("/console/logout", &[("form_token", &page.form_token())]).await;
    assert_eq!(logout.leads_to(), "/console/login");
    assert!(logout.header("set-cookie").contains("Max-Age=0"), "{:?}", logout.headers);

    service.process.wait_for_line("action=\"log out\"", TIMEOUT).await;
    let log = service.process.lines().join("\n");
    let audited = log.lines().filter(|line| line.contains("console_audit")).count();
    assert_eq!(audited, 5, "three refusals, a login, a logout: {log}");
    assert!(!log.contains(OPERATOR) && !log.contains(KEY), "{log}");
    let cookie = operator.cookie.as_deref().unwrap_or_default();
    assert!(!log.contains(&cookie[cookie.len() - 64..]), "{log}");
}

#[tokio::test]
async fn too_many_wrong_tokens_are_answered_429() {
    let directory = tempfile::tempdir().unwrap();
    let service = embedded(&directory).await;
    let stranger = Browser::new(&service.client.base);
    let mut statuses = Vec::new();
    for _ in 0..11 {
        statuses.push(stranger.log_in("wrong").await.status.as_u16());
    }
    assert_eq!(statuses, [[401; 10].as_slice(), &[429]].concat());
    let refused = stranger.log_in(OPERATOR).await;
    assert_eq!(refused.status, 429, "a right one neither");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=61).contains(&wait), "{wait}");
}

/// Another site cannot send a form in the name of an operator who is logged in.
#[tokio::test]
async fn form_of_another_site_or_session_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let service = embedded(&directory).await;
    let base = &service.client.base;
    let operator = Browser::logged_in(base, OPERATOR).await;
    let token = operator.get("/console").await.form_token();
    let other = Browser::logged_in(base, OPERATOR).await.get("/console").await.form_token();
    let stop = format!("{JOB}/stop");

    for form_token in ["", "00", &other] {
        let refused = operator.post(&stop, &[("form_token", form_token)]).await;
        assert_eq!(refused.status, 403, "{form_token}");
    }
    let fields = [("form_token", &*token)];
    let host = base.strip_prefix("http://").unwrap();
    let (own, another) = (format!("http://{host}"), "https://example.org".to_owned());
    for (from, status) in [
        (vec![("Sec-Fetch-Site", "cross-site")], 403),
        (vec![("Sec-Fetch-Site", "same-site")], 403),
        (vec![("Origin", &*another)], 403),
        (vec![("Origin", "null")], 403),
        (vec![], 403),
        (vec![("Origin", &*own)], 303),
        (vec![("Sec-Fetch-Site", "same-origin")], 303),
    ] {
        let answer = operator.post_from(&stop, &fields, &from).await;
        assert_eq!(answer.status, status, "{from:?}");
    }
    let login = Browser::new(base);
    let cross = [("Sec-Fetch-Site", "cross-site")];
    let refused = login.post_from("/console/login", &[("token", OPERATOR)], &cross).await;
    assert_eq!(refused.status, 403);
}

#[tokio::test]
async fn viewer_reads_everything_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let service = embedded(&directory).await;
    service.client.post_bytes("application/x-ndjson", b"nonsense\n".to_vec()).await.unwrap();
    let viewer = Browser::logged_in(&service.client.base, VIEWER).await;
    let page = viewer.get("/console/dead-letters/1").await;
    assert_eq!(page.status, 200);
    // The only form is the one to log out.
    assert_eq!(page.body.matches("<form").count(), 1, "{}", page.body);
    let list = viewer.get("/console/dead-letters").await;
    assert!(!list.body.contains("action=\"/console/dead-letters/job\""), "{}", list.body);
    let token = page.form_token();
    for path in [
        "/console/dead-letters/1/replay",
        "/console/dead-letters/1/discard",
        JOB,
        "/console/dead-letters/job/stop",
        "/console/teacher/invalidate",
    ] {
        let fields = [("form_token", &*token), ("task", "discard")];
        assert_eq!(viewer.post(path, &fields).await.status, 403, "{path}");
    }
    assert_eq!(viewer.get("/console/dead-letters/1").await.status, 200, "still there");
    assert_eq!(viewer.post("/console/logout", &[("form_token", &token)]).await.status, 303);
}

/// Nobody has switched it on: as if there were none.
#[tokio::test]
async fn without_a_token_there_is_no_console_but_on_loopback_and_embedded() {
    let directory = tempfile::tempdir().unwrap();
    let local = ServiceBuilder::embedded(directory.path()).start().await;
    let browser = Browser::new(&local.client.base);
    assert_eq!(browser.get("/console").await.status, 200, "without a login");
    assert_eq!(browser.get("/console/login").await.leads_to(), "/console");
    let host = local.client.base.strip_prefix("http://").unwrap();
    let port = host.rsplit(':').next().unwrap();
    for (host, status) in [
        (format!("localhost:{port}"), 200),
        (format!("[::1]:{port}"), 200),
        (format!("rebound.example.org:{port}"), 403),
        ("10.0.0.1".to_owned(), 403),
    ] {
        let headers = [("Host", &*host)];
        let page = browser.send(Method::GET, "/console", &headers, String::new()).await;
        assert_eq!(page.status, status, "{host}");
    }
    drop(local);
    let open = program(&["serve", "--listen", "0.0.0.0:0"])
        .env("RAS_DATA_DIR", directory.path())
        .env("RAS_INTERNAL_API_KEY", KEY);
    let open = open.start().await;
    let line = open.wait_for_line("listening on ", TIMEOUT).await;
    let base = line.rsplit(' ').next().unwrap().replace("0.0.0.0", "127.0.0.1");
    assert_eq!(Browser::new(&base).get("/console").await.status, 404);
}
