//! Connection to the brokers: where they are, TLS, and the login. Every client of Kafka here begins with it.

use std::path::Path;

use anyhow::Context as _;
use rdkafka::ClientConfig;
use secrecy::ExposeSecret as _;

use crate::config::{Config, KafkaConfig};

const BROKERS: &str = "bootstrap.servers";

/// Where the brokers are, and how they are reached.
///
/// Its `Debug` output masks the password.
#[derive(Clone, Debug)]
pub struct KafkaConnection {
    properties: ClientConfig,
}

impl KafkaConnection {
    /// Brokers in plain text, without a login: `host:port`, comma separated.
    pub fn plaintext(brokers: &str) -> Self {
        let mut properties = ClientConfig::new();
        properties.set(BROKERS, brokers);
        Self { properties }
    }

    /// The brokers of the settings; none: they name no brokers.
    ///
    /// # Errors
    ///
    /// If a file that a setting names cannot be read.
    pub fn of(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(brokers) = &config.kafka_brokers else { return Ok(None) };
        let mut connection = Self::plaintext(brokers);
        connection.secure(&config.kafka)?;
        Ok(Some(connection))
    }

    /// Where the brokers are.
    pub fn brokers(&self) -> &str {
        self.properties.get(BROKERS).unwrap_or_default()
    }

    /// Properties of librdkafka, to which a client adds its own.
    pub fn client_config(&self) -> ClientConfig {
        self.properties.clone()
    }

    fn secure(&mut self, kafka: &KafkaConfig) -> anyhow::Result<()> {
        let properties = &mut self.properties;
        properties.set("security.protocol", kafka.security_protocol.as_str());
        if kafka.security_protocol.has_tls() {
            // The name of the host is compared with the certificate. It is the default, and must stay.
            properties.set("ssl.endpoint.identification.algorithm", "https");
        }
        for (setting, property, path) in [
            ("kafka.ca_file", "ssl.ca.location", &kafka.ca_file),
            (
                "kafka.client_certificate_file",
                "ssl.certificate.location",
                &kafka.client_certificate_file,
            ),
            ("kafka.client_key_file", "ssl.key.location", &kafka.client_key_file),
        ] {
            if let Some(path) = path {
                properties.set(property, readable(setting, path)?);
            }
        }
        if let Some(mechanism) = kafka.sasl_mechanism {
            properties.set("sasl.mechanism", mechanism.as_str());
        }
        if let Some(username) = &kafka.sasl_username {
            properties.set("sasl.username", username);
        }
        if let Some(password) = &kafka.sasl_password {
            properties.set("sasl.password", password.expose_secret());
        }
        Ok(())
    }
}

/// The path of a file that can be read. librdkafka reads it again for each client.
fn readable(setting: &'static str, path: &Path) -> anyhow::Result<String> {
    std::fs::read(path).with_context(|| format!("{setting}: read {}", path.display()))?;
    let text = path.to_str().with_context(|| format!("{setting}: is no path in UTF-8"))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_is_not_in_the_debug_output() {
        let mut connection = KafkaConnection::plaintext("kafka:9093");
        connection.properties.set("sasl.username", "user").set("sasl.password", "hunter2");
        let shown = format!("{connection:?} {:?}", connection.client_config());
        assert!(shown.contains("kafka:9093") && !shown.contains("hunter2"), "{shown}");
    }
}
