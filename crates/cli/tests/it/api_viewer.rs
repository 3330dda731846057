//! The viewer of the API document in a real Chromium, with the service alone: no network is needed.

use serde_json::{Value, json};
use testkit::eventually;

use crate::support::chromium::Chromium;
use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::registered;
use crate::support::service::{KEY, Service, ServiceBuilder};

/// What axe finds in Swagger UI itself, which is not ours to change.
const KNOWN_FAULTS: [&str; 4] = ["color-contrast", "heading-order", "nested-interactive", "region"];
/// Everything that Swagger UI writes.
const SWAGGER_UI: &str = ".swagger-ui";
const LIST: &str = "#operations-batches-user_batches";
/// The fields of a dialog in the order of the document: the key, and the name of the service.
const CREDENTIALS: [&str; 2] = [KEY, "admin-dashboard-service"];

async fn open(chromium: &Chromium, service: &Service) {
    chromium.open(&format!("{}/docs", service.client.base)).await;
    eventually(TIMEOUT, "the document", async || chromium.shows("user_batches").await).await;
}

/// Each path and id of an operation in the document.
fn paths_and_ids() -> Vec<String> {
    let document = serde_json::to_value(aggregator::http::openapi::document()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.values().flat_map(|item| item.as_object().unwrap().values());
    let ids = operations.map(|operation| operation["operationId"].as_str().unwrap().to_owned());
    paths.keys().cloned().chain(ids).collect()
}

async fn assert_asks_this_service_only(chromium: &Chromium, service: &Service) {
    let script = "return performance.getEntriesByType('resource').map(entry => entry.name)";
    let asked = chromium.run(script).await;
    let asked: Vec<_> = asked.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(asked.iter().any(|url| url.ends_with("/openapi.json")), "{asked:?}");
    let own = format!("{}/", service.client.base);
    assert!(asked.iter().all(|url| url.starts_with(&own)), "{asked:?}");
    // A request that the policy of the page blocks is an error.
    assert_eq!(chromium.errors().await, [] as [&str; 0]);
}

#[tokio::test]
async fn page_shows_every_operation_and_adds_no_fault_of_accessibility() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let chromium = Chromium::start().await;
    open(&chromium, &service).await;
    let shown = chromium.run("return document.body.innerText").await;
    for text in paths_and_ids() {
        assert!(shown.as_str().unwrap().lines().any(|line| line == text), "{text}: {shown:#}");
    }
    assert_asks_this_service_only(&chromium, &service).await;

    let own = chromium.accessibility_faults_outside(SWAGGER_UI).await;
    assert_eq!(own, json!([]), "{own:#}");
    let all = chromium.accessibility_faults().await;
    for fault in all.as_array().unwrap() {
        assert!(KNOWN_FAULTS.contains(&fault[0].as_str().unwrap()), "{fault:#}");
    }
    chromium.close().await;
}

#[tokio::test]
async fn request_is_tried_with_the_key_which_is_stored_nowhere() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    service.client.post(&[registered("teacher-17", "batch", 1, next_micros())]).await.unwrap();
    let chromium = Chromium::start().await;
    open(&chromium, &service).await;
    try_list(&chromium, "401").await;
    // Expected: the request without a key. Its line may come later than what is shown.
    eventually(TIMEOUT, "the error of the request", async || {
        chromium.errors().await.into_iter().next()
    })
    .await;

    open(&chromium, &service).await;
    authorize(&chromium).await;
    let shown = try_list(&chromium, "200").await;
    assert!(shown.contains("\"batch_id\": \"batch\""), "{shown}");
    assert_asks_this_service_only(&chromium, &service).await;

    let stored = "return [localStorage.length, sessionStorage.length, document.cookie]";
    assert_eq!(chromium.run(stored).await, json!([0, 0, ""]));
    open(&chromium, &service).await;
    try_list(&chromium, "401").await;
    chromium.close().await;
}

/// Enters key and name of a service in the dialog.
async fn authorize(chromium: &Chromium) {
    chromium.click(".auth-wrapper .authorize").await;
    for (number, value) in (1..).zip(CREDENTIALS) {
        let field = format!(".auth-container:nth-of-type({number})");
        let history = format!("return document.querySelector('{field} input').autocomplete");
        assert_eq!(chromium.run(&history).await, "off");
        chromium.type_into(&format!("{field} input"), value).await;
        chromium.click(&format!("{field} [type=submit]")).await;
    }
    chromium.click(".auth-container:last-of-type .btn-done").await;
}

/// Asks for the list of the teacher of the example, and returns what is shown of the answer, which has this status.
async fn try_list(chromium: &Chromium, status: &str) -> String {
    for button in [".opblock-summary-control", ".try-out__btn", ".execute"] {
        click(chromium, button).await;
    }
    let script = format!(
        "const row = document.querySelector('{LIST} .live-responses-table .response'); \
         return row ? row.innerText : ''"
    );
    eventually(TIMEOUT, "the answer", async || {
        let shown = chromium.run(&script).await.as_str().unwrap_or_default().to_owned();
        shown.starts_with(status).then_some(shown)
    })
    .await
}

/// Clicks on a part of the operation, which is written only when the one before it was clicked on.
async fn click(chromium: &Chromium, part: &str) {
    let css = format!("{LIST} {part}");
    let script = format!("return document.querySelector('{css}') !== null");
    eventually(TIMEOUT, part, async || chromium.run(&script).await == true).await;
    chromium.click(&css).await;
}
