//! Records that are refused, one for each reason that bytes alone can give.

use results::{RECORD_BYTES_MAX, RefusalCode};

/// A registration of `0b5e2a44-7d1f-4c9a-9a11-000000000001` for `teacher-17`, as sent on the wire.
pub(crate) const REGISTERED: &str =
    include_str!("../../../results/tests/records/batch_essays_registered.json");
/// A file for one of its essays.
pub(crate) const SLOT: &str =
    include_str!("../../../results/tests/records/essay_slot_assigned.json");
/// The user of that batch.
pub(crate) const TEACHER: &str = "teacher-17";

/// The registration, on one line.
pub(crate) fn compact(record: &str) -> String {
    record.lines().map(str::trim_start).collect()
}

/// The registration with one piece of it replaced.
pub(crate) fn with(piece: &str, by: &str) -> String {
    let changed = REGISTERED.replacen(piece, by, 1);
    assert_ne!(changed, REGISTERED, "{piece}");
    changed
}

/// A record that is refused for this reason; none if that takes more than bytes.
pub(crate) fn refused_for(code: RefusalCode) -> Option<Vec<u8>> {
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

/// Topic and bytes of the records of a whole batch, as the platform's producers send them.
pub(crate) fn wire_records() -> impl Iterator<Item = (String, String)> {
    let lines = include_str!("../../../results/tests/records/wire_batch.jsonl").lines();
    lines.map(|line| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| record[name].as_str().unwrap().to_owned();
        (text("topic"), text("value"))
    })
}
