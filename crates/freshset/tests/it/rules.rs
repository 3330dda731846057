//! Rules of `CacheBackend` on every backend, one named test each, and the rights of the Redis user.

use crate::fixtures;

mod memory {
    use crate::fixtures::MemoryFixture;

    freshset::backend_conformance!(
        #[tokio::test]
        MemoryFixture::empty(None)
    );
}

mod redis {
    use crate::fixtures::RedisFixture;

    freshset::backend_conformance!(
        #[tokio::test]
        RedisFixture::empty(None).await
    );
}

mod redis_resp3 {
    use crate::servers;

    freshset::backend_conformance!(
        #[tokio::test]
        servers::resp3().await
    );
}

mod redis_tls {
    use crate::servers;

    freshset::backend_conformance!(
        #[tokio::test]
        servers::tls().await
    );
}

mod redis_unix_socket {
    use crate::servers;

    freshset::backend_conformance!(
        #[tokio::test]
        servers::unix_socket().await
    );
}

mod redis_three_connections {
    use crate::servers;

    freshset::backend_conformance!(
        #[tokio::test]
        servers::three_connections().await
    );
}

mod redis_given_connection {
    use crate::servers;

    freshset::backend_conformance!(
        #[tokio::test]
        servers::given_connection().await
    );
}

mod redis_given_manager {
    use crate::servers;

    freshset::backend_conformance!(
        #[tokio::test]
        servers::given_manager().await
    );
}

mod redis_cluster {
    use crate::servers;

    freshset::backend_conformance!(
        #[tokio::test]
        servers::cluster(None).await
    );
}

mod redis_given_cluster {
    use crate::servers;

    freshset::backend_conformance!(
        #[tokio::test]
        servers::given_cluster().await
    );
}

mod redis_sentinel {
    use crate::servers;

    freshset::backend_conformance!(
        #[tokio::test]
        servers::sentinel().await
    );
}

/// The conformance tests above run as this user.
#[tokio::test]
async fn redis_user_may_not_list_the_keyspace() {
    let mut connection = fixtures::connect(&fixtures::redis().await.url()).await;
    let refused: [&[&str]; 9] = [
        &["KEYS", "*"],
        &["SCAN", "0"],
        &["FLUSHALL"],
        &["FLUSHDB"],
        &["CONFIG", "GET", "maxmemory"],
        &["DEBUG", "SLEEP", "0"],
        &["SMEMBERS", "t:i:{user:u}"],
        &["EVAL", "return 1", "0"],
        &["GET", "of-another-program"],
    ];
    for command in refused {
        let mut call = ::redis::cmd(command[0]);
        call.arg(&command[1..]);
        let answer: ::redis::RedisResult<::redis::Value> = call.query_async(&mut connection).await;
        let error = answer.expect_err(command[0]).to_string();
        assert!(error.contains("NOPERM") || error.contains("permissions"), "{command:?}: {error}");
    }
}
