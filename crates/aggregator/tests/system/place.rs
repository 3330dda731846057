//! Servers of a test's own, and replicas of the service that come and go.

use std::sync::Arc;

use testkit::{Postgres, Redis, postgres};

use crate::service::{Service, ServiceBuilder, redis};
use crate::topics::Broker;

/// The servers, of which replicas are a part or leave.
pub(crate) struct Place {
    pub(crate) broker: Arc<Broker>,
    redis: Redis,
    pub(crate) server: &'static Postgres,
    pub(crate) database: String,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let broker = Arc::new(Broker::start().await);
        let (server, redis) = tokio::join!(postgres(), redis());
        Self { broker, redis, server, database: server.create_database().await }
    }

    pub(crate) async fn replica(&self, mutant: Option<&str>) -> Service {
        let mut builder = ServiceBuilder::on(&self.database, &self.redis.url());
        if let Some(mutant) = mutant {
            builder = builder.variable("FAULT_MUTANT", mutant);
        }
        builder.kafka(&self.broker.kafka.brokers()).start().await
    }
}
