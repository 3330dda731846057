//! Dead letters that cannot be stored: they block the records behind them, and operators see it.

use std::time::Duration;

use testkit::{eventually, log};

use crate::dead_letters::world::World;

const TOPIC: &str = "huleedu.batch.essays.registered.v1";
const STALLED: &str = "ras_apply_stalled_since_timestamp_seconds";
/// Only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn dead_letters_that_cannot_be_stored_are_a_stall_and_one_log_line() {
    log::record();
    let world = World::new().await;
    world.execute("alter table dead_letters rename to hidden").await;
    log::take();
    let seen = async {
        eventually(PATIENCE, "a stall", || async { world.metric(STALLED).await > 0.0 }).await;
        // Longer than a stall may last unreported.
        world.clock.advance(Duration::from_secs(11));
        let reported = || async { world.health.findings().len() == 1 };
        eventually(PATIENCE, "the finding", reported).await;
        world.execute("alter table hidden rename to dead_letters").await;
    };
    tokio::join!(world.consume(TOPIC, 1, b"malformed".to_vec()), seen);

    assert_eq!(world.dead_letters().await.len(), 1);
    assert_eq!(world.health.findings(), []);
    assert!(world.metric(STALLED).await.abs() < f64::EPSILON);
    let logged = log::take();
    let lines = logged.lines().filter(|line| line.contains("dead letters not stored, retrying"));
    assert_eq!(lines.count(), 1, "{logged}");
    assert!(
        logged.contains("dead letters still not stored, retrying"),
        "it was tried again: {logged}"
    );
}
