//! Streams of versions, across processes, outages of the connection that listens, and stops.

use reqwest::Response;
use testkit::eventually;
use tokio::time::timeout;

use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::registered;
use crate::support::servers::Servers;
use crate::support::service::{Client, ServiceBuilder};

const CHANGES: &str = "/internal/v1/batches/user/teacher/changes";
const LIST: &str = "/internal/v1/batches/user/teacher";

/// Ends the connections that listen, and says how many there were.
const KILL_LISTENERS: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                              where datname = current_database() and query like 'LISTEN%'";

/// The connections that listen, as `count` takes them.
const LISTENERS: &str =
    "pg_stat_activity where datname = current_database() and query like 'LISTEN%'";

/// An open stream.
struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    async fn open(client: &Client) -> Self {
        let response = client.get(CHANGES).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert!(!response.headers().contains_key("content-encoding"));
        Self { response, text: String::new() }
    }

    /// The next version; none at the end.
    async fn version(&mut self) -> Option<u64> {
        let next = async {
            loop {
                if let Some((message, rest)) = self.text.split_once("\n\n") {
                    let version = message.strip_prefix("id: ").and_then(|id| id.split('\n').next());
                    let version = version.map(|id| id.parse().unwrap());
                    self.text = rest.to_owned();
                    match version {
                        Some(version) => return Some(version),
                        None => continue,
                    }
                }
                let chunk = self.response.chunk().await.unwrap()?;
                self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        };
        timeout(TIMEOUT, next).await.expect("a version")
    }

    /// Waits for this version or a newer one. Gives what it was sent.
    async fn wait_for(&mut self, version: u64) -> u64 {
        loop {
            let sent = self.version().await.expect("the stream goes on");
            if sent >= version {
                return sent;
            }
        }
    }
}

async fn change(client: &Client, batch: usize) {
    let event = registered("teacher", &format!("batch-{batch}"), 1, next_micros());
    client.post(&[event]).await.unwrap();
}

/// Version and total of the list that a client asks for who was sent a version.
async fn list_of(client: &Client, version: u64) -> (u64, u64) {
    let answer = client.get(&format!("{LIST}?min_version={version}")).await.unwrap();
    assert_eq!(answer.status(), 200);
    let version = answer.headers()["x-version"].to_str().unwrap().parse().unwrap();
    let page: serde_json::Value = answer.json().await.unwrap();
    (version, page["pagination"]["total"].as_u64().unwrap())
}

#[tokio::test]
async fn change_in_one_process_is_sent_by_another_also_when_its_connection_was_lost() {
    let servers = Servers::new().await;
    let (one, other) = tokio::join!(servers.replica(), servers.replica());
    // Somebody else's list, which is sent to nobody here.
    other.client.post(&[registered("nobody", "of nobody", 1, next_micros())]).await.unwrap();
    let mut stream = Stream::open(&one.client).await;
    assert_eq!(stream.version().await, Some(0));
    for batch in 1..=3 {
        change(&other.client, batch).await;
        let sent = stream.wait_for(batch as u64).await;
        assert_eq!(list_of(&one.client, sent).await, (sent, batch as u64));
    }

    for batch in 4..=6 {
        eventually(TIMEOUT, "a listener", || async { servers.psql(KILL_LISTENERS).await != "0" })
            .await;
        change(&other.client, batch).await;
        assert_eq!(stream.wait_for(batch as u64).await, batch as u64);
        // Until it listens again: it looks at once when it does.
        eventually(TIMEOUT, "it listens again", || async { servers.count(LISTENERS).await == 1 })
            .await;
    }
    assert_eq!(one.client.metric("ras_streams_open ").await, 1.0);
}

#[tokio::test]
async fn embedded_process_sends_changes_and_a_stop_ends_its_streams() {
    let directory = tempfile::tempdir().unwrap();
    let builder = ServiceBuilder::embedded(directory.path());
    let service = builder.variable("RAS_HTTP__STOP_GRACE_SECONDS", "3600").start().await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(Stream::open(&service.client).await);
    }
    change(&service.client, 1).await;
    for stream in &mut streams {
        assert_eq!(stream.wait_for(1).await, 1);
    }

    // Without waiting for the drain timeout of an hour.
    service.process.terminate().await;
    for stream in &mut streams {
        assert_eq!(stream.version().await, None, "the whole stream, without an error");
    }
    assert!(service.process.wait(TIMEOUT).await.success());
}

#[tokio::test]
async fn streams_leave_connections_for_reads() {
    let directory = tempfile::tempdir().unwrap();
    let builder = ServiceBuilder::embedded(directory.path());
    let service = builder.variable("RAS_HTTP__CONNECTIONS_MAX", "6").start().await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(Stream::open(&service.client).await);
    }
    let refused = service.client.get(CHANGES).await.unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "30");
    assert_eq!(service.client.get(LIST).await.unwrap().status(), 200);

    // A client that goes away makes room.
    streams.pop();
    eventually(TIMEOUT, "room for a stream", || async {
        service.client.get(CHANGES).await.unwrap().status() == 200
    })
    .await;
}
