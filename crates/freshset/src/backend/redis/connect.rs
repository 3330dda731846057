//! One connection to one server.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use tokio::time::timeout;

use crate::backend::redis::error::Failure;

/// Commands queued to a connection's task. Beyond it a command waits.
const COMMANDS_QUEUED_MAX: usize = 1024;

/// Connects to one server, without asking for its role.
pub(super) async fn connect_one(
    client: &Client,
    connect_timeout: Duration,
    response_timeout: Duration,
) -> Result<MultiplexedConnection, Failure> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(connect_timeout))
        .set_response_timeout(Some(response_timeout))
        .set_pipeline_buffer_size(COMMANDS_QUEUED_MAX);
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    match timeout(connect_timeout, connecting).await {
        Ok(connected) => connected.map_err(|error| Failure::of(error, connect_timeout)),
        Err(_) => Err(Failure::TimedOut(connect_timeout)),
    }
}
