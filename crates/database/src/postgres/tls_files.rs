//! Files that `database_url` names for TLS.
//!
//! The driver reads them for each connection, and its error has no path. A path that is wrong would look like
//! a server that does not answer.

use std::fs;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use crate::error::DbError;

const PARAMETERS: [&str; 3] = ["sslrootcert", "sslcert", "sslkey"];
/// How the driver shows that a value is a path. Of its own variables (`PGSSLROOTCERT`) it can be the certificate.
const PATH: &str = "file: ";

/// Checks that each of them can be read.
pub(super) fn check(server: &PgConnectOptions) -> Result<(), DbError> {
    for (name, value) in server.to_url_lossy().query_pairs() {
        let Some(path) = value.strip_prefix(PATH) else { continue };
        if !PARAMETERS.contains(&&*name) {
            continue;
        }
        fs::read(path).map_err(|error| {
            let hint = format!("the file that {name} of database_url names cannot be read: {path}");
            DbError::misconfigured(hint, error)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::url::parse;
    use super::*;

    #[test]
    fn file_that_cannot_be_read_is_named_with_its_parameter() {
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let check =
            |query: &str| check(&parse(&format!("postgres://u:secret@host/d?{query}")).unwrap());
        for name in PARAMETERS {
            let error = check(&format!("{name}=/no/such%20file")).unwrap_err();
            let text = error.to_string();
            assert!(error.is_misconfigured() && text.contains(name), "{text}");
            assert!(text.ends_with("/no/such file") && !text.contains("secret"), "{text}");
            assert!(check(&format!("{name}={here}")).is_ok());
        }
        assert!(check("sslmode=verify-full").is_ok());
    }
}
