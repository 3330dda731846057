//! Commands and scripts of the backend, each with its limit.

use std::time::Duration;

use redis::{Cmd, FromRedisValue, RedisError, RedisResult, ServerErrorKind};
use tokio::time::timeout;

use crate::backend::redis::backend::RedisBackend;
use crate::backend::redis::error::NAME;
use crate::backend::redis::link::Link;
use crate::backend::redis::redis_connection::Target;
use crate::backend::redis::scripts::Script;
use crate::error::BackendError;

impl RedisBackend {
    /// Sends a command to the server that has this key.
    pub(super) async fn query<T: FromRedisValue>(
        &self,
        command: &Cmd,
        key: &str,
    ) -> Result<T, BackendError> {
        self.query_within(self.options.command_timeout, command, key).await
    }

    /// Like [`Self::query`], with another limit.
    pub(super) async fn query_within<T: FromRedisValue>(
        &self,
        limit: Duration,
        command: &Cmd,
        key: &str,
    ) -> Result<T, BackendError> {
        self.call(limit, key, async |link| link.query(command, Target::PrimaryOf(key)).await).await
    }

    /// Runs a script, and loads it first if the server does not have it.
    pub(super) async fn invoke<T: FromRedisValue>(
        &self,
        limit: Duration,
        script: &Script,
        call: &Cmd,
        key: &str,
    ) -> Result<T, BackendError> {
        self.call(limit, key, async |link| run(link, script, call, key).await).await
    }

    pub(super) async fn load_scripts(&self, key: &str) -> Result<(), BackendError> {
        for script in self.scripts.all() {
            let _: String = self.query(&script.load(), key).await?;
        }
        Ok(())
    }

    /// Waits for a command, connecting included, at most this long.
    async fn call<T>(
        &self,
        limit: Duration,
        key: &str,
        send: impl AsyncFnOnce(&Link) -> RedisResult<T>,
    ) -> Result<T, BackendError> {
        let mut used = None;
        let answer = timeout(limit, async {
            let link = used.insert(self.connection.link().await?);
            Ok(send(link).await)
        });
        match (answer.await, used) {
            (Ok(answer), Some(link)) => {
                let answer = answer?;
                if answer.as_ref().is_err_and(RedisError::is_timeout) {
                    link.note_unanswered(key);
                }
                self.connection.settle(&link, answer, limit)
            }
            (Ok(answer), None) => answer.and_then(|_| Err(timed_out(limit))),
            (Err(_), link) => {
                if let Some(link) = link {
                    link.note_unanswered(key);
                }
                Err(timed_out(limit))
            }
        }
    }
}

async fn run<T: FromRedisValue>(
    link: &Link,
    script: &Script,
    call: &Cmd,
    key: &str,
) -> RedisResult<T> {
    let owner = Target::PrimaryOf(key);
    let answer = link.query(call, owner).await;
    if !is_unknown_script(&answer) {
        return answer;
    }
    let _: String = link.query(&script.load(), owner).await?;
    let answer = link.query(call, owner).await;
    if !link.is_cluster() || !is_unknown_script(&answer) {
        return answer;
    }
    // The slot is moving, and the server that it moves to lacks the script. Which one that is only the
    // client knows. One that has no slot yet stays without.
    let _: RedisResult<String> = link.query(&script.load(), Target::EveryPrimary).await;
    link.query(call, owner).await
}

fn is_unknown_script<T>(answer: &RedisResult<T>) -> bool {
    answer.as_ref().is_err_and(|error| error.kind() == ServerErrorKind::NoScript.into())
}

fn timed_out(waited: Duration) -> BackendError {
    BackendError::Timeout { backend: NAME, waited }
}
