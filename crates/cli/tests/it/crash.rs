//! kill -9 at every step between the transaction and the acknowledgement, then a restart: the event
//! is applied once, and the list is fresh.

use crate::events::{REGISTERED, registered};
use crate::servers::Servers;
use crate::service::Service;
use crate::tools::{PATIENCE, next_moment};

/// In their order: rows written; committed; owners dropped. What comes next is the acknowledgement.
pub(crate) const STEPS: [&str; 3] = ["before-commit", "after-commit", "after-drop"];
const TEACHER: &str = "teacher";

/// Caches the list, which shows `total` batches.
async fn cache_list(service: &Service, total: u64) {
    service.client.list(TEACHER, "").await;
    let read = service.client.list(TEACHER, "").await;
    assert!(read.is_hit());
    assert_eq!(read.total(), total);
}

#[tokio::test]
async fn killed_during_a_request_that_is_then_repeated() {
    for step in STEPS {
        let servers = Servers::new().await;
        let steady = servers.replica().await;
        cache_list(&steady, 0).await;

        let doomed = servers.builder().pausing_at(step).start().await;
        let event = registered(TEACHER, "batch", 1, next_moment());
        let request = tokio::spawn({
            let (client, event) = (doomed.client.clone(), event.clone());
            async move { client.post(&[event]).await }
        });
        doomed.kill_at(step).await;
        request.await.unwrap().expect_err("not acknowledged");

        let restarted = servers.replica().await;
        let report = restarted.client.post_until_acknowledged(&[event]).await;
        let was_committed = step != "before-commit";
        assert_eq!(report["duplicate"], u64::from(was_committed), "{step}");
        for service in [&steady, &restarted] {
            assert_eq!(service.client.list(TEACHER, "").await.total(), 1, "killed {step}");
        }
        assert_eq!(servers.count("inbox").await, 1, "killed {step}: applied once");
    }
}

#[tokio::test]
async fn killed_while_consuming() {
    let (servers, broker) = Servers::with_broker().await;
    for (number, step) in (1..).zip(STEPS) {
        let doomed = servers.builder().pausing_at(step).start().await;
        cache_list(&doomed, number as u64 - 1).await;
        let event = registered(TEACHER, &format!("batch-{number}"), 1, next_moment());
        broker.produce(REGISTERED, "key", event.to_string().as_bytes()).await;
        doomed.kill_at(step).await;

        let restarted = servers.replica().await;
        broker.wait_until_acknowledged().await;
        let total = restarted.client.list(TEACHER, "").await.total();
        assert_eq!(total, number as u64, "killed {step}");
        assert_eq!(servers.count("inbox").await, number, "killed {step}: applied once");
        restarted.process.terminate().await;
        assert!(restarted.process.wait(PATIENCE).await.success());
    }
}
