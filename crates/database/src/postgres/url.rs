//! Connection settings from `database_url`, read without a line of the driver in the log.
//!
//! The driver logs each parameter that it does not know with its value, and each malformed line of
//! `.pgpass`. Either may hold a password.

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tracing::subscriber::{NoSubscriber, with_default};

/// The parameters of a URL that the driver knows; beside them `options[NAME]`.
const KNOWN: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// Reads a URL.
pub(super) fn parse(url: &str) -> sqlx::Result<PgConnectOptions> {
    let server = with_default(NoSubscriber::new(), || url.parse::<PgConnectOptions>())?;
    // The driver would log slow statements with their text, and the ids in it. Poolers refuse the
    // parameter `extra_float_digits`, and nothing here depends on it.
    Ok(server.disable_statement_logging().extra_float_digits(None))
}

/// Logs the names of the parameters that the driver ignores.
pub(super) fn log_unknown_parameters(url: &str) {
    for parameter in unknown_parameters(url) {
        tracing::warn!(parameter, "unknown parameter of database_url, ignoring it");
    }
}

fn unknown_parameters(url: &str) -> Vec<&str> {
    let (url, _fragment) = url.split_once('#').unwrap_or((url, ""));
    let (_, query) = url.split_once('?').unwrap_or((url, ""));
    let names = query.split('&').filter(|parameter| !parameter.is_empty()).map(name);
    names.filter(|name| !is_known(name)).collect()
}

/// The name of a parameter, unless it may be a piece of a value: of one with a raw `&` or `?` in it.
fn name(parameter: &str) -> &str {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-[]".contains(&byte);
    match parameter.split_once('=') {
        Some((name, _)) if name.bytes().all(is_allowed) => name,
        _ => "(not readable)",
    }
}

fn is_known(name: &str) -> bool {
    KNOWN.contains(&name) || name.starts_with("options[")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_parameters_are_named_without_their_values() {
        #[track_caller]
        fn check(query: &str, want: &[&str]) {
            let url = format!("postgres://user:pass@host:5432/results{query}");
            assert_eq!(unknown_parameters(&url), want, "{query}");
        }
        check("", &[]);
        check("?sslmode=require&user=u&options[search_path]=p#part?secret=1", &[]);
        check("?pasword=secret", &["pasword"]);
        check("?sslmode=require&connect_timeout=10&pasword=a=b", &["connect_timeout", "pasword"]);
        check("?password=one&two%20three&&four", &["(not readable)", "(not readable)"]);
        check("?s3cr%65t=1", &["(not readable)"]);
    }

    #[test]
    fn known_parameters_are_those_of_the_driver() {
        for name in KNOWN {
            let value = match name {
                "hostaddr" => "127.0.0.1",
                "port" | "statement-cache-capacity" => "7",
                "sslmode" | "ssl-mode" => "disable",
                _ => "another",
            };
            let url = format!("postgres://user@host/results?{name}={value}");
            let plain = parse("postgres://user@host/results").unwrap();
            assert_ne!(format!("{:?}", parse(&url).unwrap()), format!("{plain:?}"), "{name}");
        }
    }
}
