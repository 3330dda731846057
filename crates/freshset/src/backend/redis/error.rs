//! Classifies errors of the server and of the client by what the caller does next.

use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::error::BackendError;

/// Name of this backend in errors.
pub(super) const NAME: &str = "redis";

/// Why an attempt to connect failed, or a connection was closed. Kept for the calls that find no
/// connection.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// No answer within this limit.
    TimedOut(Duration),
    /// The server answered the handshake or a command with an error, or the connection broke.
    Error(RedisError),
    /// The server has another role.
    NotPrimary(NotPrimary),
}

/// The role of a server that is not a primary.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the server's role is {role}, and only a primary is used")]
pub(super) struct NotPrimary {
    pub(super) role: String,
}

impl Failure {
    /// From an error of the client, whose limit was this long.
    pub(super) fn of(error: RedisError, limit: Duration) -> Self {
        if error.is_timeout() { Self::TimedOut(limit) } else { Self::Error(error) }
    }

    /// The error for a call that found no connection because of this.
    pub(super) fn into_backend_error(self) -> BackendError {
        match self {
            Self::TimedOut(waited) => BackendError::Timeout { backend: NAME, waited },
            Self::NotPrimary(role) => {
                BackendError::NotPrimary { backend: NAME, source: role.into() }
            }
            Self::Error(error) => match of_command(error, Duration::ZERO) {
                // An answer to the handshake concerns every command.
                BackendError::Rejected { backend, source } => {
                    BackendError::Unreachable { backend, source }
                }
                error => error,
            },
        }
    }
}

/// The error of a command whose limit was this long.
pub(super) fn of_command(error: RedisError, limit: Duration) -> BackendError {
    if error.is_timeout() {
        return BackendError::Timeout { backend: NAME, waited: limit };
    }
    let error = without_arguments(error);
    let code = error.code().map(str::to_owned);
    match (error.kind(), code.as_deref()) {
        (ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS" | "NOPERM")) => {
            BackendError::Unauthorized { backend: NAME, source: error.into() }
        }
        (_, Some("READONLY" | "MASTERDOWN" | "MOVED" | "ASK" | "CLUSTERDOWN")) => {
            BackendError::NotPrimary { backend: NAME, source: error.into() }
        }
        (_, Some("TRYAGAIN")) => BackendError::KeysMoving { backend: NAME, source: error.into() },
        (_, Some("LOADING" | "BUSY")) => {
            BackendError::NotReady { backend: NAME, source: error.into() }
        }
        (_, Some("OOM")) => BackendError::OutOfMemory { backend: NAME, source: error.into() },
        (_, Some("WRONGTYPE")) => {
            BackendError::Unexpected { backend: NAME, expected: "a key of the type it writes" }
        }
        (ErrorKind::UnexpectedReturnType, _) => {
            BackendError::Unexpected { backend: NAME, expected: "a value of the type it asked for" }
        }
        _ if is_missing_right(&error) => {
            BackendError::Unauthorized { backend: NAME, source: error.into() }
        }
        (ErrorKind::Server(_) | ErrorKind::Extension, _) => {
            BackendError::Rejected { backend: NAME, source: error.into() }
        }
        _ => BackendError::Unreachable { backend: NAME, source: error.into() },
    }
}

/// Removes the arguments of the command from the error. The server repeats them if it does not know the
/// command, and those of a handshake hold the password.
fn without_arguments(error: RedisError) -> RedisError {
    let detail = error.detail().and_then(|detail| detail.split_once(ARGUMENTS));
    let Some((detail, _)) = detail else { return error };
    RedisError::from((error.kind(), "the server answered", detail.to_owned()))
}

/// Whether the connection must be replaced: it broke, or its server cannot be used. The new connection
/// resolves the name, sends the login and asks for the role again.
///
/// Not after a timeout, nor for a missing right: rights change on open connections too. Nor while a
/// script keeps the server busy: it does so on every connection.
pub(super) fn ends_connection(error: &RedisError) -> bool {
    if error.is_timeout() {
        return false;
    }
    match error.kind() {
        ErrorKind::Server(
            ServerErrorKind::ReadOnly
            | ServerErrorKind::MasterDown
            | ServerErrorKind::BusyLoading
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask
            | ServerErrorKind::ClusterDown,
        )
        | ErrorKind::AuthenticationFailed
        | ErrorKind::Io
        | ErrorKind::Parse => true,
        _ => matches!(error.code(), Some("NOAUTH" | "WRONGPASS")),
    }
}

/// Text before the arguments in the answer to an unknown command.
const ARGUMENTS: &str = ", with args";

/// Answers about a missing right that have no code of their own: to `SELECT` in a handshake, from
/// scripts of Redis 7.0, and from scripts of later versions.
const MISSING_RIGHT: [&str; 3] =
    ["no permissions", "The user executing the script can't", "ACL failure in script"];

fn is_missing_right(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| MISSING_RIGHT.iter().any(|text| detail.contains(text)))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// The client's error for this answer of the server.
    fn answer(line: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        value.extract_error().unwrap_err()
    }

    fn class(error: &BackendError) -> &'static str {
        match error {
            BackendError::Timeout { .. } => "timeout",
            BackendError::Unreachable { .. } => "unreachable",
            BackendError::NotPrimary { .. } => "not primary",
            BackendError::NotReady { .. } => "not ready",
            BackendError::KeysMoving { .. } => "keys moving",
            BackendError::Unauthorized { .. } => "unauthorized",
            BackendError::OutOfMemory { .. } => "out of memory",
            BackendError::Unexpected { .. } => "unexpected",
            BackendError::Rejected { .. } => "rejected",
            BackendError::Random(_) => "random",
        }
    }

    #[test]
    fn every_answer_has_its_error_class() {
        for (line, expected, ends, is_outage) in [
            ("READONLY You can't write against a read only replica.", "not primary", true, true),
            ("MASTERDOWN Link with MASTER is down", "not primary", true, true),
            ("MOVED 3999 127.0.0.1:6381", "not primary", true, true),
            ("ASK 3999 127.0.0.1:6381", "not primary", true, true),
            ("CLUSTERDOWN Hash slot not served", "not primary", true, true),
            (
                "TRYAGAIN Multiple keys request during rehashing of slot",
                "keys moving",
                false,
                false,
            ),
            ("LOADING Redis is loading the dataset in memory", "not ready", true, true),
            ("BUSY Redis is busy running a script.", "not ready", false, true),
            ("NOAUTH Authentication required.", "unauthorized", true, true),
            ("WRONGPASS invalid username-password pair", "unauthorized", true, true),
            ("NOPERM this user has no permissions", "unauthorized", false, true),
            ("ERR ACL failure in script: no", "unauthorized", false, true),
            ("OOM command not allowed when used memory", "out of memory", false, false),
            ("WRONGTYPE Operation against a key", "unexpected", false, false),
            ("NOSCRIPT No matching script.", "rejected", false, false),
            ("MISCONF Redis is configured to save", "rejected", false, false),
            ("NOREPLICAS Not enough good replicas", "rejected", false, false),
            ("ERR unknown command 'X'", "rejected", false, false),
        ] {
            let error = answer(line);
            assert_eq!(ends_connection(&error), ends, "{line}");
            let error = of_command(error, Duration::ZERO);
            assert_eq!((class(&error), error.is_outage()), (expected, is_outage), "{line}");
        }
    }

    #[test]
    fn login_repeated_by_the_server_is_in_no_error() {
        let line = "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'u' 'secret'";
        for error in [
            of_command(answer(line), Duration::ZERO),
            Failure::Error(answer(line)).into_backend_error(),
        ] {
            let text = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
            assert!(text.contains("HELLO") && !text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn broken_connections_are_replaced_and_timed_out_ones_are_not() {
        for (kind, expected, ends) in [
            (io::ErrorKind::ConnectionReset, "unreachable", true),
            (io::ErrorKind::UnexpectedEof, "unreachable", true),
            (io::ErrorKind::TimedOut, "timeout", false),
        ] {
            let error = RedisError::from(io::Error::from(kind));
            assert_eq!(ends_connection(&error), ends, "{kind:?}");
            assert_eq!(class(&of_command(error, Duration::ZERO)), expected, "{kind:?}");
        }
    }

    #[test]
    fn rejected_handshake_counts_as_unreachable() {
        for (line, expected) in [
            ("ERR max number of clients reached", "unreachable"),
            ("DENIED Redis is running in protected mode", "unreachable"),
            ("NOPERM this user has no permissions to run the 'hello' command", "unauthorized"),
        ] {
            let error = Failure::Error(answer(line)).into_backend_error();
            assert_eq!(class(&error), expected, "{line}");
        }
    }
}
