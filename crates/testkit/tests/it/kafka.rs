//! Kafka starts, answers, pauses, is killed, and restarts with its topics.

use testkit::Kafka;
use tokio::time::timeout;

use crate::SILENCE;

#[tokio::test]
async fn kafka_keeps_its_topics_over_pauses_kills_and_restarts() {
    let kafka = Kafka::start().await;
    kafka.create_topic("essays", 3).await;
    kafka.create_topic("essays", 3).await;

    kafka.pause().await;
    assert!(timeout(SILENCE, kafka.create_topic("late", 1)).await.is_err());
    kafka.resume().await;
    kafka.create_topic("late", 1).await;

    kafka.kill().await;
    kafka.restart().await;
    kafka.create_topic("essays", 3).await;
    kafka.restart_gracefully().await;
    kafka.create_topic("essays", 3).await;
}
