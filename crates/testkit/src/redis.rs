//! Redis for tests: one server without replicas, in memory until [`Redis::save`].
//!
//! No Cluster, no Sentinel, no TLS, no dependency on a Redis client.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::guard::Signal;
use crate::server::{Server, data_directory, must, on_free_ports, run_tool, write_file};
use crate::{free_port, programs};

/// A start takes 50 ms; a large RDB and a busy machine take longer.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// One probe of a server that may be starting.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// A command that a test sends by hand.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

const CONFIGURATION: &str = "redis.conf";
const RDB: &str = "dump.rdb";

/// A running Redis. Gone, with its data, when this is dropped.
pub struct Redis {
    server: Server,
    port: u16,
    user: Option<User>,
}

/// How a Redis is started.
#[derive(Clone, Debug, Default)]
pub struct RedisBuilder {
    user: Option<User>,
    arguments: Vec<String>,
}

#[derive(Clone, Debug)]
struct User {
    name: String,
    password: String,
    acl_line: String,
}

impl Redis {
    /// Starts one with no user but the default one, which may do everything.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// To choose a user, or more.
    pub fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// For the program under test: as the user of [`RedisBuilder::acl_user`], if there is one.
    pub fn url(&self) -> String {
        self.url_at(self.address())
    }

    /// Like [`Redis::url`], but through `address`: a [`FaultProxy`](crate::FaultProxy).
    pub fn url_at(&self, address: SocketAddr) -> String {
        match &self.user {
            Some(User { name, password, .. }) => format!("redis://{name}:{password}@{address}"),
            None => format!("redis://{address}"),
        }
    }

    /// For the test itself: as the default user, who may do everything.
    pub fn admin_url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// The port it listens on. Stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it with SIGSTOP: connections stay open, nothing is answered.
    ///
    /// # Panics
    ///
    /// If the signal cannot be sent.
    pub async fn pause(&self) {
        must(self.server.pause().await);
    }

    /// Continues it after [`Redis::pause`].
    ///
    /// # Panics
    ///
    /// If the signal cannot be sent.
    pub async fn resume(&self) {
        must(self.server.resume().await);
    }

    /// Ends it with SIGKILL. What was saved stays for [`Redis::restart`].
    ///
    /// # Panics
    ///
    /// If it does not end.
    pub async fn kill(&self) {
        must(self.server.kill().await);
    }

    /// Kills it if it runs, and starts it on the same port, with what [`Redis::save`] saved last.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn restart(&self) {
        must(self.server.kill().await);
        must(self.run().await);
    }

    /// Kills it if it runs, and starts it on the same port, without data.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn restart_empty(&self) {
        must(self.server.kill().await);
        must(self.remove_saved());
        must(self.run().await);
    }

    /// Saves all data to the file that [`Redis::restart`] reads.
    ///
    /// # Panics
    ///
    /// If it does not say that it did.
    pub async fn save(&self) {
        let saved = timeout(COMMAND_TIMEOUT, ask(self.port, "SAVE")).await;
        match saved {
            Ok(Ok(answer)) if answer == "+OK" => {}
            other => panic!("redis did not save: {other:?}"),
        }
    }

    /// Runs `redis-cli` with these arguments as the default user; gives what it printed.
    ///
    /// # Panics
    ///
    /// If there is no `redis-cli`, or it fails.
    pub async fn cli(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(must(programs::redis_cli()));
        command.args(["-e", "-p", &self.port.to_string()]).args(arguments);
        command.env_remove("REDISCLI_AUTH");
        must(run_tool(command, COMMAND_TIMEOUT).await)
    }

    async fn run(&self) -> anyhow::Result<()> {
        let port = self.port;
        self.server.start(START_TIMEOUT, async || answers(port).await).await
    }

    fn remove_saved(&self) -> anyhow::Result<()> {
        match fs::remove_file(self.server.directory().join(RDB)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).context("remove the saved data")
            }
            _ => Ok(()),
        }
    }
}

impl RedisBuilder {
    /// Adds a user, given by a line as in an ACL file: `user app on >secret ~app:* +@read`. The
    /// word `user` may be left out. [`Redis::url`] is then for this user.
    #[must_use]
    pub fn acl_user(mut self, line: &str) -> Self {
        self.user = Some(must(User::parse(line)));
        self
    }

    /// Adds an argument for `redis-server`, such as `--maxmemory 8mb` as two arguments.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Starts it and waits until it answers.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub async fn start(self) -> Redis {
        must(self.try_start().await)
    }

    /// Starts it and waits until it answers.
    ///
    /// # Errors
    ///
    /// The program is missing or does not start; the error has the end of its log.
    pub async fn try_start(self) -> anyhow::Result<Redis> {
        on_free_ports(async || self.start_at(free_port()).await).await
    }

    async fn start_at(&self, port: u16) -> anyhow::Result<Redis> {
        let mut command = Command::new(programs::redis_server()?);
        command.arg(CONFIGURATION).args(&self.arguments);
        let directory = data_directory("redis", None)?;
        let server = Server::new("redis", directory, command, None, Signal::Kill)?;
        write_file(server.directory(), CONFIGURATION, &self.configuration(port))?;
        let redis = Redis { server, port, user: self.user.clone() };
        redis.run().await?;
        Ok(redis)
    }

    fn configuration(&self, port: u16) -> String {
        let user = self.user.as_ref().map_or("", |user| &user.acl_line);
        format!(
            "bind {}\nport {port}\nsave \"\"\nappendonly no\ndbfilename {RDB}\n{user}\n",
            Ipv4Addr::LOCALHOST
        )
    }
}

impl User {
    fn parse(line: &str) -> anyhow::Result<Self> {
        let rules = line.trim();
        let rules = rules.strip_prefix("user ").unwrap_or(rules);
        let name = rules.split_whitespace().next();
        let password = rules.split_whitespace().find_map(|word| word.strip_prefix('>'));
        let (Some(name), Some(password)) = (name, password) else {
            bail!("an acl line needs a name and a `>password`: `{line}`");
        };
        Ok(Self {
            name: name.to_owned(),
            password: password.to_owned(),
            acl_line: format!("user {rules}"),
        })
    }
}

/// Whether it serves: while it loads its data it answers, but with an error.
async fn answers(port: u16) -> bool {
    let answer = timeout(PING_TIMEOUT, ask(port, "PING")).await;
    answer.is_ok_and(|answer| answer.is_ok_and(|line| line == "+PONG"))
}

/// The first line of the answer to a command without arguments.
async fn ask(port: u16, command: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(format!("{command}\r\n").as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    Ok(line.trim_end().to_owned())
}
