//! Rules about dead letters, starts and documents: R10, R13, R14.

use aggregator::store::{DeadLetter, StoreError};
use results::{RefusalCode, Timestamp};
use tokio::task::JoinSet;

use super::Backend;
use crate::events::{apply, batch_id, load, registered, whole_list};

/// Larger than the store sends in one statement.
const LARGE_BYTES: usize = 7 * 1024 * 1024;

fn letter(fingerprint: &str) -> DeadLetter {
    DeadLetter {
        fingerprint: fingerprint.into(),
        source: "kafka".into(),
        topic: Some("topic".into()),
        partition: Some(3),
        offset: Some(i64::MAX),
        key: None,
        headers: Vec::new(),
        bytes: b"{".to_vec(),
        code: RefusalCode::NotJson,
        detail: "end of input".into(),
        at: Timestamp::from_unix_micros(1),
    }
}

pub(crate) async fn r10_a_dead_letter_is_kept_once(backend: impl Backend) {
    let store = backend.open().await;
    store.keep_dead_letters(&[]).await.unwrap();
    assert_eq!(store.dead_letter_count().await.unwrap(), 0);

    store.keep_dead_letters(&[letter("1"), letter("2")]).await.unwrap();
    let redelivered = DeadLetter { detail: "another reason".into(), ..letter("2") };
    store.keep_dead_letters(&[redelivered, letter("3"), letter("3")]).await.unwrap();
    assert_eq!(store.dead_letter_count().await.unwrap(), 3);
}

pub(crate) async fn r10_a_dead_letter_is_kept_whatever_is_in_it(backend: impl Backend) {
    let store = backend.open().await;
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let mut letters = vec![
        DeadLetter {
            topic: Some("to\0pic".into()),
            key: Some(every_byte.clone()),
            headers: vec![("na\0me \"é\"".into(), vec![0, 255]), ("name".into(), vec![])],
            bytes: every_byte.clone(),
            detail: "found `\0`".into(),
            at: Timestamp::MIN,
            ..letter("0 \0 \"'")
        },
        DeadLetter { source: "http".into(), bytes: vec![], at: Timestamp::MAX, ..letter("1") },
    ];
    // Together they are more than one statement takes.
    let large = ["2", "3", "4"].map(|it| DeadLetter { bytes: vec![7; LARGE_BYTES], ..letter(it) });
    letters.extend(large);
    store.keep_dead_letters(&letters).await.unwrap();

    let kept = backend.dead_letters().await;
    assert_eq!(kept.len(), letters.len());
    let (fingerprint, key, headers, bytes) = &kept[0];
    assert_eq!(fingerprint, "0 \u{fffd} \"'");
    assert_eq!(key.as_ref(), Some(&every_byte));
    assert_eq!(bytes, &every_byte);
    let headers: serde_json::Value = serde_json::from_str(headers).unwrap();
    assert_eq!(headers, serde_json::json!([["na\u{fffd}me \"é\"", "00ff"], ["name", ""]]));
    for (kept, letter) in kept.iter().zip(&letters).skip(1) {
        assert!(kept.3 == letter.bytes, "the bytes of {} are others", kept.0);
    }
}

pub(crate) async fn r13_many_may_start_at_once(backend: impl Backend) {
    const STARTS: usize = 8;
    let backend = std::sync::Arc::new(backend);
    let mut starts = JoinSet::new();
    for _ in 0..STARTS {
        let backend = backend.clone();
        starts.spawn(async move { backend.open().await });
    }
    let stores = starts.join_all().await;
    apply(stores[0].as_ref(), &[registered("b", "u", 1, &[])]).await.unwrap();
    for store in &stores {
        store.ping().await.unwrap();
        assert_eq!(store.user_page(&whole_list("u")).await.unwrap().total, 1);
    }
    for store in &stores {
        store.close().await;
        let closed = store.ping().await;
        assert!(matches!(closed, Err(StoreError::Unavailable { .. })), "{closed:?}");
    }
}

pub(crate) async fn r13_a_newer_schema_does_not_stop_a_start(backend: impl Backend) {
    backend.open().await.close().await;
    backend
        .execute(
            "insert into _sqlx_migrations \
             (version, description, success, checksum, execution_time) \
             select version + 1000, 'of a newer program', success, checksum, execution_time \
             from _sqlx_migrations",
        )
        .await;
    backend.open().await.ping().await.unwrap();
}

pub(crate) async fn r13_a_changed_migration_does(backend: impl Backend) {
    backend.open().await.close().await;
    backend.execute("update _sqlx_migrations set checksum = '\\x00'").await;
    let opened = backend.try_open().await;
    assert!(matches!(opened, Err(StoreError::Internal { .. })));
}

pub(crate) async fn r14_an_unreadable_document_is_an_error(backend: impl Backend) {
    let store = backend.open().await;
    let events = [registered("b", "u", 1, &["e"])];
    apply(store.as_ref(), &events).await.unwrap();
    let batch = batch_id("b");

    let damages = [
        ("update essays set state = '{}'", "essays of batch `b`", "essay `e`"),
        ("update essays set state = '[1, 2]'", "essays of batch `b`", "essay `e`"),
        ("update batches set state = '{\"v\": 2}'", "batch `b`", "batch `b`"),
        ("update batches set state = 'null'", "batch `b`", "batch `b`"),
    ];
    for (damage, shown, loaded) in damages {
        backend.execute(damage).await;
        check_corrupt(store.batch(&batch).await, shown);
        check_corrupt(store.user_page(&whole_list("u")).await, shown);
        let mut unit = store.begin().await.unwrap();
        let outcome = load(unit.as_mut(), &events).await;
        // The batch is loaded before its essays.
        check_corrupt(outcome, loaded);
    }
}

#[track_caller]
fn check_corrupt<T>(outcome: Result<T, StoreError>, want: &str) {
    match outcome {
        Err(StoreError::Corrupt { what, .. }) => assert_eq!(what, want),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("{want} was read"),
    }
}
