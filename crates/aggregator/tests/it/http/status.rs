//! The status of one batch.

use crate::http::app::App;

#[tokio::test]
async fn batch_status_has_its_essays_in_order() {
    let app = App::new();
    app.repository.register("batch", "teacher", 12);
    let answer = app.get("/internal/v1/batches/batch/status").await;
    assert_eq!(answer.status, 200);
    let batch = answer.json();
    assert_eq!(batch["batch_id"], "batch");
    assert_eq!(batch["overall_status"], "pending_content");
    assert_eq!(batch["essay_count"], 12);
    let essays = batch["essays"].as_array().unwrap();
    assert_eq!(essays.len(), 12);
    assert!(essays.is_sorted_by_key(|essay| essay["essay_id"].as_str().unwrap()));
}

#[tokio::test]
async fn status_ignores_query_parameters() {
    let app = App::new();
    app.repository.register("batch", "teacher", 1);
    let plain = app.get("/internal/v1/batches/batch/status").await;
    let queried = app.get("/internal/v1/batches/batch/status?limit=x&limit=y").await;
    assert_eq!(queried.body, plain.body);
    assert_eq!(queried.cache_status(), "freshset; hit");
}

#[tokio::test]
async fn unknown_batch_is_404_without_its_id() {
    let app = App::new();
    let answer = app.get("/internal/v1/batches/secret/status").await;
    answer.assert_problem(404, "batch_not_found", "Batch not found");
    assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
}
