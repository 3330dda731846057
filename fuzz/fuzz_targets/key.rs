//! Names of owners and entries: different ids have different names, and a name is read back as it was.

#![no_main]

use freshset::{EntryKey, Namespace, Owner};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, [&str; 2], [&str; 2])| {
    let (text, id, one, other) = input;
    if let Ok(owner) = Owner::new("user", id) {
        assert_eq!(owner.to_string().parse::<Owner>().expect("its own name"), owner);
        assert_eq!(owner.id(), id);
    }
    let keys = (EntryKey::new(one), EntryKey::new(other));
    if let (Ok(key), Ok(other_key)) = keys {
        assert_eq!(key.to_string().parse::<EntryKey>().expect("its own name"), key);
        assert_eq!(key == other_key, one == other, "{one:?} {other:?}");
    }
    // Any text is a name or an error.
    if let Ok(owner) = text.parse::<Owner>() {
        assert_eq!(owner.to_string().parse::<Owner>().expect("its own name"), owner);
    }
    if let Ok(key) = text.parse::<EntryKey>() {
        assert_eq!(key.to_string().parse::<EntryKey>().expect("its own name"), key);
    }
    let _ = text.parse::<Namespace>();
});
