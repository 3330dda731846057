//! The page of a teacher: what the cache and the database say, and an invalidation by hand.

use testkit::eventually;

use super::{Browser, OPERATOR, encoded, with_tokens};
use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::registered;
use crate::support::servers::Servers;

const TEACHER: &str = "teacher/1";

#[tokio::test]
async fn stale_cached_list_is_shown_beside_the_database_and_invalidated() {
    let servers = Servers::new().await;
    let service = with_tokens(servers.builder()).start().await;
    let [one, other] = ["one", "other"].map(|batch| registered(TEACHER, batch, 1, next_micros()));
    service.client.post(&[one, other]).await.unwrap();
    let browser = Browser::logged_in(&service.client.base, OPERATOR).await;
    let path = format!("/console/teacher?{}", encoded(&[("id", TEACHER)]));
    let page = browser.get(&path).await;
    assert!(page.body.contains("Both are the same."), "{}", page.body);
    assert!(page.body.contains("a miss: it was loaded"), "{}", page.body);

    // Somebody changes a row by hand, past the service.
    servers.psql("delete from batches where batch_id = 'other'").await;
    let page = browser.get(&path).await;
    assert!(page.body.contains("The answer of the cache was a hit."), "{}", page.body);
    assert!(page.body.contains("They differ."), "{}", page.body);
    assert!(page.body.contains("<code>pagination.total</code>"), "{}", page.body);
    assert!(page.body.contains(">another one</span>"), "its entry: {}", page.body);

    let fields = [("form_token", &*page.form_token()), ("id", TEACHER)];
    let invalidated = browser.post("/console/teacher/invalidate", &fields).await;
    let page = browser.get(invalidated.leads_to()).await;
    assert!(page.body.contains("Invalidated: "), "{}", page.body);
    assert!(page.body.contains("Both are the same."), "{}", page.body);
    assert_eq!(service.client.list("teacher%2F1", "").await.total(), 1);
    assert!(!service.process.lines().join("\n").contains(TEACHER), "no id in the log");
}

#[tokio::test]
async fn owner_of_a_stale_answer_is_on_the_overview() {
    let servers = Servers::new().await;
    let builder = with_tokens(servers.builder())
        .variable("RAS_AUDIT__STALE_AFTER_SECONDS", "1")
        .variable("RAS_AUDIT__HITS_PER_SECOND", "100");
    let service = builder.start().await;
    let client = &service.client;
    client.post(&[registered(TEACHER, "batch", 1, next_micros())]).await.unwrap();
    let browser = Browser::logged_in(&client.base, OPERATOR).await;
    client.list("teacher%2F1", "").await;
    assert!(!browser.get("/console").await.body.contains("Stale answers"));

    // Somebody changes a row by hand, past the service.
    servers.psql("delete from batches").await;
    eventually(TIMEOUT, "the owner", || async {
        client.list("teacher%2F1", "").await;
        browser.get("/console").await.body.contains("href=\"/console/teacher?id=teacher%2F1\"")
    })
    .await;
}
