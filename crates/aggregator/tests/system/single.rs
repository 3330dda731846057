//! One database, and processes whose caches are their own.

use testkit::{Process, ProcessBuilder, eventually};

use crate::lifecycle::run;
use crate::service::{Client, KEY};
use crate::tools::PATIENCE;

#[tokio::test]
async fn second_process_with_a_cache_of_its_own_refuses_to_start_until_the_first_is_gone() {
    let database = testkit::postgres().await.create_database().await;
    let first = alone(&database).start().await;
    wait_until_ready(&first).await;

    let (code, said) = run(alone(&database)).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("another process uses it"), "{said}");

    first.kill().await;
    let third = alone(&database).start().await;
    wait_until_ready(&third).await;
}

fn alone(database: &str) -> ProcessBuilder {
    Process::builder(env!("CARGO_BIN_EXE_result-aggregator"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("RAS_INTERNAL_API_KEY", KEY)
        .env("RAS_DATABASE_URL", database)
        .env("RAS_CACHE__SINGLE_PROCESS", "true")
}

async fn wait_until_ready(process: &Process) {
    let line = process.wait_for_line("listening on ", PATIENCE).await;
    let client = Client::new(line.rsplit(' ').next().expect("an address").to_owned());
    eventually(PATIENCE, "it is ready", || async {
        client.get("/readyz").await.unwrap().status() == 200
    })
    .await;
}
