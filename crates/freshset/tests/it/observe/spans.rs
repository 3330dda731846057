//! Spans: their attributes, and that ids and keys are only in them if that is asked for.

use freshset::observe::Operation;
use freshset::{EntryKey, Owner};
use serde_json::{Value, json};
use testkit::log;

use crate::observe::faults::{Observed, SECRET, key, load, owner};

/// The spans that ended since the last call, with their attributes.
fn ended() -> Vec<Value> {
    let logged = log::take();
    let lines = logged.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ended = lines.filter(|line| line["fields"]["message"] == "close");
    ended.map(|mut line| line["span"].take()).collect()
}

fn read(name: &str, source: &str) -> Value {
    json!({
        "name": name, "cache.name": "lists", "cache.hit": source == "hit", "cache.source": source,
    })
}

fn invalidation(confirmed: bool, entries: Option<u64>) -> Value {
    let mut span = json!({
        "name": "cache.invalidate",
        "cache.name": "lists",
        "cache.repetition": false,
        "cache.confirmed": confirmed,
    });
    if let Some(entries) = entries {
        span["cache.entries"] = entries.into();
    }
    span
}

#[tokio::test]
async fn each_operation_has_a_span_with_its_result() {
    log::record_spans();
    let observed = Observed::new();
    observed.cache.get(&owner(), &key()).await;
    observed.read().await;
    observed.read().await;
    observed.cache.invalidate(&owner()).await.unwrap();
    observed.backend.fail(Operation::Read);
    observed.read().await;
    observed.backend.fail(Operation::Invalidate);
    observed.cache.invalidate(&owner()).await.unwrap_err();
    assert_eq!(
        ended(),
        [
            read("cache.get", "absent"),
            read("cache.get_or_load", "loaded"),
            read("cache.get_or_load", "hit"),
            invalidation(true, Some(1)),
            read("cache.get_or_load", "bypass"),
            invalidation(false, None),
        ]
    );
}

#[tokio::test]
async fn owner_and_key_are_in_spans_only_if_asked_for() {
    log::record_spans();
    for trace_keys in [false, true] {
        let observed = Observed::with(|builder| builder.trace_keys(trace_keys));
        observed.read().await;
        observed.cache.get(&owner(), &key()).await;
        observed.cache.invalidate(&owner()).await.unwrap();
        let ended = ended();
        assert_eq!(ended.len(), 3);
        for span in ended {
            let has = |name: &str, value: &str| span.get(name) == Some(&value.into());
            let has_key = has("cache.key", SECRET) || span["name"] == "cache.invalidate";
            let has_owner = has("cache.owner", &format!("user:{SECRET}"));
            assert_eq!(has_owner && has_key, trace_keys, "{span}");
            assert_eq!(span.to_string().contains(SECRET), trace_keys, "{span}");
        }
    }
}

#[tokio::test]
async fn load_is_inside_the_span_of_its_read() {
    log::record_spans();
    let observed = Observed::new();
    let (user, list) = (Owner::new("user", "u").unwrap(), EntryKey::new(["list"]).unwrap());
    let logging = || async {
        tracing::info!("loading");
        load().await
    };
    observed.cache.get_or_load(&user, &list, logging).await.unwrap();
    let logged = log::take();
    let line = logged.lines().find(|line| line.contains("loading")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["span"]["name"], "cache.get_or_load", "{line}");
}
