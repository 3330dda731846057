//! A connection of the `redis` crate, as the backend uses it.

use async_trait::async_trait;
use redis::aio::{ConnectionLike, ConnectionManager, MultiplexedConnection};
use redis::{Cmd, RedisResult, Value};

#[cfg(feature = "cluster")]
use redis::cluster_async::ClusterConnection;
#[cfg(feature = "cluster")]
use redis::cluster_routing::{
    MultipleNodeRoutingInfo, ResponsePolicy, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr,
};

/// An asynchronous connection to a Redis server or to a Redis Cluster.
///
/// Implemented for the connections of the `redis` crate: [`MultiplexedConnection`],
/// [`ConnectionManager`], and with the feature `cluster` [`ClusterConnection`]. For a wrapper of your
/// own, pass the command on to what it wraps.
///
/// [`ClusterConnection`]: redis::cluster_async::ClusterConnection
#[async_trait]
pub trait RedisConnection: Send + Sync + 'static {
    /// Sends one command, and gives the answer.
    ///
    /// Calls at the same time must not wait for each other. What the server answers with an error may be
    /// given as [`Value::ServerError`].
    async fn send(&self, command: &Cmd, target: Target<'_>) -> RedisResult<Value>;

    /// Whether it leads to a Redis Cluster, whose keys are spread over servers.
    fn is_cluster(&self) -> bool {
        false
    }
}

/// Where a command is to be sent, if the connection leads to a Cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target<'a> {
    /// To the primary of the slot of this key; never to a replica.
    PrimaryOf(&'a str),
    /// To every primary.
    EveryPrimary,
}

#[async_trait]
impl RedisConnection for MultiplexedConnection {
    async fn send(&self, command: &Cmd, _: Target<'_>) -> RedisResult<Value> {
        self.clone().req_packed_command(command).await
    }
}

#[async_trait]
impl RedisConnection for ConnectionManager {
    async fn send(&self, command: &Cmd, _: Target<'_>) -> RedisResult<Value> {
        self.clone().req_packed_command(command).await
    }
}

#[cfg(feature = "cluster")]
#[async_trait]
impl RedisConnection for ClusterConnection {
    async fn send(&self, command: &Cmd, target: Target<'_>) -> RedisResult<Value> {
        let routing = match target {
            Target::PrimaryOf(key) => RoutingInfo::SingleNode(SingleNodeRoutingInfo::SpecificNode(
                Route::with_key(key, SlotAddr::Master),
            )),
            Target::EveryPrimary => RoutingInfo::MultiNode((
                MultipleNodeRoutingInfo::AllMasters,
                Some(ResponsePolicy::AllSucceeded),
            )),
        };
        self.clone().route_command(command.clone(), routing).await
    }

    fn is_cluster(&self) -> bool {
        true
    }
}
