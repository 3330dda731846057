//! Rules of starts and documents: R13, R14.

use database::DbError;
use tokio::task::JoinSet;

use super::Backend;
use crate::events::{apply, batch_id, load, registered, slot, whole_list};

pub(crate) async fn r13_concurrent_starts_on_an_empty_database_succeed(backend: impl Backend) {
    const STARTS: usize = 8;
    let backend = std::sync::Arc::new(backend);
    let mut starts = JoinSet::new();
    for _ in 0..STARTS {
        let backend = backend.clone();
        starts.spawn(async move { backend.open().await });
    }
    let repositories = starts.join_all().await;
    apply(repositories[0].as_ref(), &[registered("b", "u", 1, &[])]).await.unwrap();
    for repository in &repositories {
        repository.ping().await.unwrap();
        assert_eq!(repository.user_page(&whole_list("u")).await.unwrap().total, 1);
    }
    for repository in &repositories {
        repository.close().await;
        let closed = repository.ping().await;
        assert!(matches!(closed, Err(DbError::Unavailable { .. })), "{closed:?}");
    }
}

pub(crate) async fn r13_compatible_newer_schema_is_accepted(backend: impl Backend) {
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

pub(crate) async fn r13_changed_migration_is_refused(backend: impl Backend) {
    backend.open().await.close().await;
    backend.execute("update _sqlx_migrations set checksum = '\\x00'").await;
    let opened = backend.try_open().await;
    assert!(matches!(opened, Err(DbError::Internal { .. })));
}

pub(crate) async fn r14_unreadable_document_is_corrupt(backend: impl Backend) {
    let repository = backend.open().await;
    let events = [registered("b", "u", 1, &["e"])];
    apply(repository.as_ref(), &events).await.unwrap();
    let batch = batch_id("b");

    let damages = [
        ("update essays set state = '{}'", "essay of batch `b`", "essay `e`"),
        ("update essays set state = '[1, 2]'", "essay of batch `b`", "essay `e`"),
        ("update batches set state = '{\"v\": 0}'", "batch `b`", "batch `b`"),
        ("update batches set state = 'null'", "batch `b`", "batch `b`"),
    ];
    for (damage, shown, loaded) in damages {
        backend.execute(damage).await;
        check_corrupt(repository.batch(&batch).await, shown);
        check_corrupt(repository.user_page(&whole_list("u")).await, shown);
        let owner = repository.batch_owner(&batch).await.unwrap();
        assert_eq!(owner.unwrap().as_str(), "u", "whose it is, is in no document");
        let mut unit = repository.begin().await.unwrap();
        let outcome = load(unit.as_mut(), &events).await;
        // The batch is loaded before its essays.
        check_corrupt(outcome, loaded);
    }
}

pub(crate) async fn r13_breaking_newer_schema_is_refused(backend: impl Backend) {
    backend.open().await.close().await;
    backend
        .execute(
            "insert into _sqlx_migrations \
             (version, description, success, checksum, execution_time) \
             select 1000, 'breaking: of a newer program', success, checksum, execution_time \
             from _sqlx_migrations where version = 1",
        )
        .await;
    let opened = backend.try_open().await.map(drop);
    let Err(DbError::Misconfigured { hint, .. }) = opened else { panic!("{opened:?}") };
    assert!(hint.contains("newer build"), "{hint}");
}

pub(crate) async fn r14_document_of_a_newer_format_is_recognised(backend: impl Backend) {
    let repository = backend.open().await;
    let events = [registered("b", "u", 1, &["e"])];
    apply(repository.as_ref(), &events).await.unwrap();
    let batch = batch_id("b");
    for (newer, what, loaded) in [
        ("update essays set state = '{\"v\": 2}'", "essay of batch `b`", "essay `e`"),
        ("update batches set state = '{\"v\": 2}'", "batch `b`", "batch `b`"),
    ] {
        backend.execute(newer).await;
        check_newer(repository.batch(&batch).await, what);
        check_newer(repository.user_page(&whole_list("u")).await, what);
        let mut unit = repository.begin().await.unwrap();
        check_newer(load(unit.as_mut(), &events).await, loaded);
    }
}

pub(crate) async fn r14_fields_of_a_newer_build_are_kept(backend: impl Backend) {
    const BATCH: &str = r#"update batches set state =
        '{"v": 1, "id": "b", "registration": null, "later": {"parts": [1, 2.5, null]}}'"#;
    const ESSAY: &str = r#"update essays set state =
        '{"v": 1, "id": "e", "home": {"claim": "named", "at": "2026-11-22T11:38:55Z",
          "by": "1d255f49-ad0e-4396-84cb-20da30c6a122", "batch_id": "b"},
          "slot": null, "later": "é"}'"#;
    let repository = backend.open().await;
    apply(repository.as_ref(), &[registered("b", "u", 1, &["e"])]).await.unwrap();
    backend.execute(BATCH).await;
    backend.execute(ESSAY).await;

    apply(repository.as_ref(), &[registered("b", "u", 2, &["e"])]).await.unwrap();
    apply(repository.as_ref(), &[slot("b", "e", 3)]).await.unwrap();
    let found = repository.batch(&batch_id("b")).await.unwrap().unwrap();
    let batch = serde_json::to_value(&found.batch).unwrap();
    assert_eq!(batch["later"], serde_json::json!({"parts": [1, 2.5, null]}));
    assert_eq!(batch["registration"]["user_id"], "u");
    let essay = serde_json::to_value(&found.essays[0]).unwrap();
    assert_eq!(essay["later"], "é");
    assert!(essay["slot"].is_object());
}

#[track_caller]
fn check_newer<T>(outcome: Result<T, DbError>, want: &str) {
    match outcome {
        Err(error @ DbError::NewerDocument { version: 2, .. }) => {
            assert!(error.to_string().contains(want) || want.starts_with("batch"), "{error}");
            assert!(error.is_transient() && !error.is_about_data());
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("{want} was read"),
    }
}

#[track_caller]
fn check_corrupt<T>(outcome: Result<T, DbError>, want: &str) {
    match outcome {
        Err(DbError::Corrupt { what, .. }) => assert_eq!(what, want),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("{want} was read"),
    }
}
