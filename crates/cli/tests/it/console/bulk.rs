//! Many dead letters at once: replayed and discarded by a job, whose page survives a reload.

use testkit::eventually;

use super::{Browser, OPERATOR, with_tokens};
use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::{registered, slot};
use crate::support::servers::Servers;
use crate::support::service::ServiceBuilder;

const JOB: &str = "/console/dead-letters/job";
const TEACHER: &str = "teacher";
const BATCH: &str = "batch";
const FILE: &str = "essay.docx";
/// More than a job lists at once.
const MANY: usize = 250;

async fn start(browser: &Browser, task: &str, code: &str) {
    let page = browser.get("/console/dead-letters").await;
    assert!(page.body.contains(&format!("name=\"code\" value=\"{code}\"")), "{}", page.body);
    let fields = [("form_token", &*page.form_token()), ("task", task), ("code", code)];
    assert_eq!(browser.post(JOB, &fields).await.leads_to(), JOB);
}

async fn wait_for_end(browser: &Browser) -> String {
    eventually(TIMEOUT, "the end of the job", async || {
        let page = browser.get(JOB).await;
        assert_eq!(page.status, 200);
        page.body.contains("<strong>finished</strong>").then_some(page.body)
    })
    .await
}

#[tokio::test]
async fn all_dead_letters_of_a_cause_are_replayed_after_the_repair() {
    let servers = Servers::new().await;
    let service = with_tokens(servers.builder()).start().await;
    service.client.post(&[registered(TEACHER, BATCH, 1, next_micros())]).await.unwrap();
    let records: String = (0..MANY).map(|n| format!("nonsense {n}\n")).collect();
    service.client.post_bytes("application/x-ndjson", records.into()).await.unwrap();
    let browser = Browser::logged_in(&service.client.base, OPERATOR).await;

    start(&browser, "replay", "not_json").await;
    let again = wait_for_end(&browser).await;
    assert!(again.contains(&format!("{MANY} of {MANY}")), "{again}");
    assert_eq!(servers.count("dead_letters").await, MANY, "each refused again, once");

    // A repair of the records: each is an event of its own now.
    let file = slot(BATCH, 1, FILE, next_micros());
    let id = file["event_id"].as_str().unwrap().to_owned();
    let repair = format!(
        "update dead_letters set bytes = \
         convert_to(replace($event${file}$event$, '{id}', gen_random_uuid()::text), 'UTF8')"
    );
    servers.psql(&repair).await;
    start(&browser, "replay", "not_json").await;
    wait_for_end(&browser).await;
    assert_eq!(servers.count("dead_letters").await, 0);
    assert_eq!(servers.count("inbox").await, MANY + 1);
    let page = service.client.list(TEACHER, "").await;
    assert_eq!(page.body["batches"][0]["essays"][0]["filename"], FILE);
    service.process.wait_for_line("console job ended", TIMEOUT).await;
    let log = service.process.lines().join("\n");
    assert!(log.contains("replay many") && !log.contains(TEACHER), "{log}");
}

#[tokio::test]
async fn one_is_discarded_by_hand_and_the_others_of_a_cause_by_a_job() {
    let directory = tempfile::tempdir().unwrap();
    let service = with_tokens(ServiceBuilder::embedded(directory.path())).start().await;
    let records = "nonsense\n{}\nother nonsense\n";
    service.client.post_bytes("application/x-ndjson", records.into()).await.unwrap();
    let browser = Browser::logged_in(&service.client.base, OPERATOR).await;
    let page = browser.get("/console/dead-letters/1").await;
    let (_, refused_at) = page.body.split_once("name=\"refused_at\" value=\"").unwrap();
    let refused_at = refused_at.split_once('"').unwrap().0;
    let token = page.form_token();

    let fields = [("form_token", &*token), ("refused_at", "2026-01-01T00:00:00Z")];
    let changed = browser.post("/console/dead-letters/1/discard", &fields).await;
    assert_eq!(changed.leads_to(), "/console/dead-letters/1?done=changed");
    let replayed = browser.post("/console/dead-letters/1/replay", &[("form_token", &token)]).await;
    assert_eq!(replayed.leads_to(), "/console/dead-letters/1?done=refused");
    let fields = [("form_token", &*token), ("refused_at", refused_at)];
    let stale = browser.post("/console/dead-letters/1/discard", &fields).await;
    assert_eq!(stale.leads_to(), "/console/dead-letters/1?done=changed", "refused again since");
    let line = service.process.wait_for_line("outcome=\"refused\"", TIMEOUT).await;
    assert!(line.contains("console_audit") && line.contains("action=\"replay\""), "{line}");
    service.process.wait_for_lines("outcome=\"changed\"", 2, TIMEOUT).await;

    start(&browser, "discard", "not_json").await;
    wait_for_end(&browser).await;
    let left = browser.get("/console/dead-letters").await.body;
    assert!(!left.contains("<td>not_json</td>"), "{left}");
    assert_eq!(browser.get("/console/dead-letters/1").await.status, 404);
    assert_eq!(browser.get("/console/dead-letters/2").await.status, 200);
}
