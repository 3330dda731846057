//! A record of any bytes is an event or a refusal; an event is folded, and its outgoing events are derived.

#![no_main]

use libfuzzer_sys::fuzz_target;
use projection::{EventKind, Rows, Timestamp, decode, locate, outgoing_events};

fuzz_target!(|input: (u8, &[u8])| {
    let (topic, record) = input;
    // One more than there are kinds: a record without a topic.
    let expected = EventKind::ALL.get(usize::from(topic) % (EventKind::ALL.len() + 1)).copied();
    let now = Timestamp::from_unix_micros(0);
    match decode(record, expected, now) {
        Ok(event) => {
            let before = Rows::default();
            let mut after = before.clone();
            if after.apply(&event).is_ok() {
                let outgoing = outgoing_events(&before, &after, [&event], now, None);
                for event in outgoing.events {
                    serde_json::from_slice::<serde_json::Value>(&event.value).expect("JSON");
                }
            }
        }
        Err(refusal) => {
            if let Some(range) = locate(record, expected, refusal.code) {
                assert!(range.start <= range.end && range.end <= record.len());
            }
        }
    }
});
