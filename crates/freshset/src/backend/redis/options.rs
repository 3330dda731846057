//! Settings of the backend.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::key::Namespace;
use crate::random::{OsRandom, Random};

/// Most connections to one server.
pub const CONNECTIONS_MAX: usize = 64;
/// Default limit of a command.
pub const COMMAND_TIMEOUT: Duration = Duration::from_millis(100);
/// Default limit of an invalidation.
pub const INVALIDATE_TIMEOUT: Duration = Duration::from_millis(500);
/// Default limit of one attempt to connect.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// How to reach the server, and how long to wait for it.
///
/// ```
/// use freshset::Namespace;
/// use freshset::backend::redis::RedisOptions;
///
/// let options = RedisOptions::new(Namespace::new("shop")?).connections(2);
/// # Ok::<(), freshset::KeyError>(())
/// ```
#[derive(Debug, Clone)]
pub struct RedisOptions {
    pub(super) namespace: Namespace,
    pub(super) command_timeout: Duration,
    pub(super) invalidate_timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) connections: usize,
    pub(super) tls: TlsOptions,
    #[cfg(feature = "sentinel")]
    pub(super) sentinel_servers: SentinelServers,
    pub(super) random: Arc<dyn Random>,
}

impl RedisOptions {
    /// Limits for a server in the same data centre, and one connection. The namespace is the first part
    /// of every key.
    pub fn new(namespace: Namespace) -> Self {
        Self {
            namespace,
            command_timeout: COMMAND_TIMEOUT,
            invalidate_timeout: INVALIDATE_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            connections: 1,
            tls: TlsOptions::default(),
            #[cfg(feature = "sentinel")]
            sentinel_servers: SentinelServers::default(),
            random: Arc::new(OsRandom),
        }
    }

    /// Limit of every command except an invalidation. A read that waited this long goes past the cache.
    /// Default [`COMMAND_TIMEOUT`].
    pub fn command_timeout(mut self, limit: Duration) -> Self {
        self.command_timeout = limit;
        self
    }

    /// Limit of an invalidation. Longer, because giving one up costs more than waiting for it. Default
    /// [`INVALIDATE_TIMEOUT`].
    pub fn invalidate_timeout(mut self, limit: Duration) -> Self {
        self.invalidate_timeout = limit;
        self
    }

    /// Limit of one attempt to connect to a server, handshake included. Default [`CONNECT_TIMEOUT`].
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Connections to each server, brought into the range from 1 to [`CONNECTIONS_MAX`]. Default 1.
    ///
    /// Answers on one connection arrive one after the other, so with a single one a large entry delays
    /// every other answer. Each command is sent on the connection with the fewest under way. A given
    /// connection is the only one.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections.clamp(1, CONNECTIONS_MAX);
        self
    }

    /// Certificates, for URLs that begin with `rediss`.
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.tls = tls;
        self
    }

    /// How to reach the servers that Sentinel names. Used with Sentinel only; elsewhere the URL says it.
    #[cfg(feature = "sentinel")]
    pub fn sentinel_servers(mut self, servers: SentinelServers) -> Self {
        self.sentinel_servers = servers;
        self
    }

    /// The source of the jitter in the waits between attempts to connect.
    pub fn random(mut self, random: Arc<dyn Random>) -> Self {
        self.random = random;
        self
    }
}

/// Certificates of a connection over TLS, all as PEM.
#[derive(Clone, Default)]
pub struct TlsOptions {
    pub(super) ca: Option<Vec<u8>>,
    pub(super) client: Option<ClientCertificate>,
}

impl TlsOptions {
    /// The certificates that sign the server's, instead of those that the system trusts.
    pub fn ca(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(certificates.into());
        self
    }

    /// The certificate that the server asks its clients for, with those between it and the CA, and its
    /// private key.
    pub fn client(
        mut self,
        certificate: impl Into<Vec<u8>>,
        private_key: impl Into<Vec<u8>>,
    ) -> Self {
        let (certificate, private_key) = (certificate.into(), private_key.into());
        self.client = Some(ClientCertificate { certificate, private_key });
        self
    }
}

#[cfg(all(feature = "cluster", not(feature = "tls-rustls")))]
impl TlsOptions {
    pub(super) fn has_certificates(&self) -> bool {
        self.ca.is_some() || self.client.is_some()
    }
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("has_ca", &self.ca.is_some())
            .field("has_client", &self.client.is_some())
            .finish()
    }
}

/// A certificate with its private key, as PEM.
#[derive(Clone)]
#[cfg_attr(
    not(any(feature = "tls-rustls", feature = "tls-native-tls")),
    expect(dead_code, reason = "used over TLS only")
)]
pub(super) struct ClientCertificate {
    pub(super) certificate: Vec<u8>,
    pub(super) private_key: Vec<u8>,
}

/// How to reach the servers that Sentinel names.
#[cfg(feature = "sentinel")]
#[derive(Clone, Default)]
pub struct SentinelServers {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) tls: bool,
    pub(super) database: i64,
}

#[cfg(feature = "sentinel")]
impl SentinelServers {
    /// The user, instead of the default one.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// The password of the user. Without one there is no login.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Whether they are reached over TLS, with the certificates of [`RedisOptions::tls`]. Default no.
    pub fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// Number of the database. Default 0.
    pub fn database(mut self, number: i64) -> Self {
        self.database = number;
        self
    }
}

#[cfg(feature = "sentinel")]
impl fmt::Debug for SentinelServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentinelServers")
            .field("username", &self.username)
            .field("tls", &self.tls)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}
