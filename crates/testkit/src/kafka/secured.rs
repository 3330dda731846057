//! Listeners of a broker with TLS: one for clients with a certificate, one for a user who logs in.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use super::Properties;
use crate::certificates::{CA, Certificates};
use crate::free_port;
use crate::server::write_file;

/// Key and certificate of the broker.
const BROKER: &str = "broker.pem";
/// Mechanisms whose users are in the storage. Beside them there is PLAIN.
const SCRAM: [&str; 2] = ["SCRAM-SHA-256", "SCRAM-SHA-512"];

/// A user of the broker.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) password: String,
}

impl User {
    /// Arguments of the tool that formats the storage, which then has the user.
    pub(super) fn arguments(&self) -> impl Iterator<Item = String> {
        let Self { name, password } = self;
        SCRAM.iter().flat_map(move |mechanism| {
            ["--add-scram".to_owned(), format!("{mechanism}=[name={name},password={password}]")]
        })
    }

    /// What the broker has of the user for PLAIN.
    fn plain_login(&self) -> String {
        let Self { name, password } = self;
        format!(
            "org.apache.kafka.common.security.plain.PlainLoginModule required \
             user_{name}=\"{password}\";"
        )
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
    pub(super) fn prepare(
        directory: &Path,
        user: &User,
        properties: &mut Properties,
    ) -> anyhow::Result<Self> {
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
            (
                "listener.name.sasl_ssl.sasl.enabled.mechanisms",
                &format!("PLAIN,{}", SCRAM.join(",")),
            ),
            ("listener.name.sasl_ssl.plain.sasl.jaas.config", &user.plain_login()),
        ] {
            properties.add(name, value);
        }
        for mechanism in SCRAM.map(str::to_lowercase) {
            properties.add(
                &format!("listener.name.sasl_ssl.{mechanism}.sasl.jaas.config"),
                "org.apache.kafka.common.security.scram.ScramLoginModule required;",
            );
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
