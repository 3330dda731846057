//! Idle connections, more than the service accepts.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::service::{Client, ServiceBuilder};

/// More than twice as many as the service accepts.
const IDLE: usize = 2_000;
/// How long a new client may wait for its answer on a busy machine. The service closes idle
/// connections after 5 seconds.
const WAIT_MAX: Duration = Duration::from_secs(2);

#[tokio::test]
async fn idle_connections_do_not_delay_new_clients() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    let address = service.client.base.trim_start_matches("http://").to_owned();
    let mut idle = Vec::with_capacity(IDLE);
    for number in 0..IDLE {
        idle.push(TcpStream::connect(&address).await.unwrap());
        if number % 100 != 99 {
            continue;
        }
        for path in ["/healthz", "/internal/v1/batches/user/teacher"] {
            // A client of its own, so that it opens a new connection.
            let client = Client::new(service.client.base.clone());
            let answer = timeout(WAIT_MAX, client.get(path)).await;
            let answer = answer.unwrap_or_else(|_| panic!("{path} after {number} sockets"));
            assert_eq!(answer.unwrap().status(), 200, "{path} after {number} sockets");
        }
    }
}
