//! `cache`, on a running service: what is cached for an owner, and whether the database has the same.

use serde_json::{Value, json};

use crate::support::common::next_micros;
use crate::support::events::registered;
use crate::support::program::{program, run};
use crate::support::servers::Servers;
use crate::support::service::{Client, KEY, ServiceBuilder};

const TEACHER: &str = "a teacher/7";
const OWNER: &str = "user:a teacher/7";

async fn cache(client: &Client, arguments: &[&str]) -> (i32, String) {
    let server = ["--server", &client.base];
    let arguments = [&["cache"], arguments, &server].concat();
    run(program(&arguments).env("RAS_INTERNAL_API_KEY", KEY)).await
}

#[tokio::test]
async fn stale_answer_is_found_and_gone_after_its_invalidation() {
    let servers = Servers::new().await;
    let service = servers.replica().await;
    let client = &service.client;
    client.post(&[registered(TEACHER, "batch", 1, next_micros())]).await.unwrap();
    client.list("a%20teacher%2F7", "?limit=5").await;
    client.status("batch").await;

    let (code, shown) = cache(client, &["show", OWNER]).await;
    assert!(code == 0 && shown.contains("list:5:0::full"), "{shown}");
    assert!(shown.contains("1 answer; the index has 1 entry"), "{shown}");
    for owner in [OWNER, "batch:batch"] {
        let (code, verified) = cache(client, &["verify", owner]).await;
        assert!(code == 0 && verified.contains("same"), "{verified}");
    }

    // A change that is no event.
    servers.psql("update batches set user_id = 'another'").await;
    let (code, verified) = cache(client, &["verify", OWNER, "--json"]).await;
    let verified: Value = serde_json::from_str(&verified).unwrap();
    assert_eq!((code, &verified["answers"][0]["comparison"]), (1, &json!("stale")), "{verified}");

    let (code, invalidated) = cache(client, &["invalidate", OWNER]).await;
    assert!(code == 0 && invalidated.contains("the index had 1 entry"), "{invalidated}");
    assert_eq!(client.list("a%20teacher%2F7", "?limit=5").await.total(), 0, "as in the database");
    let (code, verified) = cache(client, &["verify", OWNER]).await;
    assert!(code == 0 && verified.contains("same"), "{verified}");
}

#[tokio::test]
async fn answers_in_memory_of_an_embedded_server_are_listed_and_wrong_owners_refused() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let client = &service.client;
    let (code, shown) = cache(client, &["show", "user:teacher"]).await;
    assert!(code == 0 && shown.contains("0 answers; the index has 0 entries"), "{shown}");
    client.list("teacher", "").await;
    let (code, shown) = cache(client, &["verify", "user:teacher"]).await;
    assert!(code == 0 && shown.contains("list:20:0::full"), "{shown}");

    for owner in ["teacher", "team:t", "user:"] {
        let (code, refused) = cache(client, &["show", owner]).await;
        assert!(code == 1 && refused.contains("owner"), "{refused}");
    }
}
