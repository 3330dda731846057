//! kill -9 at every step between the transaction and the acknowledgement, then a restart: the event
//! is applied once, and the list is fresh.

use testkit::{Postgres, Redis, postgres};

use crate::events::{REGISTERED, registered};
use crate::service::{Service, ServiceBuilder, redis};
use crate::tools::{PATIENCE, next_moment};
use crate::topics::Broker;

/// In their order: rows written; committed; owners dropped. What comes next is the acknowledgement.
const STEPS: [&str; 3] = ["before-commit", "after-commit", "after-drop"];
const TEACHER: &str = "teacher";

struct Place {
    database: String,
    redis: Redis,
    brokers: Option<String>,
}

impl Place {
    async fn new(brokers: Option<String>) -> Self {
        let (database, redis) = (postgres().await.create_database().await, redis().await);
        Self { database, redis, brokers }
    }

    async fn service(&self, pause_at: Option<&str>) -> Service {
        let mut builder = ServiceBuilder::on(&self.database, &self.redis.url());
        if let Some(brokers) = &self.brokers {
            builder = builder.kafka(brokers);
        }
        if let Some(step) = pause_at {
            builder = builder.variable("FAULT_PAUSE_AT", step);
        }
        builder.start().await
    }

    /// How often the event was applied, by the inbox.
    async fn times_applied(&self, postgres: &Postgres) -> String {
        postgres.psql(&self.database, "select count(*) from inbox").await
    }
}

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
        let place = Place::new(None).await;
        let steady = place.service(None).await;
        cache_list(&steady, 0).await;

        let doomed = place.service(Some(step)).await;
        let event = registered(TEACHER, "batch", 1, next_moment());
        let request = tokio::spawn({
            let (client, event) = (doomed.client.clone(), event.clone());
            async move { client.post(&[event]).await }
        });
        doomed.process.wait_for_line(&format!("fault: paused at {step}"), PATIENCE).await;
        doomed.process.kill().await;
        request.await.unwrap().expect_err("not acknowledged");

        let restarted = place.service(None).await;
        let report = restarted.client.post_until_acknowledged(&[event]).await;
        let was_committed = step != "before-commit";
        assert_eq!(report["duplicate"], u64::from(was_committed), "{step}");
        for service in [&steady, &restarted] {
            assert_eq!(service.client.list(TEACHER, "").await.total(), 1, "killed {step}");
        }
        assert_eq!(place.times_applied(postgres().await).await, "1", "{step}");
    }
}

#[tokio::test]
async fn killed_while_consuming() {
    let broker = Broker::start().await;
    let place = Place::new(Some(broker.kafka.brokers())).await;
    for (number, step) in (1..).zip(STEPS) {
        let doomed = place.service(Some(step)).await;
        cache_list(&doomed, number - 1).await;
        let event = registered(TEACHER, &format!("batch-{number}"), 1, next_moment());
        broker.produce(REGISTERED, "key", event.to_string().as_bytes()).await;
        doomed.process.wait_for_line(&format!("fault: paused at {step}"), PATIENCE).await;
        doomed.process.kill().await;

        let restarted = place.service(None).await;
        broker.wait_until_acknowledged().await;
        assert_eq!(restarted.client.list(TEACHER, "").await.total(), number, "killed {step}");
        assert_eq!(place.times_applied(postgres().await).await, number.to_string(), "{step}");
        restarted.process.terminate().await;
        assert!(restarted.process.wait(PATIENCE).await.success());
    }
}
