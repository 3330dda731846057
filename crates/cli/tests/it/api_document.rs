//! The running service does what its OpenAPI document says: schemathesis makes requests of the document,
//! right and wrong ones, and compares every answer with it: status, content type, headers, body.
//!
//! What it asks besides is in `schemathesis.toml`. A 5xx is a fault even where the document has it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use testkit::{Process, programs};

use crate::support::events::{RESULT_RECORDS, SLOT_RECORD};
use crate::support::servers::Servers;
use crate::support::service::{KEY, Service, ServiceBuilder};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/schemathesis.toml");
/// The same requests each time.
const SEED: &str = "1";
/// Random requests for each operation, besides those at the limits of its parameters.
const EXAMPLES_MAX: &str = "15";
/// Operations without requests: a stream never ends, and the document is what the requests are made of.
const NOT_ASKED: [&str; 2] = ["user_changes", "openapi"];
/// Far more than it takes on a busy machine.
const RUN_TIMEOUT: Duration = Duration::from_secs(900);

fn document() -> Value {
    serde_json::to_value(aggregator::http::openapi::document()).unwrap()
}

/// The operations that are asked, as the report names them.
fn asked() -> Vec<String> {
    let document = document();
    let mut asked = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if !NOT_ASKED.contains(&operation["operationId"].as_str().unwrap()) {
                asked.push(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    asked.sort();
    asked
}

/// What the examples of the document name: a batch with its results, a cached list, a dead letter.
async fn fill(service: &Service) {
    let body = &document()["paths"]["/internal/v1/events"]["post"]["requestBody"];
    let example = body["content"]["application/json"]["example"].clone();
    let results = RESULT_RECORDS.iter().map(|(_, record)| *record);
    let others = [SLOT_RECORD].into_iter().chain(results);
    let others = others.map(|record| serde_json::from_str(record).unwrap());
    let events: Vec<Value> = [example].into_iter().chain(others).collect();
    let report = service.client.post(&events).await.unwrap();
    assert_eq!(report["results"][0]["outcome"], "applied", "the example: {report}");
    assert_eq!(service.client.list("teacher-17", "").await.total(), 1);
    service.client.post_bytes("application/x-ndjson", b"nonsense\n".to_vec()).await.unwrap();
}

/// Its exit code is that of a failure if an answer is not as the document says.
async fn run(service: &Service, report: &Path) {
    let program = programs::schemathesis().expect("schemathesis");
    println!("seed of schemathesis: {SEED}");
    let process = Process::builder(&program)
        .args(["--config-file", CONFIG, "run"])
        .arg(format!("{}/openapi.json", service.client.base))
        .args(["--checks", "all", "--phases", "examples,coverage,fuzzing", "--no-color"])
        .args(["--seed", SEED, "--max-examples", EXAMPLES_MAX, "--continue-on-failure"])
        .args(["--report", "json", "--report-json-path"])
        .arg(report)
        .current_dir(report.parent().unwrap())
        // Its libraries, where `cargo x test` has fetched it.
        .env("PYTHONPATH", program.ancestors().nth(2).unwrap())
        .env("API_KEY", KEY)
        .start()
        .await;
    let status = process.wait(RUN_TIMEOUT).await;
    assert!(status.success(), "{}", process.lines().join("\n"));
}

/// No operation was left out, each has answered what is right, and nothing kept it from being asked.
fn check_report(report: &Value) {
    let rates = report["valid_rates"].as_object().unwrap();
    let mut tested: Vec<_> = rates.keys().cloned().collect();
    tested.sort();
    assert_eq!(tested, asked());
    for (operation, phases) in rates {
        let phases = phases.as_object().unwrap().values();
        let accepted: u64 = phases.filter_map(|phase| phase["accepted"].as_u64()).sum();
        assert!(accepted > 0, "{operation} has never succeeded: {report:#}");
    }
    let mut warnings: BTreeMap<String, Vec<Value>> =
        serde_json::from_value(report["warnings"].clone()).unwrap();
    warnings.retain(|_, operations| !operations.is_empty());
    // Most envelopes have data that is refused: see the settings.
    warnings.remove("validation_mismatch");
    assert!(warnings.is_empty(), "{warnings:?}");
}

async fn check(builder: ServiceBuilder) {
    // A request that is slow on a busy machine is no fault.
    let service = builder
        .variable("RAS_HTTP__READ_TIMEOUT_SECONDS", "3600")
        .variable("RAS_HTTP__EVENTS_WAIT_SECONDS", "3600")
        .start()
        .await;
    fill(&service).await;
    let directory = tempfile::tempdir().unwrap();
    let report = directory.path().join("report.json");
    run(&service, &report).await;
    check_report(&serde_json::from_slice(&fs::read(report).unwrap()).unwrap());
}

#[tokio::test]
async fn answers_are_as_documented_embedded() {
    let directory = tempfile::tempdir().unwrap();
    check(ServiceBuilder::embedded(directory.path())).await;
}

#[tokio::test]
async fn answers_are_as_documented_on_postgres_and_redis() {
    check(Servers::new().await.builder()).await;
}
