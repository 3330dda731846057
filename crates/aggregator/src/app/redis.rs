//! The backend of the cache on the Redis that the settings name.

use std::path::Path;

use anyhow::Context as _;
use freshset::Namespace;
use freshset::backend::redis::{RedisBackend, RedisOptions, SentinelServers, TlsOptions};
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::{Config, RedisServers};

/// Begins to connect in the background.
pub(super) fn redis_backend(
    config: &Config,
    servers: RedisServers<'_>,
) -> anyhow::Result<RedisBackend> {
    let options = options(config)?;
    match servers {
        RedisServers::Single(url) => {
            RedisBackend::new(url.expose_secret(), options).context("redis_url")
        }
        RedisServers::Cluster(urls) => {
            RedisBackend::cluster(exposed(urls), options).context("redis_urls")
        }
        RedisServers::Sentinel { urls, master_name } => {
            RedisBackend::sentinel(exposed(urls), master_name, options).context("redis_urls")
        }
    }
}

fn options(config: &Config) -> anyhow::Result<RedisOptions> {
    let namespace = Namespace::new(&config.cache.namespace).context("cache.namespace")?;
    Ok(RedisOptions::new(namespace)
        .command_timeout(config.cache.command_timeout)
        .invalidate_timeout(config.cache.drop_timeout)
        .tls(tls_options(config)?)
        .sentinel_servers(sentinel_servers(config)))
}

fn sentinel_servers(config: &Config) -> SentinelServers {
    let mut servers = SentinelServers::default().tls(config.redis_has_tls());
    if let Some(username) = &config.redis_username {
        servers = servers.username(username);
    }
    if let Some(password) = &config.redis_password {
        servers = servers.password(password.expose_secret());
    }
    servers
}

fn tls_options(config: &Config) -> anyhow::Result<TlsOptions> {
    let mut tls = TlsOptions::default();
    if let Some(path) = &config.redis_ca_file {
        tls = tls.ca(read("redis_ca_file", path)?);
    }
    let certificate = config.redis_client_certificate_file.as_deref();
    if let Some((certificate, key)) = certificate.zip(config.redis_client_key_file.as_deref()) {
        tls = tls.client(
            read("redis_client_certificate_file", certificate)?,
            read("redis_client_key_file", key)?,
        );
    }
    Ok(tls)
}

fn read(setting: &'static str, path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{setting}: read {}", path.display()))
}

fn exposed(urls: &[SecretString]) -> impl Iterator<Item = &str> {
    urls.iter().map(|url| url.expose_secret())
}
