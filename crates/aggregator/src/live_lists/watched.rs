//! The lists that open streams watch, each with its newest version.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use database::Version;
use projection::UserId;
use tokio::sync::watch;

/// The newest version of a list; none until it was read.
pub(super) type Newest = Option<Version>;

/// Lists by their users. Clones share them.
#[derive(Clone, Default)]
pub(super) struct WatchedLists {
    lists: Arc<Mutex<HashMap<UserId, watch::Sender<Newest>>>>,
}

/// One list, for one stream. The last one of a user removes the list.
pub(super) struct WatchedList {
    user_id: UserId,
    newest: watch::Receiver<Newest>,
    lists: WatchedLists,
}

impl WatchedLists {
    /// Watches the list of a user.
    pub(super) fn watch(&self, user_id: UserId) -> WatchedList {
        let newest = self.lock().entry(user_id.clone()).or_default().subscribe();
        WatchedList { user_id, newest, lists: self.clone() }
    }

    /// The lists that are watched, with their newest versions.
    pub(super) fn newest(&self) -> Vec<(UserId, Newest)> {
        self.lock().iter().map(|(user_id, list)| (user_id.clone(), *list.borrow())).collect()
    }

    /// Notes a version that may be older than one that is known.
    pub(super) fn raise(&self, user_id: &UserId, version: Version) {
        self.modify(user_id, |newest| *newest < Some(version), version);
    }

    /// Notes the version that was read from the database after `seen` was the newest. It is older if the
    /// database was restored. If another one was noted meanwhile, it may be newer than the one read.
    pub(super) fn replace(&self, user_id: &UserId, seen: Newest, version: Version) {
        self.modify(user_id, |newest| *newest == seen && seen != Some(version), version);
    }

    fn modify(&self, user_id: &UserId, is_news: impl Fn(&Newest) -> bool, version: Version) {
        if let Some(list) = self.lock().get(user_id) {
            list.send_if_modified(|newest| {
                let is_news = is_news(newest);
                if is_news {
                    *newest = Some(version);
                }
                is_news
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, watch::Sender<Newest>>> {
        // A panic while the lock was held leaves a whole map.
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WatchedList {
    /// The newest version.
    pub(super) fn current(&mut self) -> Newest {
        *self.newest.borrow_and_update()
    }

    /// Waits until the version may have changed since the last [`current`](Self::current).
    pub(super) async fn changed(&mut self) {
        if self.newest.changed().await.is_err() {
            // The sender lives as long as this does.
            std::future::pending().await
        }
    }
}

impl Drop for WatchedList {
    fn drop(&mut self) {
        let mut lists = self.lists.lock();
        // Under the lock: of two that end together one must see that it is the last.
        drop(mem::replace(&mut self.newest, watch::channel(None).1));
        if lists.get(&self.user_id).is_some_and(|list| list.receiver_count() == 0) {
            lists.remove(&self.user_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id).unwrap()
    }

    #[tokio::test]
    async fn only_the_newest_version_is_kept() {
        let lists = WatchedLists::default();
        let mut list = lists.watch(user("u"));
        assert_eq!(list.current(), None);
        for version in 1..1_000 {
            lists.raise(&user("u"), Version(version));
            lists.raise(&user("other"), Version(7));
        }
        list.changed().await;
        assert_eq!(list.current(), Some(Version(999)));
        lists.raise(&user("u"), Version(5));
        assert_eq!(list.current(), Some(Version(999)), "reported late");
        lists.replace(&user("u"), Some(Version(998)), Version(5));
        assert_eq!(list.current(), Some(Version(999)), "reported after the database was read");
        lists.replace(&user("u"), Some(Version(999)), Version(5));
        list.changed().await;
        assert_eq!(list.current(), Some(Version(5)), "the database was restored");
    }

    #[test]
    fn list_is_forgotten_with_its_last_stream() {
        let lists = WatchedLists::default();
        let (one, other) = (lists.watch(user("u")), lists.watch(user("u")));
        drop(one);
        assert_eq!(lists.newest(), [(user("u"), None)]);
        drop(other);
        assert!(lists.newest().is_empty());
    }
}
