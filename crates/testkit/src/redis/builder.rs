//! How a Redis is configured and started.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use super::user::User;
use super::{CONFIGURATION, RDB, Redis, Tls, UNIX_SOCKET, tls};
use crate::certificates::Certificates;
use crate::guard::Signal;
use crate::programs;
use crate::server::{Server, data_directory, free_port, must, on_free_ports, write_file};

/// How a Redis is started.
#[derive(Clone, Debug, Default)]
pub struct RedisBuilder {
    user: Option<User>,
    arguments: Vec<String>,
    settings: Vec<String>,
    tls: Option<TlsWanted>,
}

#[derive(Clone, Debug)]
struct TlsWanted {
    certificates: Certificates,
    mutual: bool,
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

    /// Serves TLS, on a port of its own, with a certificate of a new CA. [`Redis::url`] is then for
    /// TLS. The program is [`programs::redis_tls_server`], which can be another one than without.
    ///
    /// # Panics
    ///
    /// If no certificate can be made.
    #[must_use]
    pub fn tls(self) -> Self {
        self.with_tls(false)
    }

    /// Like [`RedisBuilder::tls`], and refuses clients that show no certificate of the CA.
    ///
    /// # Panics
    ///
    /// If no certificate can be made.
    #[must_use]
    pub fn mutual_tls(self) -> Self {
        self.with_tls(true)
    }

    /// Listens on a Unix socket too: [`Redis::unix_url`].
    #[must_use]
    pub fn unix_socket(self) -> Self {
        self.setting(&format!("unixsocket {UNIX_SOCKET}")).setting("unixsocketperm 700")
    }

    fn with_tls(mut self, mutual: bool) -> Self {
        self.tls = Some(TlsWanted { certificates: must(Certificates::make()), mutual });
        self
    }

    /// One with the same certificates as this one, and nothing else of it.
    pub(super) fn with_tls_alone(&self) -> Self {
        Self { tls: self.tls.clone(), ..Self::default() }
    }

    /// Whether it serves TLS.
    pub(super) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Adds a line to the configuration.
    pub(super) fn setting(mut self, line: &str) -> Self {
        self.settings.push(line.to_owned());
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

    pub(super) async fn start_at(&self, port: u16) -> anyhow::Result<Redis> {
        let program =
            if self.has_tls() { programs::redis_tls_server } else { programs::redis_server };
        let mut command = Command::new(program()?);
        command.arg(CONFIGURATION).args(&self.arguments);
        let directory = data_directory("redis", None)?;
        let server = Server::new("redis", directory, command, None, Signal::Kill)?;
        let mut settings = vec![self.own_settings(port)];
        let tls = match &self.tls {
            Some(wanted) => Some(wanted.prepare(server.directory(), &mut settings)?),
            None => None,
        };
        settings.extend(self.settings.iter().cloned());
        settings.push(String::new());
        write_file(server.directory(), CONFIGURATION, &settings.join("\n"))?;
        let (user, paused) = (self.user.clone(), AtomicBool::new(false));
        let redis = Redis { server, port, user, tls, paused };
        redis.run().await?;
        Ok(redis)
    }

    fn own_settings(&self, port: u16) -> String {
        let user = self.user.as_ref().map_or("", |user| &user.acl_line);
        format!(
            "bind {}\nport {port}\nsave \"\"\nappendonly no\ndbfilename {RDB}\n{user}",
            Ipv4Addr::LOCALHOST
        )
    }
}

impl TlsWanted {
    /// Makes the files, and adds the settings that name them.
    fn prepare(&self, directory: &Path, settings: &mut Vec<String>) -> anyhow::Result<Tls> {
        let port = free_port();
        settings.extend(tls::settings(port, self.mutual));
        Ok(Tls { port, certificates: self.certificates.clone().write_to(directory)? })
    }
}
