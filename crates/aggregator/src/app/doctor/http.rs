//! Check of the listener: the files of its certificate.

use super::{Diagnosis, DoctorFinding, Effect, Subject};
use crate::config::Config;
use crate::error_chain::error_chain;
use crate::http::server::tls::{NOT_READ, Tls};

/// Checks the listener. Binds no port.
pub(super) fn check(config: &Config) -> Diagnosis {
    let Some(files) = config.http.certificate_files() else {
        return Diagnosis::new(Subject::Http, "listens without TLS");
    };
    match Tls::new(files) {
        Ok(_) => Diagnosis::new(Subject::Http, "listens with TLS, certificate and key go together"),
        Err(error) => Diagnosis::new(Subject::Http, "listens with TLS").with(DoctorFinding {
            code: NOT_READ,
            effect: Effect::Stops,
            problem: error_chain(&error),
            meaning: "a start fails; a running service uses the certificate before it".into(),
            fix: "mend the files: PEM, the key without a password, readable for the user of the service"
                .into(),
        }),
    }
}
