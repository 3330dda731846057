//! Redis and a Cluster serve TLS with certificates of their own, and Redis a Unix socket.

use testkit::{Redis, RedisCluster, Slot};

use crate::redis_answers;

/// `PING` over TLS with these further arguments.
async fn ping(redis: &Redis, arguments: &[&str]) -> anyhow::Result<String> {
    let port = redis.tls_address().port().to_string();
    redis.try_cli(&[&["-p", &port, "--tls"], arguments, &["ping"]].concat()).await
}

#[tokio::test]
async fn client_that_trusts_the_ca_is_served_over_tls() {
    let redis = Redis::builder().tls().start().await;
    let ca_file = redis.certificates().ca_file();
    let ca = ["--cacert", ca_file.to_str().unwrap()];

    assert_eq!(redis.url(), format!("rediss://{}", redis.tls_address()));
    assert_eq!(ping(&redis, &ca).await.unwrap(), "PONG");
    assert_eq!(redis.cli(&["ping"]).await, "PONG");
    assert!(!redis_answers(redis.tls_address()).await);

    redis.restart().await;
    assert_eq!(ping(&redis, &ca).await.unwrap(), "PONG");
}

#[tokio::test]
async fn client_that_trusts_another_ca_does_not_connect() {
    let redis = Redis::builder().tls().start().await;
    let other = Redis::builder().tls().start().await;
    let ca = other.certificates().ca_file();
    let failed = ping(&redis, &["--cacert", ca.to_str().unwrap()]).await.unwrap_err().to_string();
    assert!(failed.contains("certificate verify failed"), "{failed}");
}

#[tokio::test]
async fn mutual_tls_refuses_a_client_without_certificate() {
    let redis = Redis::builder().acl_user("app on >secret ~* +@all").mutual_tls().start().await;
    assert_eq!(redis.url(), format!("rediss://app:secret@{}", redis.tls_address()));
    let certificates = redis.certificates();
    let (ca, client, key) = (
        certificates.ca_file(),
        certificates.client_certificate_file(),
        certificates.client_key_file(),
    );
    let ca = ["--cacert", ca.to_str().unwrap()];
    let client = ["--cert", client.to_str().unwrap(), "--key", key.to_str().unwrap()];

    assert!(ping(&redis, &ca).await.is_err());
    assert_eq!(ping(&redis, &[&ca[..], &client].concat()).await.unwrap(), "PONG");
}

#[tokio::test]
async fn certificates_are_the_same_as_text_and_in_files() {
    let redis = Redis::builder().tls().start().await;
    let certificates = redis.certificates();
    for (file, text) in [
        (certificates.ca_file(), certificates.ca_pem()),
        (certificates.client_certificate_file(), certificates.client_certificate_pem()),
        (certificates.client_key_file(), certificates.client_key_pem()),
    ] {
        assert_eq!(std::fs::read_to_string(file).unwrap(), text);
    }
}

#[tokio::test]
async fn cluster_redirects_a_tls_client_to_tls_ports() {
    let cluster = RedisCluster::builder().tls().start().await;
    let ca_file = cluster.certificates().ca_file();
    let (first, key) = (cluster.node(0), "key");
    let slot = Slot::of(key);
    let from = cluster.primary_of(slot).await;
    assert_ne!(from, 0, "the key must be on another node");
    let port = first.tls_address().port().to_string();
    let arguments = ["-p", &port, "-c", "--tls", "--cacert", ca_file.to_str().unwrap()];
    let ask = async |words: &[&str]| first.cli(&[&arguments, words].concat()).await;

    assert!(ask(&["set", key, "1"]).await.ends_with("OK"));
    cluster.migrate_slot(slot, 0).await;
    assert_eq!(ask(&["get", key]).await, "1");
}

#[tokio::test]
async fn unix_socket_is_served_before_and_after_a_restart() {
    let redis = Redis::builder().unix_socket().acl_user("app on >secret ~* +ping").start().await;
    let socket = redis.unix_socket();
    let socket = socket.to_str().unwrap();
    assert_eq!(redis.unix_url(), format!("unix://{socket}?user=app&pass=secret"));
    assert_eq!(redis.cli(&["-s", socket, "ping"]).await, "PONG");
    redis.restart().await;
    assert_eq!(redis.cli(&["-s", socket, "ping"]).await, "PONG");
}
