//! What an error of the server or of the client means, by what the caller does next.

use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::NAME;
use crate::store::StoreError;

/// Why an attempt to connect failed, or a connection was given up. Kept to answer the calls that
/// find no connection.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// No answer within this limit.
    TimedOut(Duration),
    /// The server answered the handshake, or a command, with an error; or the connection broke.
    Answered(RedisError),
    /// The server says that it has another role.
    NotPrimary(NotPrimary),
}

/// The role that a server names which is no primary.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the server's role is {role}, and only a primary is read from and written to")]
pub(super) struct NotPrimary {
    pub(super) role: String,
}

impl Failure {
    /// Of an error of the client, while an answer was waited for this long.
    pub(super) fn of(error: RedisError, limit: Duration) -> Self {
        if error.is_timeout() { Self::TimedOut(limit) } else { Self::Answered(error) }
    }

    /// The error for a call that found no connection because of this.
    pub(super) fn into_store_error(self) -> StoreError {
        match self {
            Self::TimedOut(waited) => StoreError::Timeout { store: NAME, waited },
            Self::NotPrimary(role) => StoreError::NotPrimary { store: NAME, source: role.into() },
            Self::Answered(error) => match of_command(error, Duration::ZERO) {
                // Whatever the server says to a handshake concerns every command.
                StoreError::Rejected { store, source } => StoreError::Unreachable { store, source },
                error => error,
            },
        }
    }
}

/// The error of a command that was given this long.
pub(super) fn of_command(error: RedisError, limit: Duration) -> StoreError {
    if error.is_timeout() {
        return StoreError::Timeout { store: NAME, waited: limit };
    }
    let code = error.code().map(str::to_owned);
    match (error.kind(), code.as_deref()) {
        (ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS" | "NOPERM")) => {
            StoreError::Unauthorized { store: NAME, source: error.into() }
        }
        (_, Some("READONLY" | "MASTERDOWN" | "MOVED" | "ASK" | "CLUSTERDOWN")) => {
            StoreError::NotPrimary { store: NAME, source: error.into() }
        }
        (_, Some("LOADING" | "BUSY")) => StoreError::NotReady { store: NAME, source: error.into() },
        (_, Some("OOM")) => StoreError::OutOfMemory { store: NAME, source: error.into() },
        (_, Some("WRONGTYPE")) => {
            StoreError::Unexpected { store: NAME, expected: "a key of the type it writes" }
        }
        (ErrorKind::UnexpectedReturnType, _) => {
            StoreError::Unexpected { store: NAME, expected: "a value of the type it asked for" }
        }
        _ if names_a_right(&error) => {
            StoreError::Unauthorized { store: NAME, source: error.into() }
        }
        (ErrorKind::Server(_) | ErrorKind::Extension, _) => {
            StoreError::Rejected { store: NAME, source: error.into() }
        }
        _ => StoreError::Unreachable { store: NAME, source: error.into() },
    }
}

/// Whether the answer says that this connection, or this server, is not the right one. Then a new
/// connection is made; the login is sent again, the name resolved again, the role asked for again.
///
/// A command that came too late says nothing of the kind, nor does a right that is missing: rights
/// change on open connections too. A script that keeps the server busy does so on every connection.
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

/// What a refused `SELECT` of a handshake says, scripts of Redis 7.0, and scripts of later versions.
/// None of them has a code of its own.
const RIGHT_IS_MISSING: [&str; 3] =
    ["no permissions", "The user executing the script can't", "ACL failure in script"];

fn names_a_right(error: &RedisError) -> bool {
    let names_one = |detail: &str| RIGHT_IS_MISSING.iter().any(|text| detail.contains(text));
    error.detail().is_some_and(names_one)
}
