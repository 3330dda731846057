//! `demo`: its output, from the first step to the last line.

use crate::support::program::{program, run};

#[tokio::test]
async fn demo_shows_all_steps_and_ends() {
    // It uses no server, whatever the variables say.
    let demo = program(&["demo", "--teachers", "30", "--seconds", "2"])
        .env("RAS_REDIS_MODE", "cluster")
        .env("RAS_REDIS_URLS", "redis://nowhere.invalid");
    let (code, output) = run(demo).await;
    assert_eq!(code, 0, "{output}");
    let steps = ["is registered", "is assigned", "is checked", "are ranked", "is completed"];
    let parts = ["read again", "hit", "committed, invalidated, acknowledged", "curl -i"];
    for part in parts.into_iter().chain(steps) {
        assert!(output.contains(part), "{part:?} in {output}");
    }
    let last = output.lines().rfind(|line| line.contains(" stale")).unwrap();
    assert!(last.contains(" 0 stale"), "{output}");
}
