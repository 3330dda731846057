//! The service on a PostgreSQL that asks for TLS and a client certificate.

use testkit::{Certificates, Postgres, eventually};

use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::registered;
use crate::support::program::{program, run};
use crate::support::service::{KEY, ServiceBuilder};

/// Connections of the service, and those of them with TLS and its certificate.
const CONNECTIONS: &str = "select count(*), count(*) filter (where ssl and client_dn = '/CN=testkit-client') \
                           from pg_stat_ssl join pg_stat_activity using (pid) \
                           where usename = 'testkit-client' and ";
const LISTENS: &str = "query like 'LISTEN%'";
const HOLDS_LOCK: &str =
    "pid in (select pid from pg_locks where locktype = 'advisory' and granted)";

async fn postgres() -> Postgres {
    let postgres = Postgres::builder().mutual_tls().start().await;
    let user = Certificates::CLIENT_NAME;
    for sql in [
        format!("create role \"{user}\" login"),
        format!("create database secured owner \"{user}\""),
    ] {
        postgres.psql(&postgres.url("postgres"), &sql).await;
    }
    postgres
}

#[tokio::test]
async fn every_connection_to_postgres_has_tls_and_the_certificate_of_the_client() {
    let postgres = postgres().await;
    let url = postgres.tls_url("secured");
    let service = ServiceBuilder::on_database(&url)
        .variable("RAS_CACHE__SINGLE_PROCESS", "true")
        .start()
        .await;
    let changes = "/internal/v1/batches/user/teacher/changes";
    let mut stream = service.client.get(changes).await.unwrap();
    let event = registered("teacher", "batch", 1, next_micros());
    service.client.post_until_acknowledged(&[event]).await;
    assert_eq!(service.client.list("teacher", "").await.total(), 1);
    assert!(stream.chunk().await.unwrap().is_some(), "a version");
    let counted = async |which: &str| {
        let sql = format!("{CONNECTIONS}{which}");
        postgres.psql(&postgres.url("secured"), &sql).await.trim().to_owned()
    };
    eventually(TIMEOUT, "the connection that listens has TLS", || async {
        counted(LISTENS).await == "1|1"
    })
    .await;
    assert_eq!(counted(HOLDS_LOCK).await, "1|1");
    let all = counted("true").await;
    let (connections, secured) = all.split_once('|').unwrap();
    assert_eq!(connections, secured);

    let (code, output) = doctor(&url).await;
    assert_eq!(code, 0, "{output}");
    refused(&postgres, &url).await;
}

async fn refused(postgres: &Postgres, url: &str) {
    let directory = tempfile::tempdir().unwrap();
    let certificates = postgres.certificates();
    let ca = certificates.ca_file().display().to_string();
    let another = Certificates::in_directory(directory.path());
    let another_ca = another.ca_file().display().to_string();
    let (with_client, _) = url.split_once("&sslcert").unwrap();
    for (name, url, expected) in [
        ("another CA", url.replace(&ca, &another_ca), "check that sslrootcert is the CA"),
        (
            "no file",
            url.replace(&ca, "/no-such-ca.pem"),
            "sslrootcert of database_url names cannot be read: /no-such-ca.pem",
        ),
        ("no certificate", with_client.to_owned(), "the login of database_url is refused"),
    ] {
        let builder = program(&["serve", "--listen", "127.0.0.1:0", "--database-url", &url])
            .env("RAS_INTERNAL_API_KEY", KEY)
            .env("RAS_CACHE__SINGLE_PROCESS", "true");
        let (code, output) = run(builder).await;
        assert_eq!(code, 1, "{name}: {output}");
        assert!(output.contains(expected), "{name}: {output}");
    }
    let (code, output) = doctor(&url.replace(&ca, &another_ca)).await;
    assert_eq!(code, 2, "{output}");
    assert!(output.contains("\"misconfigured\""), "{output}");
    assert!(output.contains("invalid peer certificate"), "{output}");
}

async fn doctor(url: &str) -> (i32, String) {
    let builder = program(&["doctor", "--json", "--database-url", url])
        .env("RAS_INTERNAL_API_KEY", KEY)
        .env("RAS_CACHE__SINGLE_PROCESS", "true");
    run(builder).await
}
