//! The HTTP client of the commands, and whom it trusts to be the server.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Url};
use rustls::crypto;

/// Whom a client trusts to be the server. The default: a certificate of a CA that the system trusts.
#[derive(Clone, Debug, Default, Args)]
pub struct Trust {
    /// PEM file of the CA of a server at https://; if not set, the CAs that the system trusts
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// Begins a client of the server at this base URL. It follows no redirection, or another server could get
/// the key.
///
/// # Errors
///
/// If the URL is invalid, or the file of the CA cannot be read.
pub fn builder(server: &str, trust: &Trust) -> anyhow::Result<ClientBuilder> {
    use_ring();
    let url = Url::parse(server).ok().filter(Url::has_host);
    let client = Client::builder().redirect(Policy::none());
    match (url.as_ref().map(Url::scheme), &trust.ca_file) {
        // The certificates of the system are not looked for: a small image has none.
        (Some("http"), None) => Ok(client.tls_certs_only([])),
        (Some("http"), Some(_)) => bail!("{server}: --ca-file is for a server at https://"),
        (Some("https"), None) => Ok(client),
        (Some("https"), Some(file)) => {
            let ca = read_ca(file).with_context(|| format!("--ca-file {}", file.display()))?;
            Ok(client.tls_certs_only(ca))
        }
        _ => bail!("{server}: give a base URL, such as http://127.0.0.1:4003"),
    }
}

/// The error for a request that got no answer, with what to do about a certificate that is not trusted.
pub fn no_answer(server: &str, error: reqwest::Error) -> anyhow::Error {
    let error = anyhow!(error);
    let is_untrusted = format!("{error:#}").contains("UnknownIssuer");
    let hint =
        if is_untrusted { " (--ca-file names a CA that the system does not trust)" } else { "" };
    error.context(format!("no answer from {server}{hint}"))
}

/// Sets which implementation of cryptography the clients of this process use. Every client needs it, also one that
/// uses no TLS.
pub fn use_ring() {
    // An error: it was set before.
    let _ = crypto::ring::default_provider().install_default();
}

/// The certificates of a file.
///
/// # Errors
///
/// If it cannot be read, or has no certificate in PEM. Neither names the file.
pub fn read_ca(file: &Path) -> anyhow::Result<Vec<Certificate>> {
    let pem = fs::read(file)?;
    let ca = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if ca.is_empty() {
        bail!("has no certificate in PEM");
    }
    Ok(ca)
}
