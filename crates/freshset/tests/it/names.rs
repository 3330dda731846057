//! Names: what they may hold, how they are written, and that they are read back.

use std::fmt::{self, Display};

use freshset::{
    ENTRY_KEY_CHARS_MAX, EntryKey, KeyError, NAMESPACE_CHARS_MAX, Namespace, OWNER_ID_CHARS_MAX,
    OWNER_KIND_CHARS_MAX, Owner,
};

/// Texts that could end a part early, be escaped twice, or look like another text.
const TEXTS: [&str; 14] = [
    "u1",
    ":",
    "a:b",
    "a%3Ab",
    "%",
    "{}",
    " ",
    "\0",
    "\r\n",
    "å",
    "a\u{30a}",
    "漢字",
    "👩‍🏫",
    "~._-",
];

#[test]
fn ids_and_keys_of_any_script_may_be_as_long_as_the_limit_says() {
    for one in ["a", "%", "å", "漢", "\u{10ffff}"] {
        assert!(Owner::new("user", one.repeat(OWNER_ID_CHARS_MAX)).is_ok(), "{one}");
        let error = Owner::new("user", one.repeat(OWNER_ID_CHARS_MAX + 1)).unwrap_err();
        assert_eq!(error.to_string(), "the owner id is longer than 512 characters", "{one}");

        assert!(EntryKey::of(one.repeat(ENTRY_KEY_CHARS_MAX)).is_ok(), "{one}");
        let error = EntryKey::of(one.repeat(ENTRY_KEY_CHARS_MAX + 1)).unwrap_err();
        assert_eq!(error.to_string(), "the entry key is longer than 2048 characters", "{one}");
    }
}

#[test]
fn separators_count_in_the_length_of_a_key() {
    let half = "a".repeat(ENTRY_KEY_CHARS_MAX / 2);
    assert!(EntryKey::new([&half[1..], &half]).is_ok());
    assert!(EntryKey::new([&half, &half]).is_err());
    assert!(EntryKey::new(vec![""; ENTRY_KEY_CHARS_MAX + 1]).is_ok());
    assert!(EntryKey::new(vec![""; ENTRY_KEY_CHARS_MAX + 2]).is_err());
}

#[test]
fn kinds_and_namespaces_have_their_alphabet_and_length() {
    assert!(Owner::new(&"k".repeat(OWNER_KIND_CHARS_MAX), "u").is_ok());
    assert!(Owner::new(&"k".repeat(OWNER_KIND_CHARS_MAX + 1), "u").is_err());
    assert!(Namespace::new(&"n".repeat(NAMESPACE_CHARS_MAX)).is_ok());
    assert!(Namespace::new(&"n".repeat(NAMESPACE_CHARS_MAX + 1)).is_err());
    for wrong in ["User", "us er", "user:", "usér", "us{r"] {
        let alphabet = |error| matches!(error, KeyError::Alphabet { .. });
        assert!(Owner::new(wrong, "u").is_err_and(alphabet), "{wrong}");
        assert!(Namespace::new(wrong).is_err_and(alphabet), "{wrong}");
    }
}

#[test]
fn empty_names_are_refused() {
    let empty = |error| matches!(error, KeyError::Empty { .. });
    assert!(Namespace::new("").is_err_and(empty));
    assert!(Owner::new("", "u").is_err_and(empty));
    assert!(Owner::new("user", "").is_err_and(empty));
    assert!(EntryKey::new::<&str>([]).is_err_and(empty));
    assert!(EntryKey::of("").is_err_and(empty));
}

#[test]
fn names_are_read_back_from_what_they_are_displayed_as() {
    for text in TEXTS {
        let owner = Owner::new("user_2", text).unwrap();
        assert_eq!((owner.kind(), &*owner.id()), ("user_2", text));
        assert_eq!(owner.to_string().parse(), Ok(owner.clone()), "{owner}");
        assert_eq!(Owner::try_from(owner.as_ref()), Ok(owner));
        for other in TEXTS {
            let key = EntryKey::new([text, "", other]).unwrap();
            assert_eq!(key.to_string().parse(), Ok(key.clone()), "{key}");
            assert_eq!(EntryKey::try_from(key.as_ref()), Ok(key));
        }
    }
    let namespace = Namespace::new("shop-2_b").unwrap();
    assert_eq!(namespace.to_string().parse(), Ok(namespace));
}

#[test]
fn text_that_no_name_is_displayed_as_is_not_read() {
    for text in ["", "u", "user:", ":u", "User:u", "user:a b", "user:%41", "user:%3a", "user:a:b"] {
        assert!(text.parse::<Owner>().is_err(), "{text}");
    }
    for text in ["user:%", "user:%zz", "user:%ff", "user:å"] {
        assert!(matches!(text.parse::<Owner>(), Err(KeyError::NotEscaped { .. })), "{text}");
    }
    for text in ["", "a b", "list:%41", "list:%3a", "list:%ff", "å"] {
        assert!(text.parse::<EntryKey>().is_err(), "{text}");
    }
}

#[test]
fn different_parts_are_different_keys() {
    let mut keys = Vec::new();
    for one in TEXTS {
        keys.push(EntryKey::of(one).unwrap());
        keys.extend([EntryKey::of((one, "")).unwrap(), EntryKey::of(("", one)).unwrap()]);
        keys.extend(TEXTS.map(|other| EntryKey::of((one, other)).unwrap()));
    }
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count);
}

#[test]
fn tuple_array_slice_and_vector_of_the_same_parts_are_one_key() {
    let key = EntryKey::new(["1", "2", "3"]).unwrap();
    assert_eq!(key.as_str(), "1:2:3");
    for same in [
        EntryKey::new(1..=3),
        EntryKey::of((1_u8, "2", '3')),
        EntryKey::of((1, String::from("2"), 3_i64)),
        EntryKey::of([1, 2, 3]),
        EntryKey::of(&[1, 2, 3][..]),
        EntryKey::of(vec!["1", "2", "3"]),
    ] {
        assert_eq!(same, Ok(key.clone()));
    }
    let twelve = EntryKey::of((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)).unwrap();
    assert_eq!(twelve.as_str(), "1:2:3:4:5:6:7:8:9:10:11:12");
    assert_eq!(EntryKey::of(("one",)), EntryKey::of("one"));
}

#[test]
fn debug_output_of_an_owner_hides_its_id() {
    let owner = Owner::new("user", "teacher-17").unwrap();
    assert_eq!(format!("{owner:?}"), "Owner(user:…)");
    assert_eq!(format!("{owner:>20}"), "     user:teacher-17");
}

/// A value whose text breaks off.
struct BrokenOff;

impl Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("beg")?;
        Err(fmt::Error)
    }
}

/// A value whose text has no end.
struct Endless;

impl Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        loop {
            f.write_str("x")?;
        }
    }
}

#[test]
fn text_that_breaks_off_or_has_no_end_is_no_name() {
    assert!(matches!(Owner::new("user", BrokenOff), Err(KeyError::NotText { .. })));
    assert!(matches!(EntryKey::of(("a", BrokenOff)), Err(KeyError::NotText { .. })));
    assert!(matches!(Owner::new("user", Endless), Err(KeyError::TooLong { .. })));
    assert!(matches!(EntryKey::new([Endless]), Err(KeyError::TooLong { .. })));
}
