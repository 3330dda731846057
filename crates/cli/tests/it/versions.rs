//! Versions across processes: a reader that names one never gets an older answer.

use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::registered;
use crate::support::servers::Servers;
use crate::support::service::Service;

const LIST: &str = "/internal/v1/batches/user/teacher";
const STATUS: &str = "/internal/v1/batches/batch/status";

/// Version of an answer, and where it came from.
async fn read(service: &Service, path: &str) -> (u64, String) {
    let answer = service.client.get(path).await.unwrap();
    assert_eq!(answer.status(), 200);
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    (header("x-version").parse().unwrap(), header("cache-status"))
}

/// One process has committed a change and is killed before it invalidates. Until the event is
/// acknowledged, another one may answer from the cache, but nobody who knows of the change.
#[tokio::test]
async fn reader_that_names_a_version_gets_it_before_the_invalidation() {
    let servers = Servers::new().await;
    let (steady, doomed) =
        tokio::join!(servers.replica(), servers.builder().pausing_at("after-commit").start());
    let post = |files: usize| [registered("teacher", "batch", files, next_micros())];
    steady.client.post(&post(1)).await.unwrap();
    for path in [LIST, STATUS] {
        assert_eq!(read(&steady, path).await.0, 1, "{path}");
    }

    let event = post(2);
    let request = tokio::spawn({
        let (client, event) = (doomed.client.clone(), event.clone());
        async move { client.post(&event).await }
    });
    doomed.process.wait_for_line("fault: paused at after-commit", TIMEOUT).await;
    for path in [LIST, STATUS] {
        assert_eq!(read(&steady, path).await, (1, "freshset; hit".into()), "{path}: still cached");
        let (version, _) = read(&steady, &format!("{path}?min_version=2")).await;
        assert_eq!(version, 2, "{path}");
    }
    doomed.process.kill().await;
    request.await.unwrap().expect_err("not acknowledged");

    // A duplicate changes nothing, so it raises no version.
    steady.client.post_until_acknowledged(&event).await;
    for path in [LIST, STATUS] {
        assert_eq!(read(&steady, path).await.0, 2, "{path}");
    }
}
