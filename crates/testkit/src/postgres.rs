//! PostgreSQL for tests: one cluster, reached over TCP by its superuser without a password.
//!
//! A committed transaction survives [`Postgres::kill`], as it would in production: only the wait
//! for the disk is off, which protects from a power cut, not from SIGKILL.
//!
//! No replicas, no dependency on a PostgreSQL client.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;

use crate::certificates::Certificates;
use crate::guard::{Signal, User};
use crate::server::{Server, data_directory, must, on_free_ports, run_tool, write_file};
use crate::{free_port, programs};

/// A start takes half a second; recovery after a kill under load takes longer.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// `initdb` takes one second.
const INITDB_TIMEOUT: Duration = Duration::from_secs(60);
/// One probe of a server that may be starting.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// One statement of a test, sent by hand.
const PSQL_TIMEOUT: Duration = Duration::from_secs(120);
/// Right after a kill, dying children can still hold the shared memory; then it refuses to start.
const RESTART_ATTEMPTS: usize = 10;
/// Enough for several pools and several service processes at once.
const CONNECTIONS_MAX: u16 = 200;

const SUPERUSER: &str = "postgres";
const DATA: &str = "data";
const CLIENTS: &str = "pg_hba.conf";
/// The superuser, as which the tests ask, needs no TLS; everybody else a certificate with their name.
const CLIENTS_WITH_CERTIFICATE: &str = "\
host    all postgres 127.0.0.1/32 trust
hostssl all all      127.0.0.1/32 cert
";
/// Who may read the key: PostgreSQL refuses one that others can read.
const KEY_MODE: u32 = 0o600;

/// A running PostgreSQL. Gone, with its data, when this is dropped.
pub struct Postgres {
    server: Server,
    programs: PathBuf,
    port: u16,
    certificates: Option<Certificates>,
    databases_made: AtomicU64,
}

/// How a PostgreSQL is started.
#[derive(Clone, Debug, Default)]
pub struct PostgresBuilder {
    durable: bool,
    settings: Vec<(String, String)>,
    certificates: Option<Certificates>,
}

impl Postgres {
    /// Starts one that does not wait for the disk.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// To choose durability or settings.
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder::default()
    }

    /// The URL of a database, as superuser. The database `postgres` is always there.
    pub fn url(&self, database: &str) -> String {
        self.url_at(self.address(), database)
    }

    /// Like [`Postgres::url`], but through `address`: a [`FaultProxy`](crate::FaultProxy).
    pub fn url_at(&self, address: SocketAddr, database: &str) -> String {
        format!("postgres://{SUPERUSER}@{address}/{database}")
    }

    /// The URL of a database over TLS, as the user [`Certificates::CLIENT_NAME`], who must be created. With the
    /// files of the CA, of the client's certificate and of its key.
    ///
    /// # Panics
    ///
    /// Without [`PostgresBuilder::mutual_tls`].
    pub fn tls_url(&self, database: &str) -> String {
        let certificates = self.certificates();
        format!(
            "postgres://{}@{}/{database}?sslmode=verify-full&sslrootcert={}&sslcert={}&sslkey={}",
            Certificates::CLIENT_NAME,
            self.address(),
            certificates.ca_file().display(),
            certificates.client_certificate_file().display(),
            certificates.client_key_file().display()
        )
    }

    /// The certificates.
    ///
    /// # Panics
    ///
    /// Without [`PostgresBuilder::mutual_tls`].
    pub fn certificates(&self) -> &Certificates {
        must(self.certificates.as_ref().context("postgres was started without tls"))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// The port it listens on. Stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Creates an empty database with a new name, for one test, and gives its URL.
    ///
    /// # Panics
    ///
    /// If it cannot be created.
    pub async fn create_database(&self) -> String {
        self.create_database_with("").await
    }

    /// Copies a database, as a backup and its restore do, and gives the URL of the copy. Nobody may be
    /// connected to it.
    ///
    /// # Panics
    ///
    /// If it cannot be copied.
    pub async fn copy_database(&self, url: &str) -> String {
        let name = must(url.rsplit('/').next().context("a URL has a database"));
        self.create_database_with(&format!("template {name}")).await
    }

    async fn create_database_with(&self, options: &str) -> String {
        let number = self.databases_made.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.psql(&self.url(SUPERUSER), &format!("create database {name} {options}")).await;
        self.url(&name)
    }

    /// Runs SQL through `psql`; gives the rows, one per line, columns separated by `|`.
    ///
    /// # Panics
    ///
    /// If the SQL fails.
    pub async fn psql(&self, url: &str, sql: &str) -> String {
        let mut command = program(&self.programs, "psql");
        command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"]);
        command.args(["--set", "ON_ERROR_STOP=1", "--dbname", url, "--command", sql]);
        must(run_tool(command, PSQL_TIMEOUT).await)
    }

    /// Stops the server and its backends with SIGSTOP: connections stay open, nothing
    /// is answered.
    ///
    /// # Panics
    ///
    /// If the signal cannot be sent.
    pub async fn pause(&self) {
        must(self.server.pause().await);
    }

    /// Continues it after [`Postgres::pause`].
    ///
    /// # Panics
    ///
    /// If the signal cannot be sent.
    pub async fn resume(&self) {
        must(self.server.resume().await);
    }

    /// Ends the server and its backends with SIGKILL. The data stays for [`Postgres::restart`].
    ///
    /// # Panics
    ///
    /// If it does not end.
    pub async fn kill(&self) {
        must(self.server.kill().await);
    }

    /// Kills it if it runs, and starts it on the same port and data: it recovers as after a crash.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn restart(&self) {
        must(self.server.kill().await);
        let mut attempts = 1;
        while let Err(error) = self.run().await {
            if attempts == RESTART_ATTEMPTS || !still_in_use(&error) {
                panic!("{error:#}");
            }
            attempts += 1;
        }
    }

    async fn run(&self) -> anyhow::Result<()> {
        self.server.start(START_TIMEOUT, async || self.answers().await).await
    }

    async fn answers(&self) -> bool {
        let mut command = program(&self.programs, "pg_isready");
        command.args(["--quiet", "--timeout=1", "--host=127.0.0.1"]);
        command.arg(format!("--port={}", self.port));
        run_tool(command, PROBE_TIMEOUT).await.is_ok()
    }
}

impl PostgresBuilder {
    /// Waits for the disk at every commit, as in production. For measurements.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.durable = true;
        self
    }

    /// Sets a parameter, such as `log_statement` to `all`.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Serves TLS, and lets in nobody but the superuser who shows no certificate of the CA with the name of
    /// the user: [`Postgres::tls_url`].
    ///
    /// # Panics
    ///
    /// If no certificate can be made.
    #[must_use]
    pub fn mutual_tls(mut self) -> Self {
        self.certificates = Some(must(Certificates::make()));
        self
    }

    /// Makes a cluster, starts it and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start(self) -> Postgres {
        must(self.try_start().await)
    }

    /// Makes a cluster, starts it and waits until it answers.
    ///
    /// # Errors
    ///
    /// A program is missing or fails; the error has the end of the log.
    pub async fn try_start(self) -> anyhow::Result<Postgres> {
        on_free_ports(async || self.start_at(free_port()).await).await
    }

    async fn start_at(&self, port: u16) -> anyhow::Result<Postgres> {
        let programs = programs::postgres_bin()?;
        let owner = unprivileged_user().await?;
        let directory = data_directory("postgres", owner)?;
        let certificates = match &self.certificates {
            Some(certificates) => Some(write_certificates(certificates, &directory, owner)?),
            None => None,
        };
        let mut command = program(&programs, "postgres");
        command.args(["-D", DATA]).args(self.settings(port));
        if let Some(certificates) = &certificates {
            command.args(tls_settings(certificates, &directory));
        }
        // An immediate shutdown: no checkpoint, but no shared memory left behind either.
        let server = Server::new("postgres", directory, command, owner, Signal::Quit)?;
        make_cluster(&programs, server.directory(), owner).await?;
        let postgres =
            Postgres { server, programs, port, certificates, databases_made: AtomicU64::new(0) };
        postgres.run().await?;
        Ok(postgres)
    }

    /// Arguments, which override the files of the cluster.
    fn settings(&self, port: u16) -> Vec<String> {
        let port = port.to_string();
        let connections = CONNECTIONS_MAX.to_string();
        let ours = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &port),
            ("unix_socket_directories", ""),
            ("max_connections", &connections),
            ("fsync", if self.durable { "on" } else { "off" }),
            // Files of the data directory, so that nothing of a killed server stays elsewhere.
            ("dynamic_shared_memory_type", "mmap"),
        ];
        let theirs = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let all = ours.into_iter().chain(theirs);
        all.flat_map(|(name, value)| setting(name, value)).collect()
    }
}

fn setting(name: &str, value: &str) -> [String; 2] {
    ["-c".to_owned(), format!("{name}={value}")]
}

/// Writes the certificates, with a key that only the server's user can read, and who may connect.
fn write_certificates(
    certificates: &Certificates,
    directory: &Path,
    owner: Option<User>,
) -> anyhow::Result<Certificates> {
    write_file(directory, CLIENTS, CLIENTS_WITH_CERTIFICATE)?;
    let certificates = certificates.clone().write_to(directory)?;
    let key = certificates.server_key_file();
    fs::set_permissions(&key, fs::Permissions::from_mode(KEY_MODE)).context("protect the key")?;
    if let Some(owner) = owner {
        chown(&key, Some(owner.id), Some(owner.group)).context("change the owner of the key")?;
    }
    Ok(certificates)
}

/// Arguments that switch TLS on.
fn tls_settings(certificates: &Certificates, directory: &Path) -> Vec<String> {
    let files = [
        ("ssl_ca_file", certificates.ca_file()),
        ("ssl_cert_file", certificates.server_certificate_file()),
        ("ssl_key_file", certificates.server_key_file()),
        ("hba_file", directory.join(CLIENTS)),
    ];
    let files = files.iter().flat_map(|(name, path)| setting(name, &path.to_string_lossy()));
    files.chain(setting("ssl", "on")).collect()
}

/// Without the caller's `PG…` variables, which would point it to another server.
fn program(programs: &Path, name: &str) -> Command {
    let mut command = Command::new(programs.join(name));
    for (variable, _) in env::vars_os() {
        if variable.to_string_lossy().starts_with("PG") {
            command.env_remove(variable);
        }
    }
    command
}

/// The user that runs PostgreSQL if this process is root, as which it refuses to run. Its packages
/// create that user.
pub(crate) async fn unprivileged_user() -> anyhow::Result<Option<User>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let id = number_of_user("-u").await?;
    let group = number_of_user("-g").await?;
    Ok(Some(User { id, group }))
}

async fn number_of_user(which: &str) -> anyhow::Result<u32> {
    let mut command = Command::new("id");
    command.args([which, SUPERUSER]);
    let printed = run_tool(command, PROBE_TIMEOUT)
        .await
        .context("root needs the user `postgres` to run PostgreSQL")?;
    printed.parse().with_context(|| format!("`id {which}` printed `{printed}`"))
}

async fn make_cluster(
    programs: &Path,
    directory: &Path,
    owner: Option<User>,
) -> anyhow::Result<()> {
    let mut command = program(programs, "initdb");
    command.args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]);
    command.args(["--username", SUPERUSER, "--pgdata", DATA]).current_dir(directory);
    if let Some(owner) = owner {
        command.uid(owner.id).gid(owner.group);
    }
    run_tool(command, INITDB_TIMEOUT).await?;
    Ok(())
}

fn still_in_use(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}");
    text.contains("still in use") || text.contains("postmaster.pid")
}
