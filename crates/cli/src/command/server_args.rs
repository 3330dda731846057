//! Arguments that say which running server a command talks to, and how it identifies itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aggregator::key;
use anyhow::Context as _;
use clap::Args;

use crate::client::http::Trust;
use crate::client::{RETRY_SECONDS_DEFAULT, Target};

/// Server of a command. The flags are global: they may also follow a subcommand.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub(super) struct ServerArgs {
    /// Base URL of the server
    #[arg(long, global = true, default_value = "http://127.0.0.1:4003")]
    server: String,
    #[command(flatten)]
    key: KeyArgs,
}

/// Credentials and retries, for a command that has another flag for the server.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// Key to send as X-Internal-API-Key; if not set, it is read from --data-dir
    #[arg(long, global = true, env = "RAS_INTERNAL_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Data directory of an embedded server, which has its key
    #[arg(long, global = true, env = "RAS_DATA_DIR", default_value = "ras-data")]
    data_dir: PathBuf,
    #[command(flatten)]
    trust: Trust,
    /// Name to send as X-Service-ID
    #[arg(long, global = true, default_value = "admin-dashboard-service")]
    service_id: String,
    /// How long a request is retried while the server is unavailable, in seconds; 0: not at all
    #[arg(long, global = true, default_value_t = RETRY_SECONDS_DEFAULT)]
    retry_seconds: u64,
}

impl ServerArgs {
    pub(super) fn target(self) -> anyhow::Result<Target> {
        self.key.target(&self.server)
    }
}

impl KeyArgs {
    /// The server at this base URL, with the key.
    pub(super) fn target(self, server: &str) -> anyhow::Result<Target> {
        let api_key = match self.api_key {
            Some(key) => key,
            None => read_key(&self.data_dir)?,
        };
        let server = server.trim_end_matches('/').to_owned();
        let retry_max = Duration::from_secs(self.retry_seconds);
        Ok(Target { server, trust: self.trust, api_key, service_id: self.service_id, retry_max })
    }
}

fn read_key(data_dir: &Path) -> anyhow::Result<String> {
    let path = key::path(data_dir);
    let text = fs::read_to_string(&path).with_context(|| {
        format!(
            "no key: give --api-key or RAS_INTERNAL_API_KEY, or --data-dir of an embedded server \
             (tried {})",
            path.display()
        )
    })?;
    Ok(text.trim().to_owned())
}
