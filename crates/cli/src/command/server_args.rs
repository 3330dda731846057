//! Which running server a command speaks to, and as whom.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use crate::client::{RETRY_SECONDS_DEFAULT, Target};
use aggregator::key;

/// Which server a command talks to, and as whom. After a command's own command, too.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub(super) struct ServerArgs {
    /// Base URL of the server
    #[arg(long, global = true, default_value = "http://127.0.0.1:4003")]
    server: String,
    #[command(flatten)]
    key: KeyArgs,
}

/// As whom, for a command that names the server in its own way.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// What the server expects as X-Internal-API-Key; unset: the one kept in --data-dir
    #[arg(long, global = true, env = "RAS_INTERNAL_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Data directory of an embedded server, for its key
    #[arg(long, global = true, env = "RAS_DATA_DIR", default_value = "ras-data")]
    data_dir: PathBuf,
    /// What to send as X-Service-ID
    #[arg(long, global = true, default_value = "admin-dashboard-service")]
    service_id: String,
    /// How long a request is repeated while the server is unavailable, in seconds; 0: not at all
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
        Ok(Target { server, api_key, service_id: self.service_id, retry_max })
    }
}

fn read_key(data_dir: &Path) -> anyhow::Result<String> {
    let path = key::path(data_dir);
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "no key: give --api-key or RAS_INTERNAL_API_KEY, or --data-dir of an embedded server \
             (tried {})",
            path.display()
        )
    })?;
    Ok(text.trim().to_owned())
}
