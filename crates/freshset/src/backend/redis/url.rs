//! URLs of servers, and what they need of this build.

use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, RedisError};

use crate::backend::redis::options::TlsOptions;

/// Whether this build can reach a server over TLS.
pub(super) const HAS_TLS: bool = cfg!(any(feature = "tls-rustls", feature = "tls-native-tls"));

/// How long sent bytes may stay unacknowledged before the connection counts as lost.
#[cfg(target_os = "linux")]
const SILENCE_MAX: std::time::Duration = std::time::Duration::from_secs(3);

/// A URL, or a list of them, that does not name a Redis server: a mistake in the configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisUrlError {
    /// It is no URL of a Redis server.
    #[error(
        "not a redis url; expected redis://[user:password@]host[:port][/database], the same with \
         rediss for tls, or unix:///path[?db=database&user=user&pass=password]"
    )]
    Invalid(#[source] RedisError),
    /// It begins with `rediss`, and this build has no TLS.
    #[error(
        "a url that begins with rediss needs the feature tls-rustls or tls-native-tls of freshset"
    )]
    NeedsTls,
    /// A certificate or a private key is not usable.
    #[error("a certificate or private key for redis is not usable")]
    Certificate(#[source] RedisError),
    /// These URLs do not go together: a Cluster has one login for all servers, and no Unix sockets.
    #[error("these redis urls cannot be those of one cluster")]
    NotOneCluster(#[source] RedisError),
    /// The list is empty.
    #[error("no redis url")]
    Missing,
}

/// The server that a URL names.
pub(super) fn parse(url: &str, tls: &TlsOptions) -> Result<ConnectionInfo, RedisUrlError> {
    let is_tls = ["rediss:", "valkeys:"].iter().any(|scheme| url.starts_with(scheme));
    let parsed = url.into_connection_info().map_err(|error| {
        if is_tls && !HAS_TLS { RedisUrlError::NeedsTls } else { RedisUrlError::Invalid(error) }
    })?;
    with_settings(parsed, tls)
}

/// Adds what every connection of ours has.
pub(super) fn with_settings(
    info: ConnectionInfo,
    tls: &TlsOptions,
) -> Result<ConnectionInfo, RedisUrlError> {
    let info = info.set_tcp_settings(tcp_settings());
    // Naming the client library to the server takes a right that older servers do not know.
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    with_certificates(info.set_redis_settings(settings), tls)
}

#[cfg(not(any(feature = "tls-rustls", feature = "tls-native-tls")))]
fn with_certificates(
    info: ConnectionInfo,
    _: &TlsOptions,
) -> Result<ConnectionInfo, RedisUrlError> {
    Ok(info)
}

#[cfg(any(feature = "tls-rustls", feature = "tls-native-tls"))]
fn with_certificates(
    info: ConnectionInfo,
    tls: &TlsOptions,
) -> Result<ConnectionInfo, RedisUrlError> {
    if !matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. }) {
        return Ok(info);
    }
    #[cfg(feature = "tls-rustls")]
    use_some_cryptography();
    let client = Client::build_with_tls(info, certificates(tls));
    Ok(client.map_err(RedisUrlError::Certificate)?.get_connection_info().clone())
}

#[cfg(any(feature = "tls-rustls", feature = "tls-native-tls"))]
pub(super) fn certificates(tls: &TlsOptions) -> redis::TlsCertificates {
    let client_tls = tls.client.clone().map(|client| redis::ClientTlsConfig {
        client_cert: client.certificate,
        client_key: client.private_key,
    });
    redis::TlsCertificates { client_tls, root_cert: tls.ca.clone() }
}

/// rustls needs a provider of cryptography for the whole process. Refused if the program chose one.
#[cfg(feature = "tls-rustls")]
fn use_some_cryptography() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client of this server. Connects to nothing yet.
pub(super) fn client(info: ConnectionInfo) -> Result<Client, RedisUrlError> {
    Client::open(info).map_err(RedisUrlError::Invalid)
}

/// Notices a server that vanished without closing the connection. Otherwise invalidations would wait
/// minutes for it, even after a failover to another machine.
pub(super) fn tcp_settings() -> TcpSettings {
    let settings = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(SILENCE_MAX);
    settings
}

#[cfg(all(test, not(any(feature = "tls-rustls", feature = "tls-native-tls"))))]
mod tests {
    use super::*;

    #[test]
    fn url_for_tls_names_the_feature_that_is_off() {
        let error = parse("rediss://u:secret@host", &TlsOptions::default()).unwrap_err();
        assert!(matches!(error, RedisUrlError::NeedsTls), "{error:?}");
        assert!(error.to_string().contains("tls-rustls"), "{error}");
    }
}
