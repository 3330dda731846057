//! Classification of the error codes of PostgreSQL and SQLite.

use std::io;

use rustls::AlertDescription;
use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteError;

pub(super) const HINT_URL: &str = "database_url cannot be read; it looks like \
                        postgres://user:password@host:5432/database";
pub(super) const HINT_TLS: &str = "TLS to the server of database_url fails; check that sslrootcert is the CA of the server's \
     certificate, that the host is a name in it, that the server has ssl = on, and sslcert and sslkey if \
     it asks for a certificate";
const HINT_LOGIN: &str = "the login of database_url is refused; check its user, its password, and \
                          the server's pg_hba.conf";
const HINT_DATABASE: &str = "the database of database_url does not exist; create it with: create \
                             database NAME encoding 'UTF8' locale 'C' template template0";
const HINT_RIGHTS: &str = "the user of database_url lacks rights; it must own the database, or may \
                           create and use tables in its schema public";
pub(crate) const HINT_SESSIONS: &str = "a connection pooler in transaction or statement mode is not supported; set \
     pool_mode = session for this database, or connect to PostgreSQL itself";
const HINT_POOLER: &str = "the server, or a connection pooler before it, does not know a parameter \
                           of database_url; remove it there";

/// Start of the messages of 08P01 from a pooler in statement mode, and from a server session with a
/// prepared statement of another client.
const SESSION_LOST: [&str; 2] = ["transaction blocks not allowed", "bind message supplies"];

/// Class of an error that a database reports: what the caller should do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DbErrorClass {
    Unavailable,
    TimedOut,
    Misconfigured(&'static str),
    Conflict,
    Rejected,
    Internal,
}

pub(super) fn class(reported: &dyn DatabaseError) -> DbErrorClass {
    let code = reported.code().unwrap_or_default();
    if reported.is_unique_violation() {
        // Every unique key here is the id of an event, an essay, a batch or a record: a concurrent
        // writer inserted it after we looked.
        DbErrorClass::Conflict
    } else if reported.try_downcast_ref::<SqliteError>().is_some() {
        sqlite_class(&code)
    } else {
        postgres_class(&code, reported.message())
    }
}

fn postgres_class(code: &str, message: &str) -> DbErrorClass {
    match code {
        // Serialization failure, deadlock detected.
        "40001" | "40P01" => DbErrorClass::Conflict,
        // Statement timeout, or cancelled by an operator.
        "57014" => DbErrorClass::TimedOut,
        // Our other time limits: idle in transaction, whole transaction, lock.
        "25P03" | "25P04" | "55P03" => DbErrorClass::Unavailable,
        // A standby during a failover.
        "25006" => DbErrorClass::Unavailable,
        "08P01" if message.starts_with("unsupported startup parameter") => {
            DbErrorClass::Misconfigured(HINT_POOLER)
        }
        // A prepared statement that exists already, or not, or is another one: a second client uses
        // this session.
        "42P05" | "26000" => DbErrorClass::Misconfigured(HINT_SESSIONS),
        "08P01" if SESSION_LOST.iter().any(|start| message.starts_with(start)) => {
            DbErrorClass::Misconfigured(HINT_SESSIONS)
        }
        "42704" => DbErrorClass::Misconfigured(HINT_POOLER),
        "3D000" => DbErrorClass::Misconfigured(HINT_DATABASE),
        "42501" => DbErrorClass::Misconfigured(HINT_RIGHTS),
        _ if code.starts_with("28") => DbErrorClass::Misconfigured(HINT_LOGIN),
        // Connection lost, resources exhausted, shutting down or starting up.
        _ if ["08", "53", "57P0"].iter().any(|class| code.starts_with(class)) => {
            DbErrorClass::Unavailable
        }
        // Value out of range, constraint violated, limit of the server exceeded.
        _ if ["22", "23", "54"].iter().any(|class| code.starts_with(class)) => {
            DbErrorClass::Rejected
        }
        // Among them a missing table: events wait until an operator corrects it.
        _ => DbErrorClass::Internal,
    }
}

/// Whether the disk under an SQLite file cannot be written: full, over quota, failing, or mounted
/// read-only.
pub(crate) fn is_disk_failure(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(reported) = error else { return false };
    reported.try_downcast_ref::<SqliteError>().is_some()
        && reported.code().is_some_and(|code| sqlite::is_disk_failure(&code))
}

/// Whether a connection failed because of a certificate, of the server or of this client.
pub(super) fn is_certificate_refused(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(_)) => true,
        Some(rustls::Error::AlertReceived(alert)) => matches!(
            alert,
            AlertDescription::BadCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRequired
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::UnsupportedCertificate
        ),
        _ => false,
    }
}

fn sqlite_class(code: &str) -> DbErrorClass {
    match sqlite::primary_code(code) {
        Some(sqlite::BUSY | sqlite::LOCKED) => DbErrorClass::Unavailable,
        Some(sqlite::TOO_BIG | sqlite::CONSTRAINT | sqlite::MISMATCH) => DbErrorClass::Rejected,
        _ if sqlite::is_disk_failure(code) => DbErrorClass::Unavailable,
        _ => DbErrorClass::Internal,
    }
}

/// The result codes of SQLite that are handled.
mod sqlite {
    pub(super) const BUSY: u32 = 5;
    pub(super) const LOCKED: u32 = 6;
    const READ_ONLY: u32 = 8;
    const IO_ERROR: u32 = 10;
    const DISK_FULL: u32 = 13;
    pub(super) const TOO_BIG: u32 = 18;
    pub(super) const CONSTRAINT: u32 = 19;
    pub(super) const MISMATCH: u32 = 20;

    /// The low byte of an extended result code.
    const PRIMARY_CODE: u32 = 0xff;

    pub(super) fn primary_code(code: &str) -> Option<u32> {
        Some(code.parse::<u32>().ok()? & PRIMARY_CODE)
    }

    pub(super) fn is_disk_failure(code: &str) -> bool {
        matches!(primary_code(code), Some(READ_ONLY | IO_ERROR | DISK_FULL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_codes_have_their_error_class() {
        #[track_caller]
        fn check(name: &str, code: &str, want: DbErrorClass) {
            assert_eq!(postgres_class(code, ""), want, "{name}: {code}");
        }
        check("serialization failure", "40001", DbErrorClass::Conflict);
        check("deadlock", "40P01", DbErrorClass::Conflict);
        check("rolled back for another reason", "40002", DbErrorClass::Internal);
        check("statement timeout", "57014", DbErrorClass::TimedOut);
        check("lock timeout", "55P03", DbErrorClass::Unavailable);
        check("idle in transaction", "25P03", DbErrorClass::Unavailable);
        check("read-only server", "25006", DbErrorClass::Unavailable);
        check("in a failed transaction", "25P02", DbErrorClass::Internal);
        check("connection lost", "08006", DbErrorClass::Unavailable);
        check("too many connections", "53300", DbErrorClass::Unavailable);
        check("disk full", "53100", DbErrorClass::Unavailable);
        check("shut down by its administrator", "57P01", DbErrorClass::Unavailable);
        check("starting up", "57P03", DbErrorClass::Unavailable);
        check("no such table", "42P01", DbErrorClass::Internal);
        check("wrong password", "28P01", DbErrorClass::Misconfigured(HINT_LOGIN));
        check("no such user", "28000", DbErrorClass::Misconfigured(HINT_LOGIN));
        check("no such database", "3D000", DbErrorClass::Misconfigured(HINT_DATABASE));
        check("no right to a table", "42501", DbErrorClass::Misconfigured(HINT_RIGHTS));
        check(
            "another session's prepared statement",
            "42P05",
            DbErrorClass::Misconfigured(HINT_SESSIONS),
        );
        check("no such parameter", "42704", DbErrorClass::Misconfigured(HINT_POOLER));
        check("a pooler without a server", "08P01", DbErrorClass::Unavailable);
        let message = "unsupported startup parameter: options";
        assert_eq!(postgres_class("08P01", message), DbErrorClass::Misconfigured(HINT_POOLER));
        for message in [
            "transaction blocks not allowed in statement pooling mode",
            "bind message supplies 2 parameters, but prepared statement \"s\" requires 5",
        ] {
            assert_eq!(
                postgres_class("08P01", message),
                DbErrorClass::Misconfigured(HINT_SESSIONS)
            );
        }
        check("a character that no text has", "22021", DbErrorClass::Rejected);
        check("a check constraint", "23514", DbErrorClass::Rejected);
        check("an index row that is too long", "54000", DbErrorClass::Rejected);
        check("no code", "", DbErrorClass::Internal);
    }

    #[test]
    fn only_certificates_are_refused_for_good() {
        let is_refused = |error: rustls::Error| {
            is_certificate_refused(&io::Error::new(io::ErrorKind::InvalidData, error))
        };
        assert!(is_refused(rustls::CertificateError::UnknownIssuer.into()));
        assert!(is_refused(rustls::Error::AlertReceived(AlertDescription::UnknownCA)));
        assert!(!is_refused(rustls::Error::AlertReceived(AlertDescription::InternalError)));
        assert!(!is_certificate_refused(&io::ErrorKind::ConnectionReset.into()));
    }

    #[test]
    fn sqlite_codes_have_their_error_class() {
        #[track_caller]
        fn check(name: &str, code: &str, want: DbErrorClass) {
            assert_eq!(sqlite_class(code), want, "{name}: {code}");
        }
        check("busy", "5", DbErrorClass::Unavailable);
        check("busy, snapshot too old", "517", DbErrorClass::Unavailable);
        check("locked, shared cache", "262", DbErrorClass::Unavailable);
        check("disk full", "13", DbErrorClass::Unavailable);
        check("over the quota of the disk", "778", DbErrorClass::Unavailable);
        check("disk mounted read-only", "8", DbErrorClass::Unavailable);
        check("check constraint", "275", DbErrorClass::Rejected);
        check("no such table", "1", DbErrorClass::Internal);
        check("no code", "", DbErrorClass::Internal);
    }
}
