//! Outlets: where records are sent. Each keeps their order.
//!
//! An enum and no trait: there are only these three.

mod file;
mod kafka;
mod server;

use std::path::Path;

use aggregator::brokers::KafkaConnection;
use indicatif::ProgressBar;
use simulate::SimulatedRecord;

use self::file::FileOutlet;
use self::kafka::KafkaOutlet;
use self::server::ServerOutlet;
use super::summary::Receipt;
use crate::client::Target;

/// Destination of records: a file, a server or Kafka.
#[derive(Debug)]
pub struct Outlet(Kind);

#[derive(Debug)]
enum Kind {
    File(FileOutlet),
    Server(ServerOutlet),
    Kafka(KafkaOutlet),
}

impl Outlet {
    /// A file with one record per line, created or truncated; standard output for `-`. It has no
    /// topics and no keys.
    ///
    /// # Errors
    ///
    /// If the file cannot be created.
    pub fn file(path: &Path) -> anyhow::Result<Self> {
        FileOutlet::new(path).map(Kind::File).map(Self)
    }

    /// A running server, over HTTP, in requests of many lines. While it is unavailable, a request is
    /// retried for as long as the target allows, and `progress` shows it. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// If the client cannot be built.
    pub fn server(target: Target, progress: ProgressBar) -> anyhow::Result<Self> {
        ServerOutlet::new(target, progress).map(Kind::Server).map(Self)
    }

    /// Kafka: each record goes to its topic, with its key. The producer is idempotent and waits for all
    /// replicas.
    ///
    /// # Errors
    ///
    /// If no broker answers within ten seconds.
    pub async fn kafka(connection: &KafkaConnection) -> anyhow::Result<Self> {
        KafkaOutlet::connect(connection).await.map(Kind::Kafka).map(Self)
    }

    /// Sends a record, or buffers it to be sent with others.
    ///
    /// # Errors
    ///
    /// If this record or an earlier one could not be delivered. Then no more may be sent.
    pub(super) async fn send(&mut self, record: SimulatedRecord) -> anyhow::Result<()> {
        match &mut self.0 {
            Kind::File(outlet) => outlet.send(&record),
            Kind::Server(outlet) => outlet.send(record).await,
            Kind::Kafka(outlet) => outlet.send(&record).await,
        }
    }

    /// Sends all buffered records.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub(super) async fn flush(&mut self) -> anyhow::Result<()> {
        match &mut self.0 {
            Kind::File(outlet) => outlet.flush(),
            Kind::Server(outlet) => outlet.flush().await,
            // librdkafka sends in the background.
            Kind::Kafka(_) => Ok(()),
        }
    }

    /// Waits until every record is confirmed or has failed.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub(super) async fn settle(&mut self) -> anyhow::Result<()> {
        self.flush().await?;
        match &mut self.0 {
            Kind::File(_) | Kind::Server(_) => Ok(()),
            Kind::Kafka(outlet) => outlet.settle().await,
        }
    }

    /// The confirmations so far.
    pub(super) fn into_receipt(self) -> Receipt {
        match self.0 {
            Kind::File(outlet) => outlet.into_receipt(),
            Kind::Server(outlet) => outlet.into_receipt(),
            Kind::Kafka(outlet) => outlet.into_receipt(),
        }
    }
}
