//! What the driver must not log.

use std::time::Duration;

use database::{PostgresOptions, PostgresRepository};

use testkit::log;

async fn open(url: &str) {
    let options = PostgresOptions::new(16, Duration::from_secs(2));
    PostgresRepository::connect(url, options).await.unwrap();
}

#[tokio::test]
async fn unknown_parameter_of_database_url_is_logged_without_its_value() {
    let url = testkit::postgres().await.create_database().await;
    log::record();
    open(&format!("{url}?pasword=swordfish")).await;
    let lines = log::take();
    assert!(lines.contains("unknown parameter") && lines.contains("pasword"), "{lines}");
    assert!(!lines.contains("swordfish"), "{lines}");
}

#[tokio::test]
async fn start_on_an_existing_schema_logs_nothing() {
    let url = testkit::postgres().await.create_database().await;
    open(&url).await;
    log::record();
    open(&url).await;
    let lines = log::take();
    assert!(!lines.contains("already exists"), "{lines}");
    let loud = |line: &&str| !line.contains(r#""level":"DEBUG""#);
    assert_eq!(lines.lines().filter(loud).collect::<Vec<_>>(), [""; 0]);
}
