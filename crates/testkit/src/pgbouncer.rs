//! PgBouncer for tests: one pooler in front of a [`Postgres`], without passwords.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::guard::Signal;
use crate::postgres::unprivileged_user;
use crate::server::{Server, data_directory, must, on_free_ports, write_file};
use crate::{Postgres, free_port, programs};

const START_TIMEOUT: Duration = Duration::from_secs(30);
const CONFIGURATION: &str = "pgbouncer.ini";
const USERS: &str = "users.txt";
/// The database that stands for the pooler itself.
const CONSOLE: &str = "pgbouncer";
/// Its own default.
const POOL_SIZE_DEFAULT: u16 = 20;

/// When a client gets another server connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    /// A client keeps its server connection until it disconnects.
    Session,
    /// A client has a server connection for each transaction.
    Transaction,
    /// A client has a server connection for each statement.
    Statement,
}

/// A running PgBouncer. Gone when this is dropped.
pub struct PgBouncer {
    server: Server,
    port: u16,
    pool_size: u16,
}

impl PgBouncer {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start(postgres: &Postgres, mode: PoolMode) -> Self {
        Self::with_pool_size(postgres, mode, POOL_SIZE_DEFAULT).await
    }

    /// Starts one with so many connections to its server for each database.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn with_pool_size(postgres: &Postgres, mode: PoolMode, size: u16) -> Self {
        must(on_free_ports(async || Self::start_at(free_port(), postgres, mode, size).await).await)
    }

    /// Changes its server and its mode while it runs. Clients keep their connections.
    ///
    /// # Panics
    ///
    /// If it cannot be switched.
    pub async fn switch(&self, postgres: &Postgres, mode: PoolMode) {
        let configuration = configuration(self.port, postgres.port(), mode, self.pool_size);
        must(write_file(self.server.directory(), CONFIGURATION, &configuration));
        postgres.psql(&postgres.url_at(self.address(), CONSOLE), "reload").await;
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    async fn start_at(
        port: u16,
        postgres: &Postgres,
        mode: PoolMode,
        pool_size: u16,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(programs::pgbouncer()?);
        command.arg(CONFIGURATION);
        // Like PostgreSQL it does not run as root.
        let owner = unprivileged_user().await?;
        let directory = data_directory("pgbouncer", owner)?;
        let server = Server::new("pgbouncer", directory, command, owner, Signal::Kill)?;
        let files = server.directory();
        let configuration = configuration(port, postgres.port(), mode, pool_size);
        write_file(files, CONFIGURATION, &configuration)?;
        write_file(files, USERS, "\"postgres\" \"\"\n")?;
        let address = (Ipv4Addr::LOCALHOST, port);
        let answers = async || TcpStream::connect(address).await.is_ok();
        server.start(START_TIMEOUT, answers).await?;
        Ok(Self { server, port, pool_size })
    }
}

/// The configuration of its packages, except for addresses and users: it ignores no startup parameter.
fn configuration(port: u16, postgres_port: u16, mode: PoolMode, pool_size: u16) -> String {
    let mode = match mode {
        PoolMode::Session => "session",
        PoolMode::Transaction => "transaction",
        PoolMode::Statement => "statement",
    };
    format!(
        "[databases]\n* = host=127.0.0.1 port={postgres_port}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = trust\nauth_file = {USERS}\nadmin_users = postgres\npool_mode = {mode}\n\
         default_pool_size = {pool_size}\n"
    )
}
