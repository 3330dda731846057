//! `result-aggregator health`: asks a running server whether it lives, or is ready.
//!
//! For a supervisor without an HTTP client of its own, such as that of a container that holds nothing but
//! this program.

use std::time::Duration;

use aggregator::print_line;
use anyhow::{Context as _, bail};
use clap::Args;

use crate::client::http::{self, Trust};
use crate::printable::printable;

/// Most characters of the answer that are shown.
const ANSWER_CHARS_MAX: usize = 2_000;

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// Base URL of the server
    #[arg(long, default_value = "http://127.0.0.1:4003")]
    server: String,
    #[command(flatten)]
    trust: Trust,
    /// Accept any certificate of a server at https://, as for this machine, whose name it does not have. No key
    /// is sent
    #[arg(long, conflicts_with = "ca_file")]
    insecure: bool,
    /// Ask /readyz, whether it can answer reads, in place of /healthz, whether the process runs
    #[arg(long)]
    ready: bool,
    /// How long the answer may take, in seconds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout_seconds: u64,
}

/// Prints the answer. Fails, with exit code 1, if it is no success or does not come.
pub(super) async fn run(arguments: HealthArgs) -> anyhow::Result<()> {
    let HealthArgs { server, trust, insecure, ready, timeout_seconds } = arguments;
    let server = server.trim_end_matches('/');
    let path = if ready { "/readyz" } else { "/healthz" };
    let client = http::builder(server, &trust)?
        .tls_danger_accept_invalid_certs(insecure)
        .timeout(Duration::from_secs(timeout_seconds))
        // A proxy in the environment is for other hosts than the own one, and would answer for itself.
        .no_proxy()
        .build()
        .context("build the client")?;
    let answer = client.get(format!("{server}{path}")).send().await;
    let answer = answer.map_err(|error| http::no_answer(server, error))?;
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    let text: String = printable(text.trim_end()).chars().take(ANSWER_CHARS_MAX).collect();
    if !status.is_success() {
        bail!("{path} answered {}: {text}", status.as_u16());
    }
    print_line!("{text}");
    Ok(())
}
