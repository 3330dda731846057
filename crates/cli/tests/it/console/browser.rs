//! The console in a real Chromium, on the real servers.

use testkit::eventually;

use super::{OPERATOR, VIEWER, with_tokens};
use crate::support::chromium::Chromium;
use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::{pipeline_completed, registered, slot};
use crate::support::servers::Servers;
use crate::support::service::Service;

const PAGES: [&str; 8] = [
    "",
    "/dead-letters",
    "/dead-letters/1",
    "/dead-letters/job",
    "/outbox",
    "/batch?id=batch",
    "/teacher?id=teacher",
    "/settings",
];
/// The dead letters of the bulk replay: some pages of the job's list.
const MANY: usize = 450;

async fn fill(service: &Service) {
    let events = [
        registered("teacher", "batch", 2, next_micros()),
        slot("batch", 1, "essay.docx", next_micros()),
        pipeline_completed("batch", 2, next_micros()),
    ];
    service.client.post(&events).await.unwrap();
    service.client.list("teacher", "").await;
    service.client.post_bytes("application/x-ndjson", b"{\"a\": nul}\n".to_vec()).await.unwrap();
}

async fn log_in(chromium: &Chromium, service: &Service, token: &str) {
    let base = &service.client.base;
    chromium.open(&format!("{base}/console")).await;
    assert_eq!(chromium.url().await, format!("{base}/console/login"));
    chromium.type_into("#token", token).await;
    chromium.click("main button").await;
    eventually(TIMEOUT, "the overview", async || {
        chromium.url().await == format!("{base}/console") && chromium.shows("Overview").await
    })
    .await;
}

#[tokio::test]
async fn every_page_works_in_each_form_and_is_accessible() {
    let servers = Servers::new().await;
    let service = with_tokens(servers.builder()).start().await;
    fill(&service).await;
    let chromium = Chromium::start().await;
    log_in(&chromium, &service, OPERATOR).await;
    for (scheme, width) in [("light", 1_280), ("dark", 1_280), ("light", 400)] {
        chromium.set_color_scheme(scheme).await;
        chromium.set_width(width).await;
        for path in PAGES {
            let what = format!("{path}, {scheme}, {width} wide");
            chromium.open(&format!("{}/console{path}", service.client.base)).await;
            // What is folded is looked at, too.
            chromium
                .run("document.querySelectorAll('details').forEach(it => it.open = true)")
                .await;
            let faults = chromium.accessibility_faults().await;
            assert_eq!(faults.as_array().map(Vec::len), Some(0), "{what}: {faults:#}");
            let fits = "return document.documentElement.scrollWidth <= innerWidth";
            assert_eq!(chromium.run(fits).await, true, "{what}: only tables scroll sideways");
            assert_eq!(chromium.errors().await, [] as [&str; 0], "{what}");
        }
    }
    chromium.close().await;
}

/// Without a reload.
#[tokio::test]
async fn overview_is_live_and_viewer_has_no_buttons() {
    let servers = Servers::new().await;
    let service = with_tokens(servers.builder()).start().await;
    fill(&service).await;
    let chromium = Chromium::start().await;
    log_in(&chromium, &service, VIEWER).await;
    eventually(TIMEOUT, "the page", async || chromium.shows("3 since the start").await).await;
    service.client.post(&[slot("batch", 2, "other.docx", next_micros())]).await.unwrap();
    eventually(TIMEOUT, "the event is shown", async || chromium.shows("4 since the start").await)
        .await;

    for path in PAGES {
        chromium.open(&format!("{}/console{path}", service.client.base)).await;
        let buttons =
            "return [...document.querySelectorAll('form[method=post]')].map(it => it.action)";
        let forms = chromium.run(buttons).await;
        let logout = format!("{}/console/logout", service.client.base);
        assert_eq!(forms, serde_json::json!([logout]), "{path}");
    }
    chromium.click(".who button").await;
    eventually(TIMEOUT, "the login", async || chromium.url().await.ends_with("/console/login"))
        .await;
    assert_eq!(chromium.errors().await, [] as [&str; 0]);
    chromium.close().await;
}

#[tokio::test]
async fn many_dead_letters_are_replayed_in_three_clicks() {
    let servers = Servers::new().await;
    let service = with_tokens(servers.builder()).start().await;
    service.client.post(&[registered("teacher", "batch", 1, next_micros())]).await.unwrap();
    service.client.post_bytes("application/x-ndjson", b"nonsense\n".to_vec()).await.unwrap();
    let file = slot("batch", 1, "essay.docx", next_micros());
    let id = file["event_id"].as_str().unwrap().to_owned();
    let copies = format!(
        "insert into dead_letters (fingerprint, source, headers, bytes, at, code, detail) \
         select 'copy ' || n, source, headers, \
         convert_to(replace($event${file}$event$, '{id}', gen_random_uuid()::text), 'UTF8'), \
         at, code, detail from dead_letters, generate_series(1, {MANY}) as n"
    );
    servers.psql(&copies).await;
    let chromium = Chromium::start().await;
    log_in(&chromium, &service, OPERATOR).await;

    chromium.click("nav a[href='/console/dead-letters']").await;
    eventually(TIMEOUT, "the page", async || chromium.shows("By cause").await).await;
    chromium.click(".confirm summary").await;
    chromium.click(".confirm[open] button").await;
    eventually(TIMEOUT, "the job", async || {
        chromium.url().await.ends_with("/console/dead-letters/job")
    })
    .await;
    let all = MANY + 1;
    eventually(TIMEOUT, "progress without a reload", async || {
        !chromium.shows(&format!("0 of {all}")).await
    })
    .await;
    let url = chromium.url().await;
    chromium.open(&url).await;
    eventually(TIMEOUT, "the end", async || chromium.shows(&format!("{all} of {all}")).await).await;
    eventually(TIMEOUT, "nothing to stop", async || !chromium.shows("Stop").await).await;
    assert_eq!(servers.count("dead_letters").await, 1, "only the nonsense");
    assert_eq!(chromium.errors().await, [] as [&str; 0]);
    chromium.close().await;
}
