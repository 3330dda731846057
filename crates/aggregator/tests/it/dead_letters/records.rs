//! Records of the platform, and changed ones.

/// A registration of `0b5e2a44-7d1f-4c9a-9a11-000000000001` for `teacher-17`, as sent on the wire.
pub(crate) const REGISTERED: &str =
    include_str!("../../../../projection/tests/records/batch_essays_registered.json");
/// A file for one of its essays.
pub(crate) const SLOT: &str =
    include_str!("../../../../projection/tests/records/essay_slot_assigned.json");
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

/// Topic and bytes of the records of a whole batch, as the platform's producers send them.
pub(crate) fn wire_records() -> impl Iterator<Item = (String, String)> {
    let lines = include_str!("../../../../projection/tests/records/wire_batch.jsonl").lines();
    lines.map(|line| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| record[name].as_str().unwrap().to_owned();
        (text("topic"), text("value"))
    })
}
