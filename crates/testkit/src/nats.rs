//! NATS for tests: one server with JetStream, whose streams are in its own directory.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::guard::Signal;
use crate::server::{Server, data_directory, must, on_free_ports};
use crate::{free_port, programs};

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A running NATS server. Gone, with its data, when this is dropped.
pub struct Nats {
    _server: Server,
    port: u16,
}

impl Nats {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start() -> Self {
        must(on_free_ports(async || Self::start_at(free_port()).await).await)
    }

    /// Its URL for clients.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    async fn start_at(port: u16) -> anyhow::Result<Self> {
        let mut command = Command::new(programs::nats_server()?);
        command.args(["--addr", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--jetstream", "--store_dir", "data"]);
        let server =
            Server::new("nats", data_directory("nats", None)?, command, None, Signal::Kill)?;
        let answers = async || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok();
        server.start(START_TIMEOUT, answers).await?;
        Ok(Self { _server: server, port })
    }
}
