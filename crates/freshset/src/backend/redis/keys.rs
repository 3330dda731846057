//! Key layout: all keys of one owner in one slot.
//!
//! | key | type | what |
//! |---|---|---|
//! | `{ns}:g:{OWNER}` | string | generation |
//! | `{ns}:i:{OWNER}` | SET | index: the owner's entry keys |
//! | `{ns}:e:{OWNER}:KEY` | string | entry |
//! | `{ns}:h:{OWNER}` | SET | names of the garbage sets below |
//! | `{ns}:h:{OWNER}:NAME` | SET | garbage set: an index that an invalidation set aside |
//!
//! `{OWNER}` with its braces is the hash tag, so scripts may name all of an owner's keys in a
//! cluster. Owners and entry keys are escaped (`key.rs`) and hold no brace.

use crate::key::{EntryKey, Namespace, Owner};

#[derive(Debug, Clone)]
pub(super) struct Keys {
    namespace: Namespace,
}

impl Keys {
    pub(super) fn new(namespace: Namespace) -> Self {
        Self { namespace }
    }

    pub(super) fn generation(&self, owner: &Owner) -> String {
        self.of(owner, 'g')
    }

    pub(super) fn index(&self, owner: &Owner) -> String {
        self.of(owner, 'i')
    }

    pub(super) fn entry(&self, owner: &Owner, key: &EntryKey) -> String {
        format!("{}:{}", self.of(owner, 'e'), key.as_str())
    }

    pub(super) fn garbage_sets(&self, owner: &Owner) -> String {
        self.of(owner, 'h')
    }

    pub(super) fn garbage_set(&self, owner: &Owner, name: &str) -> String {
        format!("{}:{name}", self.of(owner, 'h'))
    }

    /// Whether a key begins with the namespace.
    pub(super) fn has(&self, key: &str) -> bool {
        key.strip_prefix(self.namespace.as_str()).is_some_and(|rest| rest.starts_with(':'))
    }

    fn of(&self, owner: &Owner, kind: char) -> String {
        format!("{}:{kind}:{{{}}}", self.namespace.as_str(), owner.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_owner_id_ends_the_hash_tag_or_names_a_key_of_another_owner() {
        let keys = Keys::new(Namespace::new("ras").unwrap());
        let entry = |kind: &str, id: &str, parts: &[&str]| {
            let owner = Owner::new(kind, id).unwrap();
            keys.entry(&owner, &EntryKey::new(parts.iter().copied()).unwrap())
        };
        let check = |ours: String, theirs: String| assert_ne!(ours, theirs);

        assert_eq!(entry("user", "u1", &["list", "20"]), "ras:e:{user:u1}:list:20");
        assert_eq!(entry("user", "a}:x{b", &["k"]), "ras:e:{user:a%7D%3Ax%7Bb}:k");
        check(entry("user", "a", &["b:c"]), entry("user", "a", &["b", "c"]));
        check(entry("user", "a:b", &["c"]), entry("user", "a", &["b", "c"]));
        check(entry("user", "a%3Ab", &["c"]), entry("user", "a:b", &["c"]));
        check(entry("user", "å", &["c"]), entry("user", "a\u{30a}", &["c"]));
    }

    #[test]
    fn keys_of_a_longer_namespace_are_of_another_one() {
        let keys = Keys::new(Namespace::new("ras").unwrap());
        let of_namespace = ["ras:g:{user:u1}", "ras2:g:{user:u1}", "ras", "other:ras:g"];
        assert_eq!(of_namespace.map(|key| keys.has(key)), [true, false, false, false]);
    }
}
