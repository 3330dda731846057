//! Constructors of the backend: by URL, from a connection, on a Cluster, with Sentinel.

use std::sync::Arc;

#[cfg(any(feature = "cluster", feature = "sentinel"))]
use redis::ConnectionInfo;
#[cfg(feature = "cluster")]
use redis::cluster::ClusterClient;

use crate::backend::redis::backend::RedisBackend;
use crate::backend::redis::dialer::Server;
use crate::backend::redis::options::RedisOptions;
use crate::backend::redis::redis_connection::RedisConnection;
#[cfg(feature = "sentinel")]
use crate::backend::redis::sentinel::Sentinel;
use crate::backend::redis::url::{self, RedisUrlError};

/// Attempts of the Cluster's client beyond the first, all within our limits. A moved slot and a failover
/// take two; the answer that a slot is moving must arrive before the limit of a command.
#[cfg(feature = "cluster")]
const CLUSTER_RETRIES: u32 = 3;
/// Waits between these attempts, in milliseconds: from and to.
#[cfg(feature = "cluster")]
const CLUSTER_WAIT_MILLISECONDS: (u64, u64) = (5, 20);

impl RedisBackend {
    /// A backend on one server. Begins to connect in the background, and reconnects whenever the
    /// connection is lost or does not lead to the primary. So an unavailable server does not keep a
    /// program from starting.
    ///
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`RedisUrlError`] if the URL is invalid. Its text never repeats the URL, which may hold a
    /// password.
    pub fn new(url: &str, options: RedisOptions) -> Result<Self, RedisUrlError> {
        let client = url::client(url::parse(url, &options.tls)?)?;
        Ok(Self::on(Server::One(Box::new(client)), options))
    }

    /// A backend on what an existing connection leads to, which it shares with whatever else uses it.
    ///
    /// A server is asked for its role as one of our own connections is, and not used while it is a
    /// replica. Whether the connection comes back after it was lost is up to its type: a
    /// [`ConnectionManager`](redis::aio::ConnectionManager) does, a
    /// [`MultiplexedConnection`](redis::aio::MultiplexedConnection) does not. A limit of the connection's
    /// own that is shorter than those of the options counts, too. A Cluster's client also repeats commands as
    /// it is set to: with the usual 16 times an invalidation in a slot that is moving takes half of
    /// [`RedisOptions::invalidate_timeout`], with one or two it takes milliseconds.
    ///
    /// Must be called inside a tokio runtime.
    pub fn from_connection(connection: impl RedisConnection, options: RedisOptions) -> Self {
        Self::on(Server::Given(Arc::new(connection)), options)
    }

    /// A backend on a Redis Cluster, of which these URLs name some servers. Login and TLS of the first
    /// URL are those of all servers. Connects as [`new`](Self::new) does.
    ///
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`RedisUrlError`] if a URL is invalid, or they do not go together.
    #[cfg(feature = "cluster")]
    pub fn cluster(
        urls: impl IntoIterator<Item = impl AsRef<str>>,
        options: RedisOptions,
    ) -> Result<Self, RedisUrlError> {
        let client = cluster_client(parse_all(urls, &options)?, &options)?;
        Ok(Self::on(Server::Cluster(Box::new(client)), options))
    }

    /// A backend on the primary that the sentinels at these URLs name. They are asked at every attempt to
    /// connect, and every [`ROLE_CHECK_INTERVAL`](super::ROLE_CHECK_INTERVAL) whether it still is the
    /// primary. The URLs hold the login of the sentinels; that of the servers is in
    /// [`RedisOptions::sentinel_servers`]. Connects as [`new`](Self::new) does.
    ///
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`RedisUrlError`] if a URL is invalid.
    #[cfg(feature = "sentinel")]
    pub fn sentinel(
        urls: impl IntoIterator<Item = impl AsRef<str>>,
        master_name: &str,
        options: RedisOptions,
    ) -> Result<Self, RedisUrlError> {
        let sentinels = parse_all(urls, &options)?.into_iter().map(url::client);
        let sentinels = sentinels.collect::<Result<_, _>>()?;
        let (servers, tls) = (options.sentinel_servers.clone(), options.tls.clone());
        if servers.tls && !url::HAS_TLS {
            return Err(RedisUrlError::NeedsTls);
        }
        let sentinel = Sentinel::new(sentinels, master_name, servers, tls);
        Ok(Self::on(Server::Sentinel(Box::new(sentinel)), options))
    }
}

#[cfg(any(feature = "cluster", feature = "sentinel"))]
fn parse_all(
    urls: impl IntoIterator<Item = impl AsRef<str>>,
    options: &RedisOptions,
) -> Result<Vec<ConnectionInfo>, RedisUrlError> {
    let servers = urls.into_iter().map(|url| url::parse(url.as_ref(), &options.tls));
    let servers: Vec<_> = servers.collect::<Result<_, _>>()?;
    if servers.is_empty() { Err(RedisUrlError::Missing) } else { Ok(servers) }
}

#[cfg(feature = "cluster")]
fn cluster_client(
    servers: Vec<ConnectionInfo>,
    options: &RedisOptions,
) -> Result<ClusterClient, RedisUrlError> {
    let is_tls =
        servers.iter().any(|server| matches!(server.addr(), redis::ConnectionAddr::TcpTls { .. }));
    let (wait_min, wait_max) = CLUSTER_WAIT_MILLISECONDS;
    let builder = ClusterClient::builder(servers)
        .tcp_settings(url::tcp_settings())
        .connection_timeout(options.connect_timeout)
        .response_timeout(options.invalidate_timeout.max(options.command_timeout))
        // Each call has its own limit.
        .overall_response_timeout(None)
        .retries(CLUSTER_RETRIES)
        .min_retry_wait(wait_min)
        .max_retry_wait(wait_max);
    #[cfg(feature = "tls-rustls")]
    let builder = if is_tls { builder.certs(url::certificates(&options.tls)) } else { builder };
    #[cfg(not(feature = "tls-rustls"))]
    if is_tls && options.tls.has_certificates() {
        return Err(RedisUrlError::Certificate(needs_rustls()));
    }
    builder.build().map_err(RedisUrlError::NotOneCluster)
}

/// The client of a Cluster takes no other certificates than those that the system trusts.
#[cfg(all(feature = "cluster", not(feature = "tls-rustls")))]
fn needs_rustls() -> redis::RedisError {
    let detail = "a cluster takes certificates of your own with the feature tls-rustls only";
    (redis::ErrorKind::InvalidClientConfig, detail).into()
}
