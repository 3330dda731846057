//! What an operator asks of an owner: which entries a reader could be given now.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::cache::core::Core;
use crate::cache::look_up::{Name, Readable};
use crate::error::BackendError;
use crate::key::{EntryKey, Owner};
use crate::owners::Owners;

/// Entries that are looked up at a time, and whose payloads are in memory together.
const LOOK_UPS_AT_ONCE: usize = 8;

/// Result of [`Cache::entries`](crate::Cache::entries).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnerEntries<T> {
    /// Members of the owner's index. It may list entries that have expired, and entries whose other owners
    /// were invalidated.
    pub members: u64,
    /// The readable entries among those that were looked at, by their keys.
    pub entries: Vec<ListedEntry<T>>,
}

/// A readable entry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedEntry<T> {
    /// Its key.
    pub key: EntryKey,
    /// What was made of its payload.
    pub value: T,
    /// How long it lives on, if the backend knows.
    pub remaining: Option<Duration>,
}

impl Core {
    pub(super) async fn entries<T>(
        &self,
        home: &Owner,
        entries_max: usize,
        read: impl Fn(Option<Bytes>) -> T,
    ) -> Result<OwnerEntries<T>, BackendError> {
        let members = self.backend.members(home, entries_max).await?;
        let owners = Owners::of(home);
        let looked_up = members.keys.into_iter().map(|key| self.listed(&owners, key, &read));
        let looked_up = stream::iter(looked_up).buffer_unordered(LOOK_UPS_AT_ONCE);
        let found: Vec<Option<ListedEntry<T>>> = looked_up.try_collect().await?;
        let mut entries: Vec<ListedEntry<T>> = found.into_iter().flatten().collect();
        entries.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(OwnerEntries { members: members.count, entries })
    }

    async fn listed<T>(
        &self,
        owners: &Owners,
        key: EntryKey,
        read: impl Fn(Option<Bytes>) -> T,
    ) -> Result<Option<ListedEntry<T>>, BackendError> {
        let found = self.find_readable(Name { owners, key: &key }, true).await?;
        let Readable::Yes(hit) = found else { return Ok(None) };
        Ok(Some(ListedEntry { key, value: read(hit.content), remaining: hit.remaining }))
    }
}
