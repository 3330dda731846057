//! Arguments of the commands that read the settings of the service.

use std::net::SocketAddr;
use std::path::PathBuf;

use aggregator::config::{Config, Overrides, unread_variables};
use anyhow::bail;
use clap::Args;

/// Flags that override settings.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// Address and port; with port 0, a free port is chosen and printed [default: 127.0.0.1:4003]
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Directory of the database and the key in embedded mode [default: ras-data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// A TOML file with settings; `result-aggregator settings` prints all of them
    #[arg(long)]
    config: Option<PathBuf>,
    /// postgres://user:password@host/database, in place of SQLite
    #[arg(long)]
    database_url: Option<String>,
    /// redis://user:password@host:6379, in place of the in-process cache
    #[arg(long)]
    redis_url: Option<String>,
    /// host:9092,host:9092 to consume events from and to publish outgoing events to
    #[arg(long)]
    kafka_brokers: Option<String>,
}

impl ConfigArgs {
    /// The settings of file, variables and flags.
    pub(super) fn load(self) -> anyhow::Result<Config> {
        let loaded = Config::load(Overrides {
            file: self.config,
            listen: self.listen,
            data_dir: self.data_dir,
            database_url: self.database_url,
            redis_url: self.redis_url,
            kafka_brokers: self.kafka_brokers,
            without_redis: false,
        });
        match (loaded, unread()) {
            // A variable of another name may be why a setting is missing.
            (Err(error), Some(unread)) => bail!("{error}\n  {unread}"),
            (loaded, _) => Ok(loaded?),
        }
    }
}

/// A remark about variables that are set and not read, if there are any.
pub(super) fn unread() -> Option<String> {
    unread_variables(|name| std::env::var_os(name).is_some())
}
