//! Listeners of a broker with TLS: one for clients with a certificate, one for a user who logs in.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use super::Properties;
use crate::certificates::{CA, Certificates};
use crate::free_port;
use crate::server::write_file;

/// Key and certificate of the broker.
const BROKER: &str = "broker.pem";
const MECHANISM: &str = "SCRAM-SHA-512";

/// A user of the broker.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) password: String,
}

impl User {
    /// Arguments of the tool that formats the storage, which then has the user.
    pub(super) fn arguments(&self) -> [String; 2] {
        let Self { name, password } = self;
        ["--add-scram".to_owned(), format!("{MECHANISM}=[name={name},password={password}]")]
    }
}

/// The listeners with TLS, and the certificates.
pub(super) struct Secured {
    tls_port: u16,
    sasl_port: u16,
    certificates: Certificates,
}

impl Secured {
    /// Makes the files, and adds the properties that name them.
    pub(super) fn prepare(directory: &Path, properties: &mut Properties) -> anyhow::Result<Self> {
        let certificates = Certificates::make()?.write_to(directory)?;
        write_file(directory, BROKER, &certificates.server_pem())?;
        let secured = Self { tls_port: free_port(), sasl_port: free_port(), certificates };
        properties.listeners.push(format!("SSL://{}", secured.tls_address()));
        properties.listeners.push(format!("SASL_SSL://{}", secured.sasl_address()));
        for (name, value) in [
            // Kafka derives it as long as every listener is in plain text.
            (
                "listener.security.protocol.map",
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL",
            ),
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", BROKER),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", CA),
            ("listener.name.ssl.ssl.client.auth", "required"),
            ("listener.name.sasl_ssl.sasl.enabled.mechanisms", MECHANISM),
            (
                "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config",
                "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            ),
        ] {
            properties.add(name, value);
        }
        Ok(secured)
    }

    pub(super) fn tls_address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.tls_port))
    }

    pub(super) fn sasl_address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.sasl_port))
    }

    pub(super) fn certificates(&self) -> &Certificates {
        &self.certificates
    }
}
