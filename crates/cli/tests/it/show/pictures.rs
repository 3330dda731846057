//! Pictures of dead letters, one golden file per refusal code.

use std::path::Path;

use api_types::DeadLetter;
use cli::dead_letters::{Look, picture, show};
use projection::{EventKind, RECORD_BYTES_MAX, RefusalCode};
use proptest::prelude::*;

use super::records::{REGISTERED, SLOT, TEACHER, compact, with};
use super::world::World;

/// Set to write the golden files instead of comparing with them.
const UPDATE: &str = "UPDATE_GOLDEN";

/// A world with one dead letter that was refused with this code.
async fn refused(code: RefusalCode) -> World {
    let world = World::new().await;
    let topic = EventKind::BatchEssaysRegistered.topic();
    match (code, refused_for(code)) {
        // A record from Kafka is decoded by its topic.
        (RefusalCode::UnknownEventType, Some(bytes)) => drop(world.ingest(bytes).await),
        (_, Some(bytes)) => drop(world.consume(topic, 41, bytes).await),
        (_, None) => refuse_well_formed(&world, code).await,
    }
    world
}

async fn refuse_well_formed(world: &World, code: RefusalCode) {
    world.ingest(REGISTERED).await;
    match code {
        RefusalCode::ConflictingOwner => {
            let other = REGISTERED
                .replace(TEACHER, "teacher-18")
                .replace("\"event_id\": \"1", "\"event_id\": \"2");
            world.ingest(other).await;
        }
        RefusalCode::Unstorable => {
            world.execute("update batches set state = '{}'").await;
            world.ingest(SLOT).await;
        }
        // This database is never slow.
        RefusalCode::TooSlow => {
            world.execute("update batches set state = '{}'").await;
            world.ingest(SLOT).await;
            let detail = "it took longer than 32 s in the database, alone";
            let too_slow = format!("update dead_letters set code = '{code}', detail = '{detail}'");
            world.execute(&too_slow).await;
        }
        // Only an earlier build refused it.
        RefusalCode::UnexpectedEventType => {
            let earlier = format!("update dead_letters set code = '{code}'");
            world.ingest("{}").await;
            world.execute(&earlier).await;
        }
        _ => panic!("no record that is refused for {code}"),
    }
}

#[tokio::test]
async fn every_refusal_code_has_its_golden_picture() {
    for code in RefusalCode::ALL {
        let world = refused(*code).await;
        let id = world.only_dead_letter().await;
        let dead_letter = world.get(&format!("/dead-letters/{id}")).await;
        assert_eq!(dead_letter["code"], code.as_str());
        let dead_letter: DeadLetter = serde_json::from_value(dead_letter).unwrap();
        let got = show(&dead_letter, Look::Plain).unwrap();
        assert_safe(&got);
        check_golden(&format!("{code}.txt"), &got);
    }
}

#[track_caller]
fn check_golden(name: &str, got: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/dead_letters").join(name);
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, got).unwrap();
        return;
    }
    let want = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        got == want,
        "{name} differs\ngot:\n{got}\nwant:\n{want}\nif that is intended: \
         {UPDATE}=1 cargo x test -- -p cli --test it show",
    );
}

/// Nothing controls a terminal: every character is visible, and none changes the direction of text.
#[track_caller]
fn assert_safe(text: &str) {
    let odd =
        |character: &char| character.escape_debug().count() > 1 && !"\n\"'\\".contains(*character);
    assert_eq!(text.chars().find(odd), None, "{text:?}");
}

#[test]
fn marks_are_coloured_only_for_a_terminal() {
    let plain = picture(b"{\"a\": x}", Some(6..7), Look::Plain);
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    let coloured = picture(b"{\"a\": x}", Some(6..7), Look::Coloured);
    assert_eq!(coloured.matches("\u{1b}[31m\u{1b}[1mx\u{1b}[0m").count(), 2, "{coloured:?}");
    assert_eq!(console::strip_ansi_codes(&coloured), plain);
}

#[test]
fn carets_stand_below_the_marked_bytes() {
    #[track_caller]
    fn check(text: &str, range: std::ops::Range<usize>, want: &str) {
        let picture = picture(text.as_bytes(), Some(range), Look::Plain);
        let (text, _) = picture.split_once("\n\n").unwrap();
        assert_eq!(text, want, "{picture}");
    }
    check("{\"a\": x}", 6..7, "line 1, column 7:\n  1 | {\"a\": x}\n    |       ^");
    check("{", 1..1, "line 1, column 2:\n  1 | {\n    |  ^");
    check("", 0..0, "line 1, column 1:\n  1 | \n    | ^");
    check("a\nb\nccc", 4..6, "line 3, column 1:\n  1 | a\n  2 | b\n  3 | ccc\n    | ^^");
    check("a\nb", 1..2, "line 1, column 2:\n  1 | a\\n\n    |  ^^\n  2 | b");
    check("日本 x", 7..8, "line 1, column 4:\n  1 | 日本 x\n    |      ^");
    check("\u{1b}[2J x", 5..6, "line 1, column 6:\n  1 | \\u{1b}[2J x\n    |           ^");
    check("{\n}\n", 0..3, "line 1, column 1:\n  1 | {\n    | ^\n  2 | }");
}

#[test]
fn long_line_is_cut_around_the_mark() {
    let text = format!("{}x{}", "a".repeat(1_000_000), "b".repeat(1_000_000));
    let picture = picture(text.as_bytes(), Some(1_000_000..1_000_001), Look::Plain);
    assert!(picture.starts_with("line 1, column 1000001:\n  1 | …aaa"), "{picture}");
    assert!(picture.contains("aaxbb") && picture.contains("bbb…\n"), "{picture}");
    assert!(picture.len() < 1_000, "{picture}");
}

proptest! {
    /// Any bytes with any range: the picture is short and safe to print.
    #[test]
    fn pictures_of_any_bytes_are_short_and_printable(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            any::<String>().prop_map(String::into_bytes),
        ],
        start in 0_usize..250,
        length in 0_usize..250,
        is_placed in any::<bool>(),
    ) {
        let drawn = picture(&bytes, is_placed.then_some(start..start + length), Look::Plain);
        assert_safe(&drawn);
        prop_assert!(drawn.len() < 4_000);
        prop_assert!(drawn.lines().all(|line| line.chars().count() < 100), "{}", drawn);
    }
}

/// A record that is refused with this code; none if its bytes alone are not the reason.
fn refused_for(code: RefusalCode) -> Option<Vec<u8>> {
    let bytes = match code {
        RefusalCode::TooLarge => {
            let padding = " ".repeat(RECORD_BYTES_MAX - REGISTERED.len());
            format!("{REGISTERED}{padding}and more").into_bytes()
        }
        RefusalCode::NotUtf8 => {
            let (before, after) = REGISTERED.split_once("teacher").unwrap();
            [before.as_bytes(), b"l\xe4rare", after.as_bytes()].concat()
        }
        RefusalCode::NotJson => compact(&with("\"essay_ids\": [", "\"essay_ids\": [,")).into(),
        RefusalCode::InvalidField => with("\"teacher-17\"", "{\"name\": \"\u{1b}[2JAnna\"}")
            .replace('\u{1b}', "\\u001b\u{202e}")
            .into(),
        RefusalCode::UnknownEventType => with("essays.registered.v1", "essays.ångrat.v1").into(),
        RefusalCode::UnsupportedSchemaVersion => {
            with("\"schema_version\": 1", "\"schema_version\": 2").into()
        }
        RefusalCode::UnexpectedEventType
        | RefusalCode::ConflictingOwner
        | RefusalCode::Unstorable
        | RefusalCode::TooSlow
        | _ => return None,
    };
    Some(bytes)
}
