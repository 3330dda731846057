//! `cache`, on a running service: what is cached for an owner, and whether the database has the same.

use serde_json::{Value, json};

use crate::support::common::next_micros;
use crate::support::events::registered;
use crate::support::program::{program, run};
use crate::support::servers::Servers;
use crate::support::service::{Client, KEY, ServiceBuilder};

const TEACHER: &str = "a teacher/7";
const OWNER: &str = "user:a teacher/7";

pub(crate) async fn cache(client: &Client, arguments: &[&str]) -> (i32, String) {
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

/// As a Redis that evicts does: readers need the entry and its generation, and not the index.
#[tokio::test]
async fn stale_answer_is_found_without_the_index_as_usual_or_by_its_query() {
    let servers = Servers::new().await;
    let service = servers.replica().await;
    let client = &service.client;
    client.post(&[registered("teacher", "batch", 1, next_micros())]).await.unwrap();
    for query in ["", "?include=summary&limit=5"] {
        client.list("teacher", query).await;
    }
    client.status("batch").await;
    for owner in ["user:teacher", "batch:batch"] {
        let removed = servers.redis.cli(&["DEL", &format!("ras:i:{{{owner}}}")]).await;
        assert_eq!(removed.trim(), "1", "the index of {owner}");
    }
    let (code, verified) = cache(client, &["verify", "user:teacher"]).await;
    assert!(code == 0 && verified.contains("same"), "{verified}");

    // A change that is no event.
    servers.psql("delete from batches").await;
    assert!(client.list("teacher", "?limit=5&include=summary").await.is_hit());
    let (code, verified) = cache(client, &["verify", "user:teacher"]).await;
    assert!(
        code == 1 && verified.contains("STALE   list:20:0::full  not in the index"),
        "{verified}"
    );
    assert!(verified.contains("1 answer; the index has 0 entries"), "{verified}");
    assert!(verified.contains("check one with --query"), "{verified}");
    let (code, verified) = cache(client, &["verify", "batch:batch"]).await;
    assert!(code == 1 && verified.contains("STALE   status  not in the index"), "{verified}");
    assert!(!verified.contains("--query"), "it has no other answer: {verified}");

    let asked = ["verify", "user:teacher", "--query", "?limit=5&include=summary", "--json"];
    let (code, verified) = cache(client, &asked).await;
    let verified: Value = serde_json::from_str(&verified).unwrap();
    let found = &verified["answers"].as_array().unwrap()[1];
    assert_eq!((code, &found["key"]), (1, &json!("list:5:0::summary")), "{verified}");
    assert_eq!((&found["indexed"], &found["comparison"]), (&json!(false), &json!("stale")));

    cache(client, &["invalidate", "user:teacher"]).await;
    let (code, verified) = cache(client, &asked[..4]).await;
    assert!(code == 0 && verified.contains("0 answers"), "{verified}");
}

#[tokio::test]
async fn only_a_part_of_the_index_says_nothing_of_what_it_lacks() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let client = &service.client;
    for query in ["", "?include=summary", "?limit=5"] {
        client.list("teacher", query).await;
    }
    let indexed = async |limit: &str| {
        let (_, shown) = cache(client, &["show", "user:teacher", "--limit", limit, "--json"]).await;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let answers = shown["answers"].as_array().unwrap().iter();
        answers.map(|answer| answer["indexed"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(indexed("3").await, vec![json!(true); 3]);
    let part = indexed("1").await;
    assert!(part.contains(&Value::Null) && !part.contains(&json!(false)), "{part:?}");
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
    for (queries, because) in [
        (&["limit=101"][..], "query: limit: not a whole number from 0 to 100"),
        (&["a b"], "query: allowed: at most 200 visible ASCII characters"),
        (&["", "", "", "", "", ""], "query: is given more than 5 times"),
    ] {
        let options = queries.iter().flat_map(|query| ["--query", query]);
        let arguments: Vec<&str> = ["show", "user:teacher"].into_iter().chain(options).collect();
        let (code, refused) = cache(client, &arguments).await;
        assert!(code == 1 && refused.contains(because), "{refused}");
    }
}
