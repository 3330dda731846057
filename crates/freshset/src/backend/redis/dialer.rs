//! How connections are made: to one server, to a Cluster, to the primary that Sentinel names.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use redis::Client;
#[cfg(feature = "cluster")]
use tokio::time::timeout;

#[cfg(feature = "cluster")]
use redis::cluster::ClusterClient;

use crate::backend::redis::connect::connect_one;
use crate::backend::redis::error::Failure;
use crate::backend::redis::link::Link;
use crate::backend::redis::redis_connection::RedisConnection;
#[cfg(feature = "sentinel")]
use crate::backend::redis::sentinel::Sentinel;
use crate::random::Random;

/// An attempt to connect to a Cluster asks some servers for the others, one after the other. So it may
/// take this many times the limit for one server.
#[cfg(feature = "cluster")]
const CLUSTER_STEPS: u32 = 4;

/// How to connect.
pub(super) struct Dialer {
    pub(super) server: Server,
    /// Number of connections.
    pub(super) connections: usize,
    /// Limit of one attempt to connect to a server, handshake and role included.
    pub(super) connect_timeout: Duration,
    /// Limit of one command; none waits longer.
    pub(super) response_timeout: Duration,
    pub(super) random: Arc<dyn Random>,
}

/// What to connect to. Boxed, for their sizes differ much.
pub(super) enum Server {
    /// One server.
    One(Box<Client>),
    /// What an existing connection leads to.
    Given(Arc<dyn RedisConnection>),
    #[cfg(feature = "cluster")]
    Cluster(Box<ClusterClient>),
    #[cfg(feature = "sentinel")]
    Sentinel(Box<Sentinel>),
}

impl Dialer {
    /// Makes connections, and checks where they lead.
    pub(super) async fn connect(&self, number: u64) -> Result<Link, Failure> {
        let connections = match &self.server {
            Server::Given(connection) => vec![Arc::clone(connection)],
            Server::One(client) => self.connect_to(client).await?,
            #[cfg(feature = "cluster")]
            Server::Cluster(client) => self.connect_to_cluster(client).await?,
            #[cfg(feature = "sentinel")]
            Server::Sentinel(sentinel) => {
                let client = sentinel.primary(self.connect_timeout).await?;
                self.connect_to(&client).await?
            }
        };
        let link = Link::new(number, connections);
        link.check(self.connect_timeout).await?;
        Ok(link)
    }

    /// Checks that the connections still lead to the primary.
    pub(super) async fn check(&self, link: &Link) -> Result<(), Failure> {
        link.check(self.response_timeout).await?;
        #[cfg(feature = "sentinel")]
        if let Server::Sentinel(sentinel) = &self.server {
            return sentinel.check_unchanged(self.connect_timeout).await;
        }
        Ok(())
    }

    async fn connect_to(&self, client: &Client) -> Result<Vec<Arc<dyn RedisConnection>>, Failure> {
        let one = async || {
            let connected =
                connect_one(client, self.connect_timeout, self.response_timeout).await?;
            Ok(Arc::new(connected) as Arc<dyn RedisConnection>)
        };
        try_join_all((0..self.connections).map(|_| one())).await
    }

    #[cfg(feature = "cluster")]
    async fn connect_to_cluster(
        &self,
        client: &ClusterClient,
    ) -> Result<Vec<Arc<dyn RedisConnection>>, Failure> {
        let limit = self.connect_timeout * CLUSTER_STEPS;
        let one = async || {
            let connecting = timeout(limit, client.get_async_connection()).await;
            let connected = connecting.map_err(|_| Failure::TimedOut(limit))?;
            let connected = connected.map_err(|error| Failure::of(error, limit))?;
            Ok(Arc::new(connected) as Arc<dyn RedisConnection>)
        };
        try_join_all((0..self.connections).map(|_| one())).await
    }
}
