//! Connections that fail for a reason which only an operator can remove.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What the texts of OpenSSL have. After a handshake of TLS 1.3 a broker can still refuse the certificate of
/// the client; librdkafka reports that as a lost connection.
const TLS_ERROR: &str = "SSL routines";

/// Why a connection to the brokers is refused, by them or by this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A certificate is missing, or not accepted.
    Tls,
    /// The login is not accepted.
    Login,
}

impl Refusal {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::Tls, Self::Login];

    /// The refusal that an error of librdkafka reports, if it is one. `reason` is its text.
    pub fn of(error: &KafkaError, reason: &str) -> Option<Self> {
        match error.rdkafka_error_code()? {
            RDKafkaErrorCode::SSL => Some(Self::Tls),
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
                Some(Self::Login)
            }
            RDKafkaErrorCode::BrokerTransportFailure if reason.contains(TLS_ERROR) => {
                Some(Self::Tls)
            }
            _ => None,
        }
    }

    /// Its code in `/readyz` and `doctor`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Tls => "tls_refused",
            Self::Login => "login_refused",
        }
    }

    /// What it is.
    pub(super) fn problem(self) -> &'static str {
        match self {
            Self::Tls => "TLS to the kafka brokers fails",
            Self::Login => "the kafka brokers refuse the login",
        }
    }

    /// What an operator can do.
    pub fn fix(self) -> &'static str {
        match self {
            Self::Tls => {
                "check that kafka.ca_file is the CA of the brokers, that the hosts in kafka_brokers and the \
                 addresses that the brokers advertise are names in their certificates, and, if they ask for \
                 one, the client certificate"
            }
            Self::Login => {
                "check kafka.sasl_mechanism, kafka.sasl_username and kafka.sasl_password, and that the \
                 brokers have the user"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_operator_must_correct_is_a_refusal() {
        use RDKafkaErrorCode::{
            AllBrokersDown, Authentication, BrokerTransportFailure, SSL, SaslAuthenticationFailed,
        };
        let alert = "ssl://kafka:9093/1: Receive failed: error:0A000412:SSL routines::ssl/tls alert bad \
                     certificate: SSL alert number 42 (after 1ms in state APIVERSION_QUERY)";
        let down = "ssl://kafka:9093/1: Connect to kafka:9093 failed: Connection refused";
        for (code, reason, expected) in [
            (SSL, "SSL handshake failed", Some(Refusal::Tls)),
            (BrokerTransportFailure, alert, Some(Refusal::Tls)),
            (BrokerTransportFailure, down, None),
            (Authentication, "SASL authentication error", Some(Refusal::Login)),
            (SaslAuthenticationFailed, "", Some(Refusal::Login)),
            (AllBrokersDown, "1/1 brokers are down", None),
        ] {
            assert_eq!(Refusal::of(&KafkaError::Global(code), reason), expected, "{reason}");
        }
    }
}
