//! Rules of versions: R35, R36.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use database::{BatchRepository, Changes, ListChange, ListChanges, Version};
use projection::{Event, Rows};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Backend;
use crate::events::{
    NOW, apply, apply_with_affected_batches, apply_with_retry, batch_id, essay_id, load,
    registered, slot, spellchecked, statuses, user_id, whole_list, write,
};

/// Units of one user at a time, and how many each writes.
const WRITERS: i64 = 4;
const COMMITS: i64 = 15;

/// Time limit for what must be reported.
const LIMIT: Duration = Duration::from_secs(60);

async fn user_version(repository: &dyn BatchRepository, user: &str) -> u64 {
    repository.user_page(&whole_list(user)).await.unwrap().version.0
}

async fn batch_version(repository: &dyn BatchRepository, batch: &str) -> u64 {
    repository.batch(&batch_id(batch)).await.unwrap().unwrap().version.0
}

pub(crate) async fn r35_change_raises_the_versions_of_its_owners(backend: impl Backend) {
    let repository = backend.open().await;
    let repository = repository.as_ref();
    assert_eq!(user_version(repository, "nobody").await, 0, "nothing was ever changed");

    // Facts before the registration change the batch, and no list.
    apply(repository, &[slot("b", "e", 1)]).await.unwrap();
    assert_eq!(user_version(repository, "u").await, 0);
    apply(repository, &[registered("b", "u", 2, &["e"])]).await.unwrap();
    assert_eq!(user_version(repository, "u").await, 1);
    assert_eq!(batch_version(repository, "b").await, 2);

    apply(repository, &[registered("other", "u", 3, &[])]).await.unwrap();
    apply(repository, &[registered("of v", "v", 4, &[])]).await.unwrap();
    assert_eq!([user_version(repository, "u").await, user_version(repository, "v").await], [2, 1]);
    assert_eq!(batch_version(repository, "b").await, 2, "of another batch");

    let page = repository.user_page(&whole_list("u")).await.unwrap();
    let shown = repository.batch(&batch_id("b")).await.unwrap().unwrap();
    assert_eq!(page.batches[1], shown, "in the page it has the same version");

    // An essay that moves changes both batches, and the lists of both users.
    apply_with_affected_batches(repository, &[slot("of v", "moving", 9)]).await;
    assert_eq!(user_version(repository, "v").await, 2);
    apply_with_affected_batches(repository, &[slot("b", "moving", 8)]).await;
    assert_eq!([user_version(repository, "u").await, user_version(repository, "v").await], [3, 3]);
    assert_eq!(
        [batch_version(repository, "b").await, batch_version(repository, "of v").await],
        [3, 3]
    );
}

/// The rows of this unit are the essay alone, as `apply` writes what an essay's row alone changes.
pub(crate) async fn r35_change_of_an_essay_alone_raises_the_versions(backend: impl Backend) {
    let repository = backend.open().await;
    let repository = repository.as_ref();
    apply(repository, &[registered("b", "u", 1, &["e"])]).await.unwrap();
    apply(repository, &[registered("other", "u", 2, &[])]).await.unwrap();

    let changes = [slot("b", "e", 3), spellchecked("b", "e", 4)];
    let mut unit = repository.begin().await.unwrap();
    let mut rows = load(unit.as_mut(), &changes).await.unwrap().rows;
    for event in &changes {
        rows.apply(event).unwrap();
    }
    let statuses = statuses(&rows);
    let essays = BTreeMap::from([(essay_id("e"), rows.essays[&essay_id("e")].clone())]);
    let changes = Changes {
        events: &BTreeMap::new(),
        redelivered: &BTreeMap::new(),
        rows: &Rows { essays, ..Rows::default() },
        statuses: &statuses,
        outgoing_events: &[],
        now: NOW,
    };
    unit.write(changes).await.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(user_version(repository, "u").await, 3);
    assert_eq!(batch_version(repository, "b").await, 2);
    assert_eq!(batch_version(repository, "other").await, 1);
}

pub(crate) async fn r35_nothing_new_raises_no_version(backend: impl Backend) {
    let repository = backend.open().await;
    let repository = repository.as_ref();
    let events = [registered("b", "u", 1, &["e"])];
    apply(repository, &events).await.unwrap();

    // A unit that writes nothing, and one that writes only to the inbox.
    let mut unit = repository.begin().await.unwrap();
    load(unit.as_mut(), &events).await.unwrap();
    unit.commit().await.unwrap();
    let redelivered = BTreeMap::from([(events[0].id, Default::default())]);
    let mut unit = repository.begin().await.unwrap();
    load(unit.as_mut(), &events).await.unwrap();
    let changes = Changes {
        events: &BTreeMap::new(),
        redelivered: &redelivered,
        rows: &Rows::default(),
        statuses: &BTreeMap::new(),
        outgoing_events: &[],
        now: NOW,
    };
    unit.write(changes).await.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(user_version(repository, "u").await, 1);
    assert_eq!(batch_version(repository, "b").await, 1);
}

pub(crate) async fn r35_dropped_unit_raises_no_version(backend: impl Backend) {
    let repository = backend.open().await;
    let repository = repository.as_ref();
    let events = [registered("b", "u", 1, &["e"])];
    let mut unit = repository.begin().await.unwrap();
    let loaded = load(unit.as_mut(), &events).await.unwrap();
    write(unit.as_mut(), loaded.rows, &events).await.unwrap();
    drop(unit);
    assert_eq!(user_version(repository, "u").await, 0);
}

pub(crate) async fn r35_unit_raises_a_version_once(backend: impl Backend) {
    let repository = backend.open().await;
    let repository = repository.as_ref();
    let events: Vec<_> = (0..5)
        .flat_map(|n| {
            let essay = format!("e{n}");
            let batch = format!("b{n}");
            [registered(&batch, "u", n, &[&essay]), slot(&batch, &essay, n)]
        })
        .collect();
    apply(repository, &events).await.unwrap();
    assert_eq!(user_version(repository, "u").await, 1);
    assert_eq!(batch_version(repository, "b0").await, 1);
}

/// Each version is one commit: none is lost, and none is given twice. The users are locked in opposite
/// orders, if in any: a deadlock would fail a unit.
pub(crate) async fn r35_concurrent_units_of_one_user_each_raise_its_version(backend: impl Backend) {
    let repository = backend.open().await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let repository = Arc::clone(&repository);
        writers.spawn(async move {
            for commit in 0..COMMITS {
                // Batches in one order belong to users in the other one.
                let (first, second) = if writer % 2 == 0 { ("u", "v") } else { ("v", "u") };
                let [a, z] = ["a", "z"].map(|name| format!("{name} {writer} {commit}"));
                let events =
                    [registered(&a, first, commit, &[]), registered(&z, second, commit, &[])];
                apply_with_retry(repository.as_ref(), &events).await;
            }
        });
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    for user in ["u", "v"] {
        assert_eq!(user_version(repository.as_ref(), user).await, (WRITERS * COMMITS) as u64);
    }
}

/// Each commit registers one batch, so a page has as many as its version says.
pub(crate) async fn r35_read_has_the_version_of_its_snapshot(backend: impl Backend) {
    let (writer, reader) = (backend.open().await, backend.open().await);
    let writing = tokio::spawn(async move {
        for n in 0..COMMITS {
            let events: [Event; 1] = [registered(&format!("b{n}"), "u", n, &[])];
            apply(writer.as_ref(), &events).await.unwrap();
        }
    });
    let mut seen = BTreeSet::new();
    loop {
        let is_over = writing.is_finished();
        let page = reader.user_page(&whole_list("u")).await.unwrap();
        assert_eq!(page.version, Version(page.total));
        seen.insert(page.version);
        if is_over {
            break;
        }
    }
    writing.await.unwrap();
    assert_eq!(seen.last(), Some(&Version(COMMITS as u64)));
}

/// Waits until a listener has heard that the list of `u` has this version, or that it may have missed it.
async fn wait_for(changes: &mut ListChanges, repository: &dyn BatchRepository, want: u64) {
    let sent = async {
        loop {
            match changes.next().await {
                ListChange::Changed { user_id: user, version } if user == user_id("u") => {
                    assert!(version.0 <= want, "{version} of {want}");
                    if version.0 == want {
                        return;
                    }
                }
                ListChange::Changed { user_id, .. } => assert_eq!(user_id.as_str(), "\"v\\"),
                ListChange::Missed if user_version(repository, "u").await == want => return,
                ListChange::Missed => {}
            }
        }
    };
    timeout(LIMIT, sent).await.unwrap();
}

pub(crate) async fn r36_commit_is_heard_by_all_that_listen(backend: impl Backend) {
    let repository = backend.open().await;
    let repository = repository.as_ref();
    let mut listeners = [repository.list_changes(), repository.list_changes()];
    for n in 1..4 {
        let events = [
            registered(&format!("b{n}"), "u", n, &[]),
            // An id that JSON must escape.
            registered(&format!("of v {n}"), "\"v\\", n, &[]),
        ];
        apply(repository, &events).await.unwrap();
        for changes in &mut listeners {
            wait_for(changes, repository, n.unsigned_abs()).await;
        }
    }
}

pub(crate) async fn r36_versions_of_several_users_are_read_at_once(backend: impl Backend) {
    let repository = backend.open().await;
    let repository = repository.as_ref();
    for (n, user) in (0..).zip(["u", "v", "u", "w"]) {
        apply(repository, &[registered(&format!("b{n}"), user, n, &[])]).await.unwrap();
    }
    let asked = ["u", "nobody", "v"].map(user_id);
    let found = repository.user_versions(&asked).await.unwrap();
    let want = [(user_id("u"), Version(2)), (user_id("v"), Version(1))];
    assert_eq!(found, want.into());
    assert!(repository.user_versions(&[]).await.unwrap().is_empty());
}
