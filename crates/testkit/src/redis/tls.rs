//! Settings of a Redis that serves TLS.

use crate::certificates::{CA, SERVER, SERVER_KEY};

/// The lines of a server's configuration, which refer to the files in its directory.
pub(super) fn settings(port: u16, clients_need_certificate: bool) -> [String; 5] {
    let clients = if clients_need_certificate { "yes" } else { "no" };
    [
        format!("tls-port {port}"),
        format!("tls-ca-cert-file {CA}"),
        format!("tls-cert-file {SERVER}"),
        format!("tls-key-file {SERVER_KEY}"),
        format!("tls-auth-clients {clients}"),
    ]
}
