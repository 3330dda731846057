//! Ways to connect to one server: URLs, certificates, several connections, connections that exist already.

use std::error::Error;

use freshset::Source;
use freshset::backend::redis::{RedisBackend, RedisUrlError};
use redis::aio::ConnectionManagerConfig;
use testkit::eventually;

use crate::fixtures::{ANSWER_LIMIT, connect, start_redis};
use crate::world::{TIMEOUT, World};

fn refused(url: &str) -> RedisUrlError {
    RedisBackend::new(url, World::options()).unwrap_err()
}

#[tokio::test]
async fn invalid_urls_are_refused_and_not_repeated() {
    for url in ["", "host", "http://u:secret@host", "redis://u:secret@", "redis://u:secret@host/x"]
    {
        let error = refused(url);
        assert!(matches!(error, RedisUrlError::Invalid(_)), "{url}: {error:?}");
        let text = format!("{error} {error:?} {:?}", error.source());
        assert!(!text.contains("secret"), "{text}");
    }
    let none: [&str; 0] = [];
    let error = RedisBackend::cluster(none, World::options()).unwrap_err();
    assert!(matches!(error, RedisUrlError::Missing), "{error:?}");
    let mixed = ["redis://a:secret@one", "redis://b:secret@two"];
    let error = RedisBackend::cluster(mixed, World::options()).unwrap_err();
    assert!(matches!(error, RedisUrlError::NotOneCluster(_)), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
}

#[tokio::test]
async fn several_connections_are_made_and_replaced_together() {
    let redis = start_redis().await;
    let options = World::options().connections(3);
    let world = World::on(RedisBackend::new(&redis.url(), options).unwrap());
    let connections = async || {
        let clients = redis.cli(&["CLIENT", "LIST"]).await;
        clients.lines().filter(|client| client.contains("user=fresh")).count()
    };
    world.wait_for_hit().await;
    assert_eq!(connections().await, 3);
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    eventually(TIMEOUT, "three new connections", || async {
        world.read().await;
        (connections().await == 3 && world.cache.is_connected()).then_some(())
    })
    .await;
    world.wait_for_hit().await;
}

#[tokio::test]
async fn server_of_a_given_connection_is_not_read_while_it_is_a_replica() {
    let redis = start_redis().await;
    let connection = connect(&redis.url()).await;
    let world = World::on(RedisBackend::from_connection(connection, World::options()));
    world.wait_for_hit().await;
    redis.cli(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let is_bypass = async || matches!(world.read().await.1, Source::Bypass(_));
    eventually(TIMEOUT, "a bypass", async || is_bypass().await.then_some(())).await;
    for _ in 0..100 {
        assert!(is_bypass().await, "read from a replica");
    }
    let number = world.write();
    world.cache.invalidate(&world.owner).await.expect_err("not confirmed");
    let (read, source) = world.read().await;
    assert_eq!(read, number);
    assert!(matches!(source, Source::Bypass(_)), "{source:?}");
    redis.cli(&["REPLICAOF", "NO", "ONE"]).await;
    world.wait_until_all_confirmed().await;
    assert_eq!(world.wait_for_hit().await, number);
}

#[tokio::test]
async fn given_manager_serves_again_after_a_restart() {
    let redis = start_redis().await;
    let client = redis::Client::open(redis.url()).unwrap();
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(ANSWER_LIMIT))
        .set_response_timeout(Some(ANSWER_LIMIT));
    let manager = client.get_connection_manager_with_config(config).await.unwrap();
    let world = World::on(RedisBackend::from_connection(manager, World::options()));
    world.wait_for_hit().await;
    redis.restart_empty().await;
    let number = world.write();
    world.cache.invalidate(&world.owner).await.ok();
    assert_eq!(world.read().await.0, number);
    world.wait_until_all_confirmed().await;
    assert_eq!(world.wait_for_hit().await, number);
}
