//! The connections in use: which one takes a command, and whether they still lead to a primary.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use redis::{Cmd, FromRedisValue, RedisError, RedisResult, Value};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::backend::redis::error::{Failure, NotPrimary};
use crate::backend::redis::redis_connection::{RedisConnection, Target};

/// Names of the primary role in `HELLO`.
const PRIMARY_ROLES: [&str; 2] = ["master", "primary"];
/// A single server is the same whatever the key.
const ANY: Target<'_> = Target::PrimaryOf("");

/// Connections to one server, or each to the same Cluster. They are made and replaced together.
#[derive(Clone)]
pub(super) struct Link {
    /// Number of the connection, counted from 1.
    pub(super) number: u64,
    connections: Arc<[Counted]>,
    /// The key of the last command that was not answered. Used for a Cluster.
    unanswered: Arc<watch::Sender<Option<String>>>,
}

struct Counted {
    connection: Arc<dyn RedisConnection>,
    under_way: AtomicUsize,
}

/// A command under way; ends when it is dropped.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Link {
    pub(super) fn new(number: u64, connections: Vec<Arc<dyn RedisConnection>>) -> Self {
        let count = |connection| Counted { connection, under_way: AtomicUsize::new(0) };
        Self {
            number,
            connections: connections.into_iter().map(count).collect(),
            unanswered: Arc::default(),
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.connections.iter().any(|counted| counted.connection.is_cluster())
    }

    /// Sends a command on the connection with the fewest under way.
    pub(super) async fn query<T: FromRedisValue>(
        &self,
        command: &Cmd,
        target: Target<'_>,
    ) -> RedisResult<T> {
        let busy = |counted: &&Counted| counted.under_way.load(Ordering::Relaxed);
        let Some(counted) = self.connections.iter().min_by_key(busy) else {
            return Err(std::io::Error::from(std::io::ErrorKind::NotConnected).into());
        };
        counted.under_way.fetch_add(1, Ordering::Relaxed);
        let _under_way = UnderWay(&counted.under_way);
        ask(&*counted.connection, command, target).await
    }

    /// Remembers that a command for this key was not answered in time.
    pub(super) fn note_unanswered(&self, key: &str) {
        if self.is_cluster() {
            self.unanswered.send_replace(Some(key.to_owned()));
        }
    }

    /// Checks that the server is a primary and serves commands.
    ///
    /// The client of a Cluster follows the roles of the servers by itself, but not if one hangs: then
    /// nothing makes it look for another. So a server that did not answer is asked again here.
    pub(super) async fn check(&self, limit: Duration) -> Result<(), Failure> {
        if !self.is_cluster() {
            let checks =
                self.connections.iter().map(|counted| check_role(&*counted.connection, limit));
            return try_join_all(checks).await.map(drop);
        }
        let Some(key) = self.unanswered.borrow().clone() else { return Ok(()) };
        let ping = redis::cmd("PING").take();
        match timeout(limit, self.query::<Value>(&ping, Target::PrimaryOf(&key))).await {
            Err(_) => Err(Failure::TimedOut(limit)),
            Ok(Err(error)) if error.is_timeout() => Err(Failure::TimedOut(limit)),
            Ok(_) => {
                self.unanswered.send_replace(None);
                Ok(())
            }
        }
    }
}

async fn ask<T: FromRedisValue>(
    connection: &dyn RedisConnection,
    command: &Cmd,
    target: Target<'_>,
) -> RedisResult<T> {
    let value = connection.send(command, target).await?.extract_error()?;
    Ok(redis::from_redis_value(value)?)
}

/// Checks that the server is a primary and serves commands. One that loads its data, or that a script
/// keeps busy, answers `HELLO` with its role and refuses `PING`.
async fn check_role(connection: &dyn RedisConnection, limit: Duration) -> Result<(), Failure> {
    let check = async {
        let hello = redis::cmd("HELLO").take();
        let hello: HashMap<String, Value> = ask(connection, &hello, ANY).await?;
        let _: Value = ask(connection, &redis::cmd("PING").take(), ANY).await?;
        Ok::<_, RedisError>(role(&hello))
    };
    match timeout(limit, check).await {
        Ok(Ok(role)) if PRIMARY_ROLES.contains(&&*role) => Ok(()),
        Ok(Ok(role)) => Err(Failure::NotPrimary(NotPrimary { role })),
        Ok(Err(error)) => Err(Failure::of(error, limit)),
        Err(_) => Err(Failure::TimedOut(limit)),
    }
}

/// The role in the answer to `HELLO`; a sentinel has none, so its mode is taken.
fn role(hello: &HashMap<String, Value>) -> String {
    let named = ["role", "mode"].into_iter().find_map(|name| hello.get(name));
    let text = named.and_then(|value| redis::from_redis_value_ref::<String>(value).ok());
    text.unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use async_trait::async_trait;
    use futures_util::FutureExt as _;

    use super::*;

    /// Answers only if it is not busy.
    struct Server {
        is_busy: bool,
    }

    #[async_trait]
    impl RedisConnection for Server {
        async fn send(&self, _: &Cmd, _: Target<'_>) -> RedisResult<Value> {
            if self.is_busy { pending().await } else { Ok(Value::Int(1)) }
        }
    }

    #[tokio::test]
    async fn command_is_sent_on_the_connection_with_the_fewest_under_way() {
        let connections = [true, false].map(|is_busy| Arc::new(Server { is_busy }) as Arc<_>);
        let link = Link::new(1, connections.to_vec());
        let command = redis::cmd("GET").take();
        let mut waiting = Box::pin(link.query::<i64>(&command, ANY));
        assert_eq!((&mut waiting).now_or_never(), None);
        for _ in 0..3 {
            let answer = link.query::<i64>(&command, ANY).now_or_never();
            assert_eq!(answer.map(Result::unwrap), Some(1), "sent on the busy connection");
        }
        drop(waiting);
        let mut waiting = Box::pin(link.query::<i64>(&command, ANY));
        assert_eq!((&mut waiting).now_or_never(), None, "the first is free again");
    }
}
