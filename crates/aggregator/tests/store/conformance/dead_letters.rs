//! Rules about dead letters: R10.

use aggregator::store::DeadLetter;
use results::{RefusalCode, Timestamp};

use super::Backend;

/// Larger than the store sends in one statement.
const LARGE_BYTES: usize = 7 * 1024 * 1024;

fn letter(fingerprint: &str) -> DeadLetter {
    DeadLetter {
        fingerprint: fingerprint.into(),
        source: "kafka".into(),
        topic: Some("topic".into()),
        partition: Some(3),
        offset: Some(i64::MAX),
        key: None,
        headers: Vec::new(),
        bytes: b"{".to_vec(),
        code: RefusalCode::NotJson,
        detail: "end of input".into(),
        at: Timestamp::from_unix_micros(1),
    }
}

pub(crate) async fn r10_a_dead_letter_is_kept_once(backend: impl Backend) {
    let store = backend.open().await;
    store.keep_dead_letters(&[]).await.unwrap();
    assert_eq!(store.dead_letter_count().await.unwrap(), 0);

    store.keep_dead_letters(&[letter("1"), letter("2")]).await.unwrap();
    let redelivered = DeadLetter { detail: "another reason".into(), ..letter("2") };
    store.keep_dead_letters(&[redelivered, letter("3"), letter("3")]).await.unwrap();
    assert_eq!(store.dead_letter_count().await.unwrap(), 3);
}

pub(crate) async fn r10_a_dead_letter_is_kept_whatever_is_in_it(backend: impl Backend) {
    let store = backend.open().await;
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let mut letters = vec![
        DeadLetter {
            topic: Some("to\0pic".into()),
            key: Some(every_byte.clone()),
            headers: vec![("na\0me \"é\"".into(), vec![0, 255]), ("name".into(), vec![])],
            bytes: every_byte.clone(),
            detail: "found `\0`".into(),
            at: Timestamp::MIN,
            ..letter("0 \0 \"'")
        },
        DeadLetter { source: "http".into(), bytes: vec![], at: Timestamp::MAX, ..letter("1") },
    ];
    // Together they are more than one statement takes.
    let large = ["2", "3", "4"].map(|it| DeadLetter { bytes: vec![7; LARGE_BYTES], ..letter(it) });
    letters.extend(large);
    store.keep_dead_letters(&letters).await.unwrap();

    let kept = backend.dead_letters().await;
    assert_eq!(kept.len(), letters.len());
    let (fingerprint, key, headers, bytes) = &kept[0];
    assert_eq!(fingerprint, "0 \u{fffd} \"'");
    assert_eq!(key.as_ref(), Some(&every_byte));
    assert_eq!(bytes, &every_byte);
    let headers: serde_json::Value = serde_json::from_str(headers).unwrap();
    assert_eq!(headers, serde_json::json!([["na\u{fffd}me \"é\"", "00ff"], ["name", ""]]));
    for (kept, letter) in kept.iter().zip(&letters).skip(1) {
        assert!(kept.3 == letter.bytes, "the bytes of {} are others", kept.0);
    }
}
