//! Owners of one entry: the home owner, and the others it depends on.

use std::fmt;
use std::slice;

use smallvec::SmallVec;

use crate::key::Owner;

/// Most owners of one entry. If a reader names more, the entry is loaded past the cache; if its loader
/// finds so many that there are more, it is given and not stored.
pub const OWNERS_MAX: usize = 64;

/// The owners of one entry, in the caller's order. An invalidation of any of them makes it unreadable.
///
/// The first one is the *home*: its index lists the entry, and its limit of entries counts it. On a
/// Cluster it decides the slot. Choose the owner that changes most, because only an invalidation of the
/// home frees the memory at once.
///
/// A reader that names the first owners of an entry in the same order finds it, and all its owners are
/// compared. Readers that name other owners behind the same home replace each other's entry.
///
/// Calls that take `impl Into<Owners>` take one `&Owner`, too.
///
/// ```
/// use freshset::{Owner, Owners};
///
/// let team = Owner::new("team", "red")?;
/// let projects = [Owner::new("project", "p1")?, Owner::new("project", "p2")?];
/// let owners = Owners::of(&team).and(&projects[0]).and(&projects[1]);
/// assert_eq!(owners, Owners::of(&team).and_all(&projects));
/// assert_eq!(owners.home(), &team);
/// # Ok::<(), freshset::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Owners(SmallVec<[Owner; 2]>);

impl Owners {
    /// One owner, the home.
    pub fn of(home: &Owner) -> Self {
        Self(SmallVec::from_iter([home.clone()]))
    }

    /// Adds an owner that the entry depends on. One that is there already changes nothing.
    #[must_use]
    pub fn and(mut self, owner: &Owner) -> Self {
        if !self.contains(owner) {
            self.0.push(owner.clone());
        }
        self
    }

    /// Adds each of these owners.
    #[must_use]
    pub fn and_all<'a>(self, owners: impl IntoIterator<Item = &'a Owner>) -> Self {
        owners.into_iter().fold(self, Self::and)
    }

    /// The first owner.
    pub fn home(&self) -> &Owner {
        // `of` is the only way to make one, so there is a first owner.
        &self.0[0]
    }

    /// All of them, the home first.
    pub fn as_slice(&self) -> &[Owner] {
        &self.0
    }

    /// Each of them, the home first.
    pub fn iter(&self) -> slice::Iter<'_, Owner> {
        self.0.iter()
    }

    /// Whether the owner is one of them.
    pub fn contains(&self, owner: &Owner) -> bool {
        self.0.contains(owner)
    }
}

impl From<&Owner> for Owners {
    fn from(owner: &Owner) -> Self {
        Self::of(owner)
    }
}

impl From<Owner> for Owners {
    fn from(owner: Owner) -> Self {
        Self(SmallVec::from_iter([owner]))
    }
}

impl From<&Owners> for Owners {
    fn from(owners: &Owners) -> Self {
        owners.clone()
    }
}

impl AsRef<[Owner]> for Owners {
    fn as_ref(&self) -> &[Owner] {
        self.as_slice()
    }
}

impl<'a> IntoIterator for &'a Owners {
    type Item = &'a Owner;
    type IntoIter = slice::Iter<'a, Owner>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_that_is_added_twice_stands_once() {
        let [a, b] = ["a", "b"].map(|id| Owner::new("team", id).unwrap());
        let owners = Owners::of(&a).and(&b).and(&a).and(&b);
        assert_eq!(owners.as_slice(), [a, b]);
    }
}
