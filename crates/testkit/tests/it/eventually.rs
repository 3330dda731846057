//! Conditions are waited for, and a condition that never comes says what was seen instead.

use std::time::Duration;

use testkit::eventually;

use crate::SOON;

#[tokio::test]
async fn it_looks_until_the_condition_holds_and_gives_its_value() {
    let mut looks = 0;
    let value = eventually(SOON, "the third look", async || {
        looks += 1;
        (looks == 3).then_some("three")
    })
    .await;
    assert_eq!((value, looks), ("three", 3));
}

#[tokio::test]
#[should_panic(expected = "not within 50ms: five rows; last seen: 4")]
async fn it_tells_what_was_seen_instead() {
    eventually(Duration::from_millis(50), "five rows", async || Err::<(), _>(4)).await;
}
