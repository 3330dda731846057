//! Tests of each server and helper, on the real programs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod eventually;
mod kafka;
mod owner;
mod postgres;
mod process;
mod proxy;
mod redis;
mod redis_cluster;
mod redis_sentinel;
mod redis_tls;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A limit for what takes milliseconds on an idle machine.
const SOON: Duration = Duration::from_secs(20);
/// How long a test waits to be sure that nothing comes.
const SILENCE: Duration = Duration::from_millis(300);

/// Whether a Redis answers at this address, on a new connection, before [`SILENCE`] is over.
async fn redis_answers(address: SocketAddr) -> bool {
    let asked = timeout(SILENCE, async {
        let mut stream = TcpStream::connect(address).await?;
        ping(&mut stream).await
    });
    asked.await.is_ok_and(|answer| answer.is_ok())
}

/// Asks for a PONG and waits for it.
async fn ping(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"PING\r\n").await?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"+PONG\r\n");
    Ok(())
}
