//! PgBouncer for tests: one pooler in front of a [`Postgres`], which lets everybody in.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::guard::Signal;
use crate::postgres::unprivileged_user;
use crate::server::{Server, data_directory, must, on_free_ports, write_file};
use crate::{Postgres, free_port, programs};

const START_LIMIT: Duration = Duration::from_secs(30);
const CONFIGURATION: &str = "pgbouncer.ini";
const USERS: &str = "users.txt";

/// How it gives its server connections to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    /// To one client until that disconnects.
    Session,
    /// To a client for each transaction.
    Transaction,
}

/// A running PgBouncer. Gone when this is dropped.
pub struct PgBouncer {
    _server: Server,
    port: u16,
}

impl PgBouncer {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start(postgres: &Postgres, mode: PoolMode) -> Self {
        must(on_free_ports(async || Self::start_at(free_port(), postgres, mode).await).await)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    async fn start_at(port: u16, postgres: &Postgres, mode: PoolMode) -> anyhow::Result<Self> {
        let mut command = Command::new(programs::pgbouncer()?);
        command.arg(CONFIGURATION);
        // Like PostgreSQL it does not run as root.
        let owner = unprivileged_user().await?;
        let directory = data_directory("pgbouncer", owner)?;
        let server = Server::new("pgbouncer", directory, command, owner, Signal::Kill)?;
        let files = server.directory();
        write_file(files, CONFIGURATION, &configuration(port, postgres.port(), mode))?;
        write_file(files, USERS, "\"postgres\" \"\"\n")?;
        let address = (Ipv4Addr::LOCALHOST, port);
        let answers = async || TcpStream::connect(address).await.is_ok();
        server.start(START_LIMIT, answers).await?;
        Ok(Self { _server: server, port })
    }
}

/// As its packages have it, but for addresses and users: no startup parameter is ignored.
fn configuration(port: u16, postgres_port: u16, mode: PoolMode) -> String {
    let mode = match mode {
        PoolMode::Session => "session",
        PoolMode::Transaction => "transaction",
    };
    format!(
        "[databases]\n* = host=127.0.0.1 port={postgres_port}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = trust\nauth_file = {USERS}\npool_mode = {mode}\n"
    )
}
