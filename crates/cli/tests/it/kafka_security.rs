//! The service, `doctor` and `simulate` on a Kafka with TLS: with a client certificate, and with a login.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::{Certificates, Kafka, eventually};

use crate::support::broker::Broker;
use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::{PIPELINE_COMPLETED, REGISTERED, pipeline_completed, registered};
use crate::support::program::{program, run};
use crate::support::published::{Reader, published_outbox};
use crate::support::service::{KEY, Service, ServiceBuilder};

const USER: &str = "ras";
const PASSWORD: &str = "kafka-password-1";
const WRONG_PASSWORD: &str = "kafka-password-2";
/// What the brokers offer for a login.
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
/// Outgoing events of a batch whose results are ready.
const OUTGOING: usize = 2;

type Variables = Vec<(&'static str, String)>;

/// Over TLS, with a client certificate.
fn mutual_tls(kafka: &Kafka) -> Variables {
    let certificates = kafka.certificates();
    vec![
        ("RAS_KAFKA_BROKERS", kafka.tls_brokers()),
        ("RAS_KAFKA__SECURITY_PROTOCOL", "ssl".into()),
        ("RAS_KAFKA__CA_FILE", file(certificates.ca_file())),
        ("RAS_KAFKA__CLIENT_CERTIFICATE_FILE", file(certificates.client_certificate_file())),
        ("RAS_KAFKA__CLIENT_KEY_FILE", file(certificates.client_key_file())),
    ]
}

/// Over TLS, with a login.
fn login(kafka: &Kafka, mechanism: &str) -> Variables {
    vec![
        ("RAS_KAFKA_BROKERS", kafka.sasl_brokers()),
        ("RAS_KAFKA__SECURITY_PROTOCOL", "sasl_ssl".into()),
        ("RAS_KAFKA__CA_FILE", file(kafka.certificates().ca_file())),
        ("RAS_KAFKA__SASL_MECHANISM", mechanism.into()),
        ("RAS_KAFKA__SASL_USERNAME", USER.into()),
        ("RAS_KAFKA__SASL_PASSWORD", PASSWORD.into()),
    ]
}

/// The same with another value of this variable; empty: not set.
fn with(variables: &Variables, name: &'static str, value: &str) -> Variables {
    let others = variables.iter().filter(|(other, _)| *other != name).cloned();
    others.chain([(name, value.to_owned())]).collect()
}

fn file(path: PathBuf) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

async fn start(directory: &Path, group_id: &str, variables: &Variables) -> Service {
    let builder = ServiceBuilder::embedded(&directory.join(group_id))
        .variable("RAS_CACHE__SINGLE_PROCESS", "true")
        .variable("RAS_KAFKA__GROUP_ID", group_id)
        .variable("RAS_LOG", "info,aggregator=debug");
    let builder =
        variables.iter().fold(builder, |builder, (name, value)| builder.variable(name, value));
    builder.start().await
}

/// Each broker takes seconds to start, so one serves all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_over_tls_and_sasl_is_used_and_what_is_refused_is_named() {
    let broker = Broker::start_with(Kafka::builder().secured(USER, PASSWORD)).await;
    let directory = tempfile::tempdir().unwrap();
    events_arrive_and_leave(&broker, directory.path()).await;
    tokio::join!(
        doctor_names_the_refusal(&broker.kafka, directory.path()),
        simulator_sends(&broker.kafka),
        refusals_are_logged_once(&broker.kafka, directory.path()),
    );
}

async fn events_arrive_and_leave(broker: &Broker, directory: &Path) {
    let mut services = vec![start(directory, "tls", &mutual_tls(&broker.kafka)).await];
    for mechanism in MECHANISMS {
        services.push(start(directory, mechanism, &login(&broker.kafka, mechanism)).await);
    }
    for (topic, event) in [
        (REGISTERED, registered("teacher", "batch", 2, next_micros())),
        (PIPELINE_COMPLETED, pipeline_completed("batch", 2, next_micros())),
    ] {
        broker.produce(topic, "batch", event.to_string().as_bytes()).await;
    }
    for Service { client, .. } in &services {
        eventually(TIMEOUT, "the batch is shown", || async {
            client.list("teacher", "").await.total() == 1
        })
        .await;
        eventually(TIMEOUT, "its events are published", || async {
            published_outbox(client).await.len() == OUTGOING
        })
        .await;
        let health: Value = client.get("/readyz").await.unwrap().json().await.unwrap();
        assert_eq!(health["consumer"], "running", "{health}");
        assert_eq!(health["findings"], json!([]), "{health}");
    }
    let mut reader = Reader::new(&broker.kafka.brokers());
    reader.read_until(services.len() * OUTGOING).await;
}

async fn refusals_are_logged_once(kafka: &Kafka, directory: &Path) {
    const TLS: [&str; 2] = ["tls_refused", "TLS to the kafka brokers fails"];
    const LOGIN: [&str; 2] = ["login_refused", "the kafka brokers refuse the login"];
    let (tls, login) = (mutual_tls(kafka), login(kafka, MECHANISMS[2]));
    let ca = file(another_ca(directory).ca_file());
    let without_certificate = with(&tls, "RAS_KAFKA__CLIENT_KEY_FILE", "");
    let without_certificate = with(&without_certificate, "RAS_KAFKA__CLIENT_CERTIFICATE_FILE", "");
    // 127.0.0.1, by a name that is not in the certificate.
    let other_name = kafka.tls_brokers().replace("127.0.0.1", "127.1");
    let (wrong_password, wrong_ca, no_certificate, wrong_name) = (
        with(&login, "RAS_KAFKA__SASL_PASSWORD", WRONG_PASSWORD),
        with(&tls, "RAS_KAFKA__CA_FILE", &ca),
        without_certificate,
        with(&tls, "RAS_KAFKA_BROKERS", &other_name),
    );
    tokio::join!(
        refused(directory, "password", &wrong_password, LOGIN, "Authentication failed"),
        refused(directory, "ca", &wrong_ca, TLS, "certificate verify failed"),
        refused(directory, "certificate", &no_certificate, TLS, "certificate"),
        refused(directory, "name", &wrong_name, TLS, "certificate verify failed"),
    );
}

/// Starts a service that the brokers refuse: it says why, once, and goes on.
async fn refused(
    directory: &Path,
    name: &str,
    variables: &Variables,
    [code, problem]: [&str; 2],
    reason: &str,
) {
    let service = start(directory, name, variables).await;
    let line = service.process.wait_for_line(problem, TIMEOUT).await;
    assert!(line.contains(reason), "{name}: {line}");
    // More failures than one, which are at debug.
    service.process.wait_for_line("kafka still unavailable", TIMEOUT).await;
    eventually(TIMEOUT, "the finding", || async {
        let health: Value = service.client.get("/readyz").await.ok()?.json().await.ok()?;
        let findings = health["findings"].as_array()?.clone();
        findings.iter().any(|finding| finding["code"] == code).then_some(())
    })
    .await;
    let lines = service.process.lines();
    let count = lines.iter().filter(|line| line.contains(problem)).count();
    assert_eq!(count, 1, "{name}: {lines:#?}");
    for password in [PASSWORD, WRONG_PASSWORD] {
        assert!(lines.iter().all(|line| !line.contains(password)), "{name}: {lines:#?}");
    }
}

async fn doctor_names_the_refusal(kafka: &Kafka, directory: &Path) {
    let tls = mutual_tls(kafka);
    let (code, output) = doctor(&tls).await;
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("lag"), "{output}");
    let ca = another_ca(&directory.join("doctor")).ca_file();
    let (code, output) = doctor(&with(&tls, "RAS_KAFKA__CA_FILE", &file(ca))).await;
    assert_eq!(code, 2, "{output}");
    for expected in ["\"tls_refused\"", "certificate verify failed", "check that kafka.ca_file"] {
        assert!(output.contains(expected), "{output}");
    }
    for mechanism in MECHANISMS {
        let login = login(kafka, mechanism);
        let (code, output) =
            doctor(&with(&login, "RAS_KAFKA__SASL_PASSWORD", WRONG_PASSWORD)).await;
        assert_eq!(code, 2, "{mechanism}: {output}");
        assert!(output.contains("\"login_refused\""), "{mechanism}: {output}");
        assert!(!output.contains(WRONG_PASSWORD), "{mechanism}: {output}");
    }
    let (code, output) = doctor(&with(&tls, "RAS_KAFKA__CA_FILE", "no-such-ca.pem")).await;
    assert_eq!(code, 2, "{output}");
    assert!(output.contains("kafka.ca_file: read no-such-ca.pem"), "{output}");
}

async fn doctor(variables: &Variables) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    let builder = program(&["doctor", "--json"])
        .env("RAS_INTERNAL_API_KEY", KEY)
        .env("RAS_DATA_DIR", directory.path())
        .env("RAS_CACHE__SINGLE_PROCESS", "true")
        // One that has read nothing.
        .env("RAS_KAFKA__GROUP_ID", "doctor");
    run(variables.iter().fold(builder, |builder, (name, value)| builder.env(name, value))).await
}

async fn simulator_sends(kafka: &Kafka) {
    let builder = program(&["simulate", "--batches", "2", "--to-kafka", &kafka.sasl_brokers()]);
    let login = login(kafka, MECHANISMS[2]);
    let (code, output) =
        run(login.iter().fold(builder, |builder, (name, value)| builder.env(name, value))).await;
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("not delivered: 0"), "{output}");
}

fn another_ca(directory: &Path) -> Certificates {
    std::fs::create_dir_all(directory).unwrap();
    Certificates::in_directory(directory)
}
