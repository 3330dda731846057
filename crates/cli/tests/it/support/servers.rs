//! Servers of one test: a database of its own in the shared PostgreSQL, a Redis and, if needed, a
//! broker. Replicas of the service are started on them.

use testkit::{Postgres, Redis, postgres};

use super::broker::Broker;
use super::service::{Service, ServiceBuilder, redis};

/// Servers that the replicas of a service share.
pub(crate) struct Servers {
    /// The URL of the database.
    pub(crate) database: String,
    pub(crate) redis: Redis,
    postgres: &'static Postgres,
    /// Addresses of the broker, if there is one.
    brokers: Option<String>,
}

impl Servers {
    pub(crate) async fn new() -> Self {
        let (postgres, redis) = tokio::join!(postgres(), redis());
        Self { database: postgres.create_database().await, redis, postgres, brokers: None }
    }

    /// With a broker, which stops when it is dropped.
    pub(crate) async fn with_broker() -> (Self, Broker) {
        let broker = Broker::start().await;
        let brokers = Some(broker.kafka.brokers());
        (Self { brokers, ..Self::new().await }, broker)
    }

    /// The same broker, a copy of the database, as if restored from a backup, and an empty Redis. No
    /// replica may run.
    pub(crate) async fn copy(&self) -> Self {
        let database = self.postgres.copy_database(&self.database).await;
        Self {
            database,
            redis: redis().await,
            postgres: self.postgres,
            brokers: self.brokers.clone(),
        }
    }

    /// Builder of a replica, for settings of its own.
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

    /// Number of rows of a table; a condition may follow its name.
    pub(crate) async fn count(&self, table: &str) -> usize {
        self.psql(&format!("select count(*) from {table}")).await.parse().expect("a number")
    }

    /// Runs a statement in the database. Gives the output of `psql`.
    pub(crate) async fn psql(&self, sql: &str) -> String {
        self.postgres.psql(&self.database, sql).await
    }
}
