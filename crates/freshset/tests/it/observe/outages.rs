//! Log lines about unconfirmed invalidations: one when an outage begins, one when it ends.

use std::time::Duration;

use freshset::Owner;
use freshset::observe::Operation;
use testkit::{eventually, log};
use tokio::time::timeout;

use crate::observe::faults::{Observed, SECRET, TIMEOUT, owner};

const BEGINS: &str = "invalidation not confirmed, repeating in the background";
const ENDS: &str = "all invalidations confirmed";
/// Repetitions to wait for, so that a line for each of them would be seen.
const REPETITIONS: usize = 3;

/// Levels and messages above debug since the last call.
fn lines() -> Vec<(String, String)> {
    let logged = log::take();
    assert!(!logged.contains(SECRET), "{logged}");
    let lines = logged.lines().map(|line| serde_json::from_str(line).unwrap());
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let lines = lines.filter(|line: &serde_json::Value| line["level"] != "DEBUG");
    lines
        .map(|line| {
            assert_eq!(line["fields"]["cache"], "lists", "{line}");
            (text(&line["level"]), text(&line["fields"]["message"]))
        })
        .collect()
}

fn line(level: &str, message: &str) -> Vec<(String, String)> {
    vec![(level.to_owned(), message.to_owned())]
}

async fn wait_for_repetitions(observed: &Observed) {
    eventually(TIMEOUT, "failed repetitions", async || {
        observed.recorder.count("repetition lists user no answer") >= REPETITIONS
    })
    .await;
}

async fn wait_until_confirmed(observed: &Observed) {
    eventually(TIMEOUT, "no unconfirmed invalidation", async || {
        observed.cache.unconfirmed_invalidations() == 0
    })
    .await;
}

#[tokio::test]
async fn outage_is_logged_when_it_begins_and_when_it_ends() {
    log::record_spans();
    let observed = Observed::new();
    for outage in 0..2 {
        observed.backend.fail(Operation::Invalidate);
        for number in 0..5 {
            let owner = Owner::new("user", format!("{SECRET}-{number}")).unwrap();
            observed.cache.invalidate(&owner).await.unwrap_err();
        }
        wait_for_repetitions(&observed).await;
        assert_eq!(lines(), line("WARN", BEGINS), "outage {outage}");
        observed.backend.repair();
        wait_until_confirmed(&observed).await;
        assert_eq!(lines(), line("INFO", ENDS), "outage {outage}");
        observed.recorder.take();
    }
}

#[tokio::test]
async fn error_is_in_the_line_of_an_outage() {
    log::record_spans();
    let observed = Observed::new();
    observed.backend.fail(Operation::Invalidate);
    observed.cache.invalidate(&owner()).await.unwrap_err();
    let logged = log::take();
    let begin = logged.lines().find(|line| line.contains(BEGINS)).unwrap();
    assert!(begin.contains("no answer from test within 50 ms"), "{begin}");
}

async fn cancel_an_invalidation(observed: &Observed) {
    observed.backend.silence_next();
    let (owner, limit) = (owner(), Duration::from_millis(1));
    timeout(limit, observed.cache.invalidate(&owner)).await.unwrap_err();
}

/// The caller of a cancelled invalidation was given no error: the first failure is that of a repetition.
#[tokio::test]
async fn failed_repetition_of_a_cancelled_invalidation_is_logged_once() {
    log::record_spans();
    let observed = Observed::new();
    observed.backend.fail(Operation::Invalidate);
    cancel_an_invalidation(&observed).await;
    wait_for_repetitions(&observed).await;
    assert_eq!(lines(), line("WARN", BEGINS));
    observed.backend.repair();
    wait_until_confirmed(&observed).await;
    assert_eq!(lines(), line("INFO", ENDS));
}

#[tokio::test]
async fn cancelled_invalidation_that_is_confirmed_later_is_not_logged() {
    log::record_spans();
    let observed = Observed::new();
    cancel_an_invalidation(&observed).await;
    wait_until_confirmed(&observed).await;
    assert_eq!(lines(), []);
}
