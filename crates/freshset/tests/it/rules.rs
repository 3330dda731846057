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

/// The conformance tests above run as this user.
#[tokio::test]
async fn redis_user_may_not_list_the_keyspace() {
    let client = ::redis::Client::open(fixtures::redis().await.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
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
