//! Settings of Kafka: the consumer, how the brokers are reached, and what goes together.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use super::Config;
use super::problem::Problems;
use super::values;

/// Whether this build has TLS to Kafka: the feature `kafka-tls`.
const HAS_TLS: bool = cfg!(feature = "kafka-tls");

/// Settings of Kafka.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// Consumer group.
    pub group_id: String,
    /// How long the broker waits for a silent member.
    #[serde(rename = "session_timeout_seconds", deserialize_with = "values::seconds")]
    pub session_timeout: Duration,
    /// TLS and login of the connections.
    #[serde(deserialize_with = "values::word")]
    pub security_protocol: SecurityProtocol,
    /// File of the CA of the brokers; none: those that the system trusts.
    #[serde(deserialize_with = "values::non_empty_path")]
    pub ca_file: Option<PathBuf>,
    /// File of the certificate that the brokers ask for.
    #[serde(deserialize_with = "values::non_empty_path")]
    pub client_certificate_file: Option<PathBuf>,
    /// File of its key.
    #[serde(deserialize_with = "values::non_empty_path")]
    pub client_key_file: Option<PathBuf>,
    /// How the login is sent.
    #[serde(deserialize_with = "values::optional_word")]
    pub sasl_mechanism: Option<SaslMechanism>,
    /// User of the login.
    #[serde(deserialize_with = "values::non_empty")]
    pub sasl_username: Option<String>,
    /// Its password.
    #[serde(deserialize_with = "values::non_empty_secret")]
    pub sasl_password: Option<SecretString>,
}

/// TLS and login of the connections to the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecurityProtocol {
    /// Neither.
    Plaintext,
    /// TLS.
    Ssl,
    /// A login, without TLS.
    SaslPlaintext,
    /// Both.
    SaslSsl,
}

impl SecurityProtocol {
    /// Its name in settings, and for librdkafka.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    /// Whether the brokers are reached over TLS.
    pub fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    fn has_login(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// How the login is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum SaslMechanism {
    /// The password itself.
    #[serde(rename = "PLAIN")]
    Plain,
    /// A proof of the password, with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// A proof of the password, with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl SaslMechanism {
    /// Its name in settings, and for librdkafka.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Config {
    pub(super) fn check_kafka(&self, problems: &mut Problems) {
        self.kafka.check_build(HAS_TLS, problems);
        self.kafka.check_certificates(problems);
        self.kafka.check_login(problems);
    }
}

impl KafkaConfig {
    /// SCRAM needs the hash functions of OpenSSL.
    fn check_build(&self, has_tls: bool, problems: &mut Problems) {
        const NEEDS: &str =
            "needs a build with the cargo feature `kafka-tls`, which this one does not have";
        if has_tls {
            return;
        }
        let protocol = self.security_protocol;
        if protocol.has_tls() {
            problems
                .key("kafka.security_protocol", format_args!("{:?} {NEEDS}", protocol.as_str()));
        }
        if let Some(mechanism) = self.sasl_mechanism
            && mechanism != SaslMechanism::Plain
        {
            problems.key("kafka.sasl_mechanism", format_args!("{:?} {NEEDS}", mechanism.as_str()));
        }
    }

    fn check_certificates(&self, problems: &mut Problems) {
        let certificate = ("kafka.client_certificate_file", self.client_certificate_file.is_some());
        let key = ("kafka.client_key_file", self.client_key_file.is_some());
        problems.pair(certificate, key);
        if self.security_protocol.has_tls() {
            return;
        }
        for (key, is_set) in [("kafka.ca_file", self.ca_file.is_some()), certificate, key] {
            if is_set {
                problems.key(key, "is for kafka.security_protocol = \"ssl\" or \"sasl_ssl\"");
            }
        }
    }

    fn check_login(&self, problems: &mut Problems) {
        let has_login = self.security_protocol.has_login();
        for (key, is_set, allowed) in [
            (
                "kafka.sasl_mechanism",
                self.sasl_mechanism.is_some(),
                "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
            ),
            ("kafka.sasl_username", self.sasl_username.is_some(), "the user"),
            ("kafka.sasl_password", self.sasl_password.is_some(), "the password of the user"),
        ] {
            if is_set && !has_login {
                let hint = "is for kafka.security_protocol = \"sasl_ssl\" or \"sasl_plaintext\"";
                problems.key(key, hint);
            } else if has_login && !is_set {
                let protocol = self.security_protocol.as_str();
                problems.key(
                    key,
                    format_args!(
                        "is not set; kafka.security_protocol = {protocol:?} needs it: {allowed}"
                    ),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_without_tls(
        protocol: SecurityProtocol,
        mechanism: Option<SaslMechanism>,
    ) -> String {
        let kafka = KafkaConfig {
            group_id: "group".into(),
            session_timeout: Duration::from_secs(10),
            security_protocol: protocol,
            ca_file: None,
            client_certificate_file: None,
            client_key_file: None,
            sasl_mechanism: mechanism,
            sasl_username: None,
            sasl_password: None,
        };
        let mut problems = Problems::default();
        kafka.check_build(false, &mut problems);
        problems.or(()).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn build_without_tls_refuses_what_needs_it_by_the_name_of_the_feature() {
        use SaslMechanism::{Plain, ScramSha512};
        use SecurityProtocol::{Plaintext, SaslPlaintext, SaslSsl, Ssl};
        for (protocol, mechanism, key) in [
            (Ssl, None, "kafka.security_protocol (RAS_KAFKA__SECURITY_PROTOCOL): \"ssl\""),
            (SaslSsl, Some(Plain), "kafka.security_protocol"),
            (SaslPlaintext, Some(ScramSha512), "kafka.sasl_mechanism"),
        ] {
            let problems = problems_without_tls(protocol, mechanism);
            assert!(problems.contains(key) && problems.contains("`kafka-tls`"), "{problems}");
        }
        assert_eq!(problems_without_tls(Plaintext, None), "");
        assert_eq!(problems_without_tls(SaslPlaintext, Some(Plain)), "");
    }
}
