//! Where records go: a file, a server, a broker. All of them keep the order of the records.
//!
//! An enum and no trait: these are all there are, and whoever sends elsewhere has an iterator.

mod file;
mod kafka;
mod server;

use std::path::Path;

use indicatif::ProgressBar;

use self::file::FileOutlet;
use self::kafka::KafkaOutlet;
use self::server::ServerOutlet;
use super::summary::Receipt;
use crate::client::Target;
use simulate::SimulatedRecord;

/// Where records go.
#[derive(Debug)]
pub struct Outlet(Kind);

#[derive(Debug)]
enum Kind {
    File(FileOutlet),
    Server(ServerOutlet),
    Kafka(KafkaOutlet),
}

impl Outlet {
    /// A file with one record per line, made anew; standard output for `-`. Topics and keys are not
    /// in it.
    ///
    /// # Errors
    ///
    /// If the file cannot be made.
    pub fn file(path: &Path) -> anyhow::Result<Self> {
        FileOutlet::new(path).map(Kind::File).map(Self)
    }

    /// A running server, over HTTP, in requests of many lines. While it is away, each is tried
    /// again for about a minute, and `progress` is told.
    ///
    /// # Errors
    ///
    /// If there can be no client. Nothing is sent yet.
    pub fn server(target: Target, progress: ProgressBar) -> anyhow::Result<Self> {
        ServerOutlet::new(target, progress).map(Kind::Server).map(Self)
    }

    /// The topics of these brokers (`host:port`, comma separated), each record to its own, by its
    /// key. The producer is idempotent and waits for all replicas.
    ///
    /// # Errors
    ///
    /// If no broker answers within ten seconds.
    pub async fn kafka(brokers: &str) -> anyhow::Result<Self> {
        KafkaOutlet::connect(brokers).await.map(Kind::Kafka).map(Self)
    }

    /// Takes a record. It may go out later, with others.
    ///
    /// # Errors
    ///
    /// If this one or an earlier one could not be delivered. Then nothing more is to be sent.
    pub(super) async fn send(&mut self, record: SimulatedRecord) -> anyhow::Result<()> {
        match &mut self.0 {
            Kind::File(outlet) => outlet.send(&record),
            Kind::Server(outlet) => outlet.send(record).await,
            Kind::Kafka(outlet) => outlet.send(&record).await,
        }
    }

    /// Lets everything go out that was taken.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub(super) async fn flush(&mut self) -> anyhow::Result<()> {
        match &mut self.0 {
            Kind::File(outlet) => outlet.flush(),
            Kind::Server(outlet) => outlet.flush().await,
            // The producer sends by itself.
            Kind::Kafka(_) => Ok(()),
        }
    }

    /// Waits until everything that was taken is confirmed, or is known not to be.
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

    /// What is confirmed so far.
    pub(super) fn into_receipt(self) -> Receipt {
        match self.0 {
            Kind::File(outlet) => outlet.into_receipt(),
            Kind::Server(outlet) => outlet.into_receipt(),
            Kind::Kafka(outlet) => outlet.into_receipt(),
        }
    }
}
