//! Streams of versions: what a client is sent, when, and when no more.

use std::time::Duration;

use aggregator::http::changes::HEARTBEAT_INTERVAL;
use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, Request};
use database::{ListChange, Version};
use futures_util::StreamExt as _;
use projection::UserId;
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::http::app::{App, STREAMS_MAX, authenticated, get};
use crate::http::fakes::{Mood, unavailable};

const CHANGES: &str = "/internal/v1/batches/user/teacher/changes";
/// Time limit for what must come.
const LIMIT: Duration = Duration::from_secs(60);
/// Longer than any stream is open.
const LIFETIME_MAX: Duration = Duration::from_secs(900);

/// An open stream.
struct Stream {
    headers: HeaderMap,
    body: BodyDataStream,
}

impl Stream {
    async fn open(app: &App, request: Request<Body>) -> Self {
        let response = app.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let (parts, body) = response.into_parts();
        let mut stream = Self { headers: parts.headers, body: body.into_data_stream() };
        assert_eq!(stream.next().await.unwrap(), "retry: 2000\n\n");
        stream
    }

    /// The next bytes; none at the end.
    async fn next(&mut self) -> Option<String> {
        let chunk = timeout(LIFETIME_MAX, self.body.next()).await.unwrap()?;
        Some(String::from_utf8(chunk.unwrap().to_vec()).unwrap())
    }

    /// The next version.
    async fn version(&mut self) -> u64 {
        loop {
            let text = self.next().await.unwrap();
            if text.starts_with(':') {
                continue;
            }
            let id = text.split('\n').next().unwrap().strip_prefix("id: ").unwrap();
            assert_eq!(text, format!("id: {id}\nevent: version\ndata: {{\"version\":{id}}}\n\n"));
            return id.parse().unwrap();
        }
    }
}

fn app() -> App {
    let app = App::new();
    app.repository.register("batch", "teacher", 0);
    tokio::spawn(app.live_lists.clone().run());
    app
}

fn last_event_id(id: &str) -> Request<Body> {
    authenticated(CHANGES).header("Last-Event-ID", id).body(Body::empty()).unwrap()
}

fn change(app: &App, version: u64) {
    let change = ListChange::Changed {
        user_id: UserId::parse("teacher").unwrap(),
        version: Version(version),
    };
    app.repository.list_changes.send(change).unwrap();
}

/// Waits until the process listens, as it does from the first stream on.
async fn until_listening(app: &App) {
    let listens = async {
        while app.repository.list_changes.receiver_count() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, listens).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn first_message_has_the_current_version_and_the_next_ones_newer_ones() {
    let app = app();
    let mut stream = Stream::open(&app, get(CHANGES)).await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    assert_eq!(stream.headers["cache-control"], "no-store");
    assert_eq!(stream.headers["x-accel-buffering"], "no");
    assert_eq!(stream.version().await, 1);

    until_listening(&app).await;
    change(&app, 2);
    assert_eq!(stream.version().await, 2);
    change(&app, 1);
    change(&app, 3);
    assert_eq!(stream.version().await, 3, "one that is reported late is not sent");
    assert_eq!(app.metric("ras_streams_open").await, Some(1.0));
    assert_eq!(app.metric("ras_stream_messages_total").await, Some(3.0));
    drop(stream);
    assert_eq!(app.metric("ras_streams_open").await, Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn client_is_not_sent_again_what_it_knows() {
    let app = app();
    let mut current = Stream::open(&app, last_event_id("1")).await;
    assert_eq!(current.next().await.unwrap(), ":\n\n", "nothing but heartbeats");
    // Of a database that was restored.
    let mut ahead = Stream::open(&app, last_event_id("7")).await;
    assert_eq!(ahead.version().await, 1);
    change(&app, 2);
    assert_eq!(current.version().await, 2);
}

#[tokio::test(start_paused = true)]
async fn slow_reader_is_sent_the_newest_version_only() {
    let app = app();
    let mut stream = Stream::open(&app, get(CHANGES)).await;
    assert_eq!(stream.version().await, 1);
    until_listening(&app).await;
    for version in 2..10 {
        change(&app, version);
        // The process hears of each.
        tokio::task::yield_now().await;
    }
    assert_eq!(stream.version().await, 9);
}

#[tokio::test(start_paused = true)]
async fn missed_changes_are_looked_up() {
    let app = app();
    let mut stream = Stream::open(&app, get(CHANGES)).await;
    assert_eq!(stream.version().await, 1);
    until_listening(&app).await;
    // The connection of the listener was lost, and a change with it.
    app.repository.register("another", "teacher", 0);
    app.repository.list_changes.send(ListChange::Missed).unwrap();
    // At once, not with the next look.
    let sent = timeout(HEARTBEAT_INTERVAL, stream.version()).await;
    assert_eq!(sent.unwrap(), 2);

    // Nothing says that something was missed, and the first look fails.
    app.repository.set_mood(Mood::Fails(unavailable));
    app.repository.set_version(1);
    tokio::time::advance(Duration::from_secs(30)).await;
    tokio::task::yield_now().await;
    app.repository.set_mood(Mood::Answers);
    assert_eq!(stream.version().await, 1, "also an older one, after a restore");
}

#[tokio::test(start_paused = true)]
async fn streams_above_the_limit_are_refused_until_one_ends() {
    let app = app();
    let mut streams = Vec::new();
    for _ in 0..STREAMS_MAX {
        streams.push(Stream::open(&app, get(CHANGES)).await);
    }
    let refused = app.get(CHANGES).await;
    refused.assert_problem(503, "too_many_streams", "Too many streams");
    assert_eq!(refused.header("retry-after"), "30");
    streams.pop();
    Stream::open(&app, get(CHANGES)).await;
}

#[tokio::test(start_paused = true)]
async fn close_ends_every_stream() {
    let app = app();
    let mut stream = Stream::open(&app, get(CHANGES)).await;
    assert_eq!(stream.version().await, 1);
    app.close.cancel();
    assert_eq!(stream.next().await, None);
    let mut late = Stream::open(&app, get(CHANGES)).await;
    assert_eq!(late.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn stream_has_heartbeats_and_ends_by_itself() {
    let app = app();
    let mut stream = Stream::open(&app, get(CHANGES)).await;
    assert_eq!(stream.version().await, 1);
    let mut heartbeats = 0;
    while let Some(text) = stream.next().await {
        assert_eq!(text, ":\n\n");
        heartbeats += 1;
    }
    assert!(heartbeats >= 600 / HEARTBEAT_INTERVAL.as_secs() - 1, "{heartbeats}");
}

#[tokio::test(start_paused = true)]
async fn unavailable_database_opens_no_stream_and_keeps_none() {
    let app = app();
    app.repository.set_mood(Mood::Fails(unavailable));
    for _ in 0..=STREAMS_MAX {
        let answer = app.get(CHANGES).await;
        answer.assert_problem(503, "unavailable", "Service temporarily unavailable");
    }
    assert_eq!(app.metric("ras_streams_open").await, Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn invalid_last_event_id_is_refused() {
    let app = app();
    for id in ["", "x", "-1", "9223372036854775808"] {
        let answer = app.send(last_event_id(id)).await;
        let detail = answer.assert_problem(400, "invalid_parameter", "Invalid parameter");
        assert!(detail.starts_with("Last-Event-ID: not a whole number from 0 to "), "{detail}");
    }
    let answer = app.get("/internal/v1/batches/user//changes").await;
    answer.assert_problem(400, "invalid_parameter", "Invalid parameter");
}
