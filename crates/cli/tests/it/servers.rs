//! The servers of one test: a database of its own in the PostgreSQL that all tests share, a Redis,
//! and a broker if records go through one. And the replicas of the service on them.

use testkit::{Postgres, Redis, postgres};

use crate::service::{Service, ServiceBuilder, redis};
use crate::topics::Broker;

/// What replicas of the service have in common.
pub(crate) struct Servers {
    /// The URL of the database.
    pub(crate) database: String,
    pub(crate) redis: Redis,
    postgres: &'static Postgres,
    /// Where the broker is, if there is one.
    brokers: Option<String>,
}

impl Servers {
    pub(crate) async fn new() -> Self {
        let (postgres, redis) = tokio::join!(postgres(), redis());
        Self { database: postgres.create_database().await, redis, postgres, brokers: None }
    }

    /// With a broker. It stops when it is dropped.
    pub(crate) async fn with_broker() -> (Self, Broker) {
        let broker = Broker::start().await;
        let brokers = Some(broker.kafka.brokers());
        (Self { brokers, ..Self::new().await }, broker)
    }

    /// A replica that is still to be started, with settings of its own.
    pub(crate) fn builder(&self) -> ServiceBuilder {
        let builder = ServiceBuilder::on(&self.database, &self.redis.url());
        match &self.brokers {
            Some(brokers) => builder.kafka(brokers),
            None => builder,
        }
    }

    /// Starts one more replica.
    pub(crate) async fn replica(&self) -> Service {
        self.builder().start().await
    }

    /// How many rows there are of a table; a condition may follow its name.
    pub(crate) async fn count(&self, table: &str) -> usize {
        self.psql(&format!("select count(*) from {table}")).await.parse().expect("a number")
    }

    /// Runs a statement in the database; gives what `psql` prints.
    pub(crate) async fn psql(&self, sql: &str) -> String {
        self.postgres.psql(&self.database, sql).await
    }
}
