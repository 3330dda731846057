//! Every answer has the version of its owner, and no answer is older than a version that the request names.

use std::sync::Arc;

use crate::http::app::App;
use crate::http::fakes::Mood;

const LIST: &str = "/internal/v1/batches/user/teacher";
const STATUS: &str = "/internal/v1/batches/batch/status";

const HIT: &str = "freshset; hit";
const STORED: &str = "freshset; fwd=miss; stored";

/// The version of both owners is 1.
fn app() -> App {
    let app = App::new();
    app.repository.register("batch", "teacher", 2);
    app
}

/// A change that is committed; the invalidation is still under way.
fn commit(app: &App) {
    app.repository.register("another", "teacher", 0);
}

#[tokio::test]
async fn every_answer_has_its_version() {
    let app = app();
    for path in [LIST, STATUS] {
        let miss = app.get(path).await;
        assert_eq!((miss.cache_status(), miss.header("x-version")), (STORED, "1"), "{path}");
        let hit = app.get(path).await;
        assert_eq!((hit.cache_status(), hit.header("x-version")), (HIT, "1"), "{path}");
        let not_modified = app.get_with(path, "if-none-match", hit.header("etag")).await;
        assert_eq!(not_modified.status, 304, "{path}");
        assert_eq!(not_modified.header("x-version"), "1", "{path}");
    }
    app.backend.set_unavailable(true);
    let bypass = app.get(LIST).await;
    assert_eq!(bypass.header("x-version"), "1");
}

#[tokio::test]
async fn hit_older_than_min_version_is_not_given_and_is_replaced() {
    let app = app();
    for path in [LIST, STATUS] {
        app.get(path).await;
    }
    commit(&app);
    for path in [LIST, STATUS] {
        let old = app.get(path).await;
        assert_eq!((old.cache_status(), old.header("x-version")), (HIT, "1"), "{path}");
        for version in [0, 1] {
            let enough = app.get(&format!("{path}?min_version={version}")).await;
            assert_eq!((enough.cache_status(), enough.header("x-version")), (HIT, "1"), "{path}");
        }
        let newer = app.get(&format!("{path}?min_version=2")).await;
        assert_eq!((newer.cache_status(), newer.header("x-version")), (STORED, "2"), "{path}");
        let again = app.get(path).await;
        assert_eq!((again.cache_status(), again.header("x-version")), (HIT, "2"), "{path}");
        assert_eq!(again.body, newer.body, "{path}");
    }
}

/// The load of another reader has read the database before the commit, and ends after it.
#[tokio::test]
async fn shared_load_older_than_min_version_is_not_given() {
    for path in [LIST, STATUS] {
        let app = Arc::new(app());
        let read = |query: &str| {
            let (app, path) = (app.clone(), format!("{path}{query}"));
            tokio::spawn(async move { app.get(&path).await })
        };
        app.repository.set_mood(Mood::WaitsWithAnswer);
        let first = read("");
        app.repository.entered.notified().await;
        commit(&app);
        let second = read("?min_version=2");
        // One thread: the second reader has run until it waits for the load of the first.
        tokio::task::yield_now().await;
        app.repository.set_mood(Mood::Answers);
        app.repository.release.add_permits(1);
        assert_eq!(first.await.unwrap().header("x-version"), "1", "{path}");
        let second = second.await.unwrap();
        let status = "freshset; fwd=miss";
        assert_eq!((second.cache_status(), second.header("x-version")), (status, "2"), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn version_that_does_not_exist_is_a_conflict_with_the_current_one() {
    let app = app();
    for (path, current) in [(LIST, 1), (STATUS, 1), ("/internal/v1/batches/nobody/status", 0)] {
        for query in ["min_version=2", "min_version=9223372036854775807"] {
            let answer = app.get(&format!("{path}?{query}")).await;
            let sentence = "This version does not exist yet";
            let detail = answer.assert_problem(409, "version_not_reached", sentence);
            let want = format!(
                "min_version: the current version is {current}; allowed: 0 to {current}, as X-Version says it"
            );
            assert_eq!(detail, want, "{path}");
            assert_eq!(answer.header("x-version"), current.to_string(), "{path}");
        }
    }
    assert_eq!(app.get("/internal/v1/batches/nobody/status?min_version=0").await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn version_that_comes_soon_is_waited_for() {
    for path in [LIST, STATUS] {
        let app = Arc::new(app());
        let reading = tokio::spawn({
            let (app, path) = (app.clone(), format!("{path}?min_version=2"));
            async move { app.get(&path).await }
        });
        while app.repository.asked().len() < 2 {
            tokio::task::yield_now().await;
        }
        commit(&app);
        let answer = reading.await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.header("x-version")), (200, "2"), "{path}");
        assert_eq!(answer.cache_status(), "freshset; fwd=request; detail=min_version", "{path}");
    }
}

#[tokio::test]
async fn min_version_that_is_no_number_is_refused() {
    let app = app();
    let allowed = "min_version: not a whole number from 0 to 9223372036854775807";
    for path in [LIST, STATUS] {
        for value in ["", "x", "-1", "1.0", "9223372036854775808", "%2B1"] {
            let answer = app.get(&format!("{path}?min_version={value}")).await;
            let detail = answer.assert_problem(400, "invalid_parameter", "Invalid parameter");
            assert_eq!(detail, allowed, "{path} {value}");
        }
        let twice = app.get(&format!("{path}?min_version=1&min_version=1")).await;
        twice.assert_problem(400, "invalid_parameter", "Invalid parameter");
    }
    assert!(app.repository.asked().is_empty());
    assert_eq!(app.get(&format!("{STATUS}?other=1")).await.status, 200, "unknown ones are ignored");
}
