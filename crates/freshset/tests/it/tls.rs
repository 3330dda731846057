//! Servers over TLS. These tests run with each library for TLS.

use freshset::Source;
use freshset::backend::redis::{RedisBackend, RedisUrlError, TlsOptions};
#[cfg(feature = "tls-rustls")]
use testkit::RedisCluster;
use testkit::{Redis, RedisSentinel};

use crate::fixtures::acl_user;
use crate::servers::{login, tls_options};
use crate::world::World;

#[tokio::test]
async fn unusable_certificate_is_refused_and_no_key_is_shown() {
    let options = World::options().tls(TlsOptions::default().client("none", "secret"));
    assert!(!format!("{options:?}").contains(&format!("{:?}", b"secret")));
    let error = RedisBackend::new("rediss://host", options).unwrap_err();
    assert!(matches!(error, RedisUrlError::Certificate(_)), "{error:?}");
}

#[tokio::test]
async fn server_of_an_unknown_ca_is_an_outage_and_with_its_ca_serves() {
    let redis = Redis::builder().acl_user(&acl_user()).mutual_tls().start().await;
    let world = World::new(&redis.url());
    for _ in 0..5 {
        assert!(matches!(world.read().await.1, Source::Bypass(_)));
    }
    let certificates = redis.certificates();
    let without_client = TlsOptions::default().ca(certificates.ca_pem());
    for (tls, serves) in [(without_client, false), (tls_options(certificates), true)] {
        let options = World::options().tls(tls);
        let world = World::on(RedisBackend::new(&redis.url(), options).unwrap());
        if serves {
            world.wait_for_hit().await;
        } else {
            assert!(matches!(world.read().await.1, Source::Bypass(_)));
        }
    }
}

#[cfg(not(feature = "tls-rustls"))]
#[tokio::test]
async fn cluster_with_certificates_of_its_own_needs_rustls() {
    let redis = Redis::builder().tls().start().await;
    let options = World::options().tls(TlsOptions::default().ca(redis.certificates().ca_pem()));
    let error = RedisBackend::cluster(["rediss://host"], options).unwrap_err();
    assert!(matches!(error, RedisUrlError::Certificate(_)), "{error:?}");
    assert!(format!("{error:?}").contains("tls-rustls"), "{error:?}");
}

#[cfg(feature = "tls-rustls")]
#[tokio::test]
async fn cluster_is_used_over_tls() {
    let cluster = RedisCluster::builder().acl_user(&acl_user()).tls().start().await;
    let options = World::options().tls(tls_options(cluster.certificates()));
    let world = World::on(RedisBackend::cluster(cluster.urls(), options).unwrap());
    world.wait_for_hit().await;
    let number = world.write();
    world.cache.invalidate(&world.owner).await.unwrap();
    assert_eq!(world.read().await.0, number);
}

#[tokio::test]
async fn servers_of_sentinels_are_used_over_tls() {
    let sentinel = RedisSentinel::builder().acl_user(&acl_user()).tls().start().await;
    let options = World::options().tls(tls_options(sentinel.certificates()));
    let backend = |servers| {
        let options = options.clone().sentinel_servers(servers);
        RedisBackend::sentinel(sentinel.sentinel_urls(), sentinel.master_name(), options).unwrap()
    };
    let world = World::on(backend(login("secret").tls(true)));
    world.wait_for_hit().await;
    let number = world.write();
    world.cache.invalidate(&world.owner).await.unwrap();
    assert_eq!(world.read().await.0, number);

    // The sentinels are reached over TLS, and name a port that takes nothing else.
    let world = World::on(backend(login("secret")));
    assert!(matches!(world.read().await.1, Source::Bypass(_)));
}
