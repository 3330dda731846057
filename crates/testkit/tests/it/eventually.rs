//! `eventually` waits for a condition, and shows the state seen instead if it never holds.

use std::time::Duration;

use testkit::eventually;

use crate::SOON;

#[tokio::test]
async fn eventually_checks_until_the_condition_holds_and_returns_its_value() {
    let mut checks = 0;
    let value = eventually(SOON, "the third check", async || {
        checks += 1;
        (checks == 3).then_some("three")
    })
    .await;
    assert_eq!((value, checks), ("three", 3));
}

#[tokio::test]
#[should_panic(expected = "not within 50ms: five rows; last seen: 4")]
async fn eventually_panics_with_the_state_seen_instead() {
    eventually(Duration::from_millis(50), "five rows", async || Err::<(), _>(4)).await;
}
