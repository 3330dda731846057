//! Parts of pages that are kept current: limited, and ended by a stop.

use futures_util::StreamExt as _;
use reqwest::{Response, StatusCode};
use tokio::time::timeout;

use crate::support::common::TIMEOUT;
use crate::support::events::registered;
use crate::support::http::http_client;
use crate::support::service::ServiceBuilder;

const EVENTS: &str = "/console/overview/events";
/// Streams of a process.
const STREAMS_MAX: usize = 32;

async fn open(base: &str) -> Response {
    http_client().get(format!("{base}{EVENTS}")).send().await.expect("an answer")
}

#[tokio::test]
async fn overview_is_streamed_within_a_limit_until_the_stop() {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let base = &service.client.base;
    let answer = open(base).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut stream = answer.bytes_stream();
    service.client.post(&[registered("teacher", "batch", 1, 1)]).await.unwrap();
    let mut text = String::new();
    let current = async {
        while !text.contains("1 since the start") {
            let chunk = stream.next().await.expect("more").expect("bytes");
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    timeout(TIMEOUT, current).await.expect("the event is shown");

    let mut others = Vec::new();
    for _ in 1..STREAMS_MAX {
        let answer = open(base).await;
        assert_eq!(answer.status(), StatusCode::OK);
        others.push(answer);
    }
    let refused = open(base).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));

    service.process.terminate().await;
    let end = async { while let Some(Ok(_)) = stream.next().await {} };
    timeout(TIMEOUT, end).await.expect("the stream ends");
    assert!(service.process.wait(TIMEOUT).await.success());
}
