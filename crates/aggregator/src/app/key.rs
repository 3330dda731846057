//! The API key, and the authentication with it.

use std::path::PathBuf;

use secrecy::SecretString;

use crate::config::Config;
use crate::http::auth::Auth;
use crate::key;

/// The key that callers must send.
pub(super) struct ApiKey {
    pub(super) secret: SecretString,
    /// The file that it was written to, if this start made it.
    pub(super) made_at: Option<PathBuf>,
}

/// The key of the settings, or the one that is kept in the directory of the files.
pub(super) fn key(config: &Config) -> anyhow::Result<ApiKey> {
    if let Some(key) = &config.internal_api_key {
        return Ok(ApiKey { secret: key.clone(), made_at: None });
    }
    let stored = key::read_or_make(&config.data_dir)?;
    Ok(ApiKey { secret: stored.key, made_at: stored.is_new.then_some(stored.path) })
}

/// What checks the key and the service of a request.
pub(super) fn auth(config: &Config, key: &ApiKey) -> anyhow::Result<Auth> {
    let auth = Auth::new(&key.secret, config.allowed_services.iter().cloned())?;
    Ok(match &config.internal_api_key_previous {
        Some(previous) => auth.with_previous_key(previous)?,
        None => auth,
    })
}
