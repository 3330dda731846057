//! Kill -9 at every step from the transaction to the acknowledgement, then a restart: the event is
//! applied once, and the list is up to date.

use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::{REGISTERED, registered};
use crate::support::servers::Servers;
use crate::support::service::Service;

/// Steps in order: rows written; committed; owners invalidated. Then comes the acknowledgement.
pub(crate) const STEPS: [&str; 3] = ["before-commit", "after-commit", "after-invalidation"];
const TEACHER: &str = "teacher";

/// Caches the list, which has `total` batches.
async fn cache_list(service: &Service, total: u64) {
    service.client.list(TEACHER, "").await;
    let read = service.client.list(TEACHER, "").await;
    assert!(read.is_hit());
    assert_eq!(read.total(), total);
}

#[tokio::test]
async fn killed_during_request_event_is_applied_once_after_retry() {
    for step in STEPS {
        let servers = Servers::new().await;
        let steady = servers.replica().await;
        cache_list(&steady, 0).await;

        let doomed = servers.builder().pausing_at(step).start().await;
        let event = registered(TEACHER, "batch", 1, next_micros());
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
async fn killed_while_consuming_event_is_applied_once_after_restart() {
    let (servers, broker) = Servers::with_broker().await;
    for (number, step) in (1..).zip(STEPS) {
        let doomed = servers.builder().pausing_at(step).start().await;
        cache_list(&doomed, number as u64 - 1).await;
        let event = registered(TEACHER, &format!("batch-{number}"), 1, next_micros());
        broker.produce(REGISTERED, "key", event.to_string().as_bytes()).await;
        doomed.kill_at(step).await;

        let restarted = servers.replica().await;
        broker.wait_until_acknowledged().await;
        let total = restarted.client.list(TEACHER, "").await.total();
        assert_eq!(total, number as u64, "killed {step}");
        assert_eq!(servers.count("inbox").await, number, "killed {step}: applied once");
        restarted.process.terminate().await;
        assert!(restarted.process.wait(TIMEOUT).await.success());
    }
}
