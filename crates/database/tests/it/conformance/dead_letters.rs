//! Rules of dead letters: R10, R25 to R31, R33.

use database::{
    DEAD_LETTERS_SCANNED_MAX, DeadLetter, DeadLetterCursor, DeadLetterGroup, DeadLetterId,
    DeadLetterQuery, DeadLetterRepository, DeadLetterSummary, DeadLetterUsage, ExpiredDeadLetters,
    StoredDeadLetter,
};
use projection::{Refusal, RefusalCode, Timestamp};
use tokio::task::JoinSet;

use super::Backend;

/// Far more than any check stores.
const ALL: u32 = 1_000;

/// Larger than the repository sends in one statement.
const LARGE_BYTES: usize = 7 * 1024 * 1024;

pub(super) fn dead_letter(fingerprint: &str) -> DeadLetter {
    DeadLetter {
        fingerprint: fingerprint.into(),
        source: "kafka".into(),
        topic: Some("topic".into()),
        partition: Some(3),
        offset: Some(i64::MAX),
        key: None,
        headers: Vec::new(),
        bytes: b"{".to_vec(),
        received_at: Timestamp::from_unix_micros(-1),
        code: RefusalCode::NotJson,
        detail: "end of input".into(),
        at: Timestamp::from_unix_micros(1),
    }
}

pub(crate) async fn r10_dead_letter_is_stored_once(backend: impl Backend) {
    let repository = backend.open().await;
    repository.insert_dead_letters(&[]).await.unwrap();
    assert_eq!(repository.dead_letter_usage().await.unwrap().dead_letters, 0);

    repository.insert_dead_letters(&[dead_letter("1"), dead_letter("2")]).await.unwrap();
    let redelivered = DeadLetter { detail: "another reason".into(), ..dead_letter("2") };
    repository
        .insert_dead_letters(&[redelivered, dead_letter("3"), dead_letter("3")])
        .await
        .unwrap();
    assert_eq!(repository.dead_letter_usage().await.unwrap().dead_letters, 3);
}

pub(crate) async fn r10_dead_letter_is_stored_whatever_its_content(backend: impl Backend) {
    let repository = backend.open().await;
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let mut dead_letters = vec![
        DeadLetter {
            topic: Some("to\0pic".into()),
            key: Some(every_byte.clone()),
            headers: vec![("na\0me \"é\"".into(), vec![0, 255]), ("name".into(), vec![])],
            bytes: every_byte.clone(),
            detail: "found `\0`".into(),
            at: Timestamp::MIN,
            ..dead_letter("0 \0 \"'")
        },
        DeadLetter { source: "http".into(), bytes: vec![], at: Timestamp::MAX, ..dead_letter("1") },
    ];
    // Together they need more than one statement.
    let large =
        ["2", "3", "4"].map(|it| DeadLetter { bytes: vec![7; LARGE_BYTES], ..dead_letter(it) });
    dead_letters.extend(large);
    repository.insert_dead_letters(&dead_letters).await.unwrap();

    let stored = backend.dead_letters().await;
    assert_eq!(stored.len(), dead_letters.len());
    let (fingerprint, key, headers, bytes) = &stored[0];
    assert_eq!(fingerprint, "0 \u{fffd} \"'");
    assert_eq!(key.as_ref(), Some(&every_byte));
    assert_eq!(bytes, &every_byte);
    let headers: serde_json::Value = serde_json::from_str(headers).unwrap();
    assert_eq!(headers, serde_json::json!([["na\u{fffd}me \"é\"", "00ff"], ["name", ""]]));
    for (stored, dead_letter) in stored.iter().zip(&dead_letters).skip(1) {
        assert!(stored.3 == dead_letter.bytes, "the bytes of {} differ", stored.0);
    }
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_unix_micros(micros)
}

async fn list(
    repository: &dyn DeadLetterRepository,
    query: &DeadLetterQuery,
) -> Vec<DeadLetterSummary> {
    let listed = repository.dead_letters(query).await.unwrap().dead_letters;
    assert!(listed.is_sorted_by_key(|dead_letter| dead_letter.id), "{listed:?}");
    listed
}

fn all() -> DeadLetterQuery {
    DeadLetterQuery { limit: ALL, ..DeadLetterQuery::default() }
}

/// The ids of all dead letters, in order.
async fn ids(repository: &dyn DeadLetterRepository) -> Vec<DeadLetterId> {
    list(repository, &all()).await.into_iter().map(|dead_letter| dead_letter.id).collect()
}

async fn whole(repository: &dyn DeadLetterRepository, id: DeadLetterId) -> StoredDeadLetter {
    repository.dead_letter(id).await.unwrap().unwrap()
}

/// Dead letters whose details are `names`, each in a statement of its own.
async fn insert(repository: &dyn DeadLetterRepository, names: &[&str]) {
    for name in names {
        let dead_letter = DeadLetter { detail: (*name).into(), ..dead_letter(name) };
        repository.insert_dead_letters(&[dead_letter]).await.unwrap();
    }
}

pub(crate) async fn r25_ids_are_never_reused(backend: impl Backend) {
    let repository = backend.open().await;
    insert(repository.as_ref(), &["1", "2", "3"]).await;
    let mut given = ids(repository.as_ref()).await;
    for turn in 0..3 {
        // The last one, which a database might think is free now; and then all of them.
        let removed = if turn < 2 { &given[given.len() - 1..] } else { &given[..] };
        for id in removed {
            repository.delete_dead_letter(*id, None).await.unwrap();
        }
        // Also not after a restart, and not for the same record.
        let repository = backend.open().await;
        insert(repository.as_ref(), &["3"]).await;
        let newest = *ids(repository.as_ref()).await.last().unwrap();
        assert!(given.iter().all(|id| *id < newest), "{newest} after {given:?}");
        given.push(newest);
    }
}

pub(crate) async fn r26_list_has_exactly_the_selected_dead_letters(backend: impl Backend) {
    let repository = backend.open().await;
    let of = |name: &str, source: &str, topic: Option<&str>, code, refused_at| DeadLetter {
        source: source.into(),
        topic: topic.map(Into::into),
        code,
        detail: name.into(),
        at: at(refused_at),
        ..dead_letter(name)
    };
    use RefusalCode::{InvalidField, NotJson, NotUtf8};
    repository
        .insert_dead_letters(&[
            of("a", "kafka", Some("topic"), NotJson, 10),
            of("b", "http", None, NotJson, 20),
            of("c", "kafka", Some("topic%"), InvalidField, 20),
            of("d", "kafka", Some("to\0pic"), NotJson, -30),
            of("e", "http", None, InvalidField, 40),
        ])
        .await
        .unwrap();

    let check = async |name: &str, query: DeadLetterQuery, want: &str| {
        let listed = list(repository.as_ref(), &DeadLetterQuery { limit: ALL, ..query }).await;
        let got: String = listed.into_iter().map(|dead_letter| dead_letter.detail).collect();
        assert_eq!(got, want, "{name}");
    };
    let any = DeadLetterQuery::default;
    let (some, text) = (|micros| Some(at(micros)), |text: &str| Some(text.to_owned()));
    check("no filter", any(), "abcde").await;
    check("source", DeadLetterQuery { source: text("http"), ..any() }, "be").await;
    check("no such source", DeadLetterQuery { source: text("HTTP"), ..any() }, "").await;
    check("topic", DeadLetterQuery { topic: text("topic"), ..any() }, "a").await;
    check("topic, no pattern", DeadLetterQuery { topic: text("topic%"), ..any() }, "c").await;
    check("topic as it was sent", DeadLetterQuery { topic: text("to\0pic"), ..any() }, "d").await;
    check("code", DeadLetterQuery { code: Some(NotJson), ..any() }, "abd").await;
    check("code that none has", DeadLetterQuery { code: Some(NotUtf8), ..any() }, "").await;
    check("from, inclusive", DeadLetterQuery { from: some(20), ..any() }, "bce").await;
    check("until, exclusive", DeadLetterQuery { until: some(20), ..any() }, "ad").await;
    check("nothing between", DeadLetterQuery { from: some(20), until: some(20), ..any() }, "")
        .await;
    check("part of the detail", DeadLetterQuery { detail: text("d"), ..any() }, "d").await;
    check("no pattern in it", DeadLetterQuery { detail: text("%"), ..any() }, "").await;
    let wide = DeadLetterQuery { from: Some(Timestamp::MIN), until: Some(Timestamp::MAX), ..any() };
    check("all times", wide, "abcde").await;
    let both = DeadLetterQuery { code: Some(InvalidField), source: text("http"), ..any() };
    check("two filters", both, "e").await;
}

pub(crate) async fn r34_groups_count_the_newest_dead_letters(backend: impl Backend) {
    let repository = backend.open().await;
    assert_eq!(repository.dead_letter_groups(10).await.unwrap(), []);
    use RefusalCode::{InvalidField, NotJson};
    for (name, source, topic, code, refused_at) in [
        ("a", "http", None, NotJson, 10),
        ("b", "kafka", Some("topic"), InvalidField, 30),
        ("c", "kafka", Some("topic"), InvalidField, 20),
        ("d", "kafka", Some("other"), InvalidField, 40),
    ] {
        let (source, topic) = (source.into(), topic.map(Into::into));
        let refused = DeadLetter { source, topic, code, at: at(refused_at), ..dead_letter(name) };
        repository.insert_dead_letters(&[refused]).await.unwrap();
    }
    let group = |source: &str, topic: Option<&str>, code: RefusalCode, dead_letters, micros| {
        let (source, topic) = (source.to_owned(), topic.map(str::to_owned));
        let code = code.as_str().to_owned();
        DeadLetterGroup { source, topic, code, dead_letters, refused_at: at(micros) }
    };
    let newest = [
        group("kafka", Some("topic"), InvalidField, 2, 30),
        group("kafka", Some("other"), InvalidField, 1, 40),
    ];
    assert_eq!(repository.dead_letter_groups(3).await.unwrap(), newest);
    let all = [&newest[..], &[group("http", None, NotJson, 1, 10)]].concat();
    assert_eq!(repository.dead_letter_groups(10).await.unwrap(), all);
}

pub(crate) async fn r26_pages_show_each_dead_letter_once(backend: impl Backend) {
    let repository = backend.open().await;
    let names: Vec<_> = (0..10).map(|n| n.to_string()).collect();
    insert(repository.as_ref(), &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for limit in 1..=11 {
        let mut query = DeadLetterQuery { limit, ..DeadLetterQuery::default() };
        let mut seen = Vec::new();
        loop {
            let page = list(repository.as_ref(), &query).await;
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            query.after = Some(last.id);
            // A shown dead letter may be deleted before the next page is read.
            seen.extend(page.into_iter().map(|dead_letter| dead_letter.detail));
        }
        assert_eq!(seen, names, "limit {limit}");
    }
    let none = DeadLetterQuery { limit: 0, ..DeadLetterQuery::default() };
    assert_eq!(list(repository.as_ref(), &none).await, []);
}

pub(crate) async fn r27_dead_letter_is_read_back_unchanged(backend: impl Backend) {
    let repository = backend.open().await;
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let odd = DeadLetter {
        topic: Some("to\0pic".into()),
        key: Some(every_byte.clone()),
        headers: vec![("na\0me \"é\"".into(), every_byte.clone()), ("name".into(), vec![])],
        bytes: every_byte,
        detail: "found `\0`".into(),
        received_at: Timestamp::MIN,
        at: Timestamp::MAX,
        ..dead_letter("1")
    };
    let plain = DeadLetter {
        source: "http".into(),
        topic: None,
        partition: None,
        offset: None,
        bytes: vec![],
        ..dead_letter("2")
    };
    repository.insert_dead_letters(&[odd.clone(), plain.clone()]).await.unwrap();
    let ids = ids(repository.as_ref()).await;
    for (id, stored) in ids.into_iter().zip([odd, plain]) {
        let want = StoredDeadLetter {
            summary: DeadLetterSummary {
                id,
                source: stored.source,
                topic: stored.topic.map(|topic| topic.replace('\0', "\u{fffd}")),
                partition: stored.partition,
                offset: stored.offset,
                size_bytes: stored.bytes.len() as u64,
                received_at: stored.received_at,
                code: stored.code.as_str().into(),
                detail: stored.detail.replace('\0', "\u{fffd}"),
                refused_at: stored.at,
            },
            key: stored.key,
            headers: stored
                .headers
                .into_iter()
                .map(|(name, value)| (name.replace('\0', "\u{fffd}"), value))
                .collect(),
            bytes: stored.bytes,
        };
        assert_eq!(whole(repository.as_ref(), id).await, want);
        let listed = list(repository.as_ref(), &all()).await;
        assert!(listed.contains(&want.summary), "{want:?} in {listed:?}");
    }
}

pub(crate) async fn r27_missing_received_at_is_the_time_of_refusal(backend: impl Backend) {
    let repository = backend.open().await;
    insert(repository.as_ref(), &["1"]).await;
    // A column that an older build does not know, and a code that this one does not.
    backend.execute("update dead_letters set received_at = null, code = 'of_tomorrow'").await;
    let id = ids(repository.as_ref()).await[0];
    let dead_letter = whole(repository.as_ref(), id).await.summary;
    assert_eq!((dead_letter.received_at, dead_letter.refused_at), (at(1), at(1)));
    assert_eq!(dead_letter.code, "of_tomorrow");
}

pub(crate) async fn r28_dead_letter_is_deleted_once(backend: impl Backend) {
    let repository = backend.open().await;
    insert(repository.as_ref(), &["1", "2", "3"]).await;
    let before = ids(repository.as_ref()).await;
    assert!(repository.delete_dead_letter(before[1], None).await.unwrap());
    assert!(!repository.delete_dead_letter(before[1], None).await.unwrap(), "it is gone");
    assert_eq!(repository.dead_letter(before[1]).await.unwrap(), None);
    assert_eq!(ids(repository.as_ref()).await, [before[0], before[2]]);

    let mut removals = JoinSet::new();
    for _ in 0..8 {
        let (repository, id) = (repository.clone(), before[0]);
        removals.spawn(async move { repository.delete_dead_letter(id, None).await.unwrap() });
    }
    let removed = removals.join_all().await.into_iter().filter(|removed| *removed).count();
    assert_eq!(removed, 1, "of several that try, one did it");
}

pub(crate) async fn r28_dead_letter_refused_again_is_not_deleted(backend: impl Backend) {
    let repository = backend.open().await;
    insert(repository.as_ref(), &["1"]).await;
    let id = ids(repository.as_ref()).await[0];
    let seen = whole(repository.as_ref(), id).await.summary.refused_at;
    let refusal = Refusal::new(RefusalCode::Unstorable, "again");
    assert!(repository.dead_letter_refused_again(id, &refusal, at(2)).await.unwrap());
    assert!(!repository.delete_dead_letter(id, Some(seen)).await.unwrap());
    assert!(repository.delete_dead_letter(id, Some(at(2))).await.unwrap());
}

pub(crate) async fn r29_refusing_again_changes_only_the_refusal(backend: impl Backend) {
    let repository = backend.open().await;
    insert(repository.as_ref(), &["1", "2"]).await;
    let before = ids(repository.as_ref()).await;
    let (first, second) = (whole(repository.as_ref(), before[0]).await, before[1]);
    let untouched = whole(repository.as_ref(), second).await;

    let refusal = Refusal { code: RefusalCode::Unstorable, detail: "to\0o large".into() };
    let updated = repository.dead_letter_refused_again(before[0], &refusal, at(77)).await.unwrap();
    assert!(updated);
    let want = DeadLetterSummary {
        code: "unstorable".into(),
        detail: "to\u{fffd}o large".into(),
        refused_at: at(77),
        ..first.summary
    };
    assert_eq!(
        whole(repository.as_ref(), before[0]).await,
        StoredDeadLetter { summary: want, ..first }
    );
    assert_eq!(whole(repository.as_ref(), second).await, untouched);

    repository.insert_dead_letters(&[dead_letter("1")]).await.unwrap();
    assert_eq!(
        repository.dead_letter_usage().await.unwrap().dead_letters,
        2,
        "it is still the same record"
    );

    repository.delete_dead_letter(before[0], None).await.unwrap();
    let updated = repository.dead_letter_refused_again(before[0], &refusal, at(78)).await.unwrap();
    assert!(!updated, "what is gone stays gone");
    assert_eq!(ids(repository.as_ref()).await, [second]);
}

pub(crate) async fn r30_oldest_dead_letters_are_purged_first(backend: impl Backend) {
    let repository = backend.open().await;
    let dead_letters: Vec<_> = [50, 10, 40, 20, 30]
        .into_iter()
        .map(|refused_at| DeadLetter {
            detail: refused_at.to_string(),
            at: at(refused_at),
            ..dead_letter(&refused_at.to_string())
        })
        .collect();
    repository.insert_dead_letters(&dead_letters).await.unwrap();
    let left = async || {
        list(repository.as_ref(), &all())
            .await
            .into_iter()
            .map(|dead_letter| dead_letter.detail)
            .collect::<Vec<_>>()
    };
    let remove = async |before, limit| {
        let chunk = ExpiredDeadLetters {
            after: DeadLetterCursor::START,
            refused_before: at(before),
            limit,
        };
        repository.purge_dead_letters(chunk).await.unwrap().dead_letters
    };
    assert_eq!(remove(10, 9).await, 0, "the given time itself is not before it");
    assert_eq!(remove(41, 2).await, 2);
    assert_eq!(left().await, ["50", "40", "30"]);
    assert_eq!(remove(41, 0).await, 0);
    assert_eq!(remove(41, 9).await, 2);
    assert_eq!(remove(41, 9).await, 0);
    assert_eq!(left().await, ["50"]);
}

pub(crate) async fn r30_dead_letters_of_one_time_are_purged_in_chunks(backend: impl Backend) {
    let repository = backend.open().await;
    let old = (0..25).map(|n| DeadLetter { at: at(7), ..dead_letter(&n.to_string()) });
    repository.insert_dead_letters(&old.collect::<Vec<_>>()).await.unwrap();
    repository
        .insert_dead_letters(&[DeadLetter { at: at(8), ..dead_letter("young") }])
        .await
        .unwrap();
    let given = ids(repository.as_ref()).await;

    let (mut after, mut chunks) = (DeadLetterCursor::START, Vec::new());
    loop {
        let chunk = ExpiredDeadLetters { after, refused_before: at(8), limit: 10 };
        let removed = repository.purge_dead_letters(chunk).await.unwrap();
        let Some(last) = removed.last else { break };
        assert!(after < last, "{after:?}, then {last:?}");
        after = last;
        chunks.push(removed.dead_letters);
        let gone = usize::try_from(chunks.iter().sum::<u64>()).unwrap();
        assert_eq!(ids(repository.as_ref()).await, given[gone..], "the first ones first");
    }
    assert_eq!(chunks, [10, 10, 5]);
    assert_eq!(ids(repository.as_ref()).await, given[25..]);
}

pub(crate) async fn r26_filtered_page_scans_a_limited_number(backend: impl Backend) {
    /// Two and a half pages of them.
    const MANY: &str = "
        with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < 25000)
        insert into dead_letters
            (fingerprint, source, headers, bytes, received_at, code, detail, at)
        select 'copy ' || n, source, headers, bytes, received_at, code, detail, at
        from dead_letters, numbers
        order by n";
    let repository = backend.open().await;
    insert(repository.as_ref(), &["first"]).await;
    backend.execute(MANY).await;
    let last = DeadLetter { source: "http".into(), detail: "last".into(), ..dead_letter("last") };
    repository.insert_dead_letters(&[last]).await.unwrap();

    let source = Some("http".to_owned());
    let mut query = DeadLetterQuery { source, limit: 5, ..DeadLetterQuery::default() };
    let mut pages = Vec::new();
    loop {
        let page = repository.dead_letters(&query).await.unwrap();
        pages.push(page.dead_letters.len());
        let Some(next_after) = page.next_after else { break };
        assert!(query.after < Some(next_after), "it goes on");
        query.after = Some(next_after);
    }
    assert_eq!(pages, [0, 0, 1], "{DEAD_LETTERS_SCANNED_MAX} dead letters a page");

    let unfiltered = DeadLetterQuery { limit: ALL, ..DeadLetterQuery::default() };
    assert_eq!(
        repository.dead_letters(&unfiltered).await.unwrap().dead_letters.len(),
        ALL as usize
    );
}

pub(crate) async fn r31_usage_follows_each_change(backend: impl Backend) {
    let repository = backend.open().await;
    let usage = async || {
        let DeadLetterUsage { dead_letters, bytes } = repository.dead_letter_usage().await.unwrap();
        (dead_letters, bytes)
    };
    assert_eq!(usage().await, (0, 0));
    let of = |name: &str, bytes: usize, refused_at| DeadLetter {
        bytes: vec![7; bytes],
        key: None,
        headers: vec![],
        at: at(refused_at),
        ..dead_letter(name)
    };
    // Without headers there is an empty list, of two bytes.
    repository.insert_dead_letters(&[of("1", 100, 1), of("2", 1_000_000, 2)]).await.unwrap();
    assert_eq!(usage().await, (2, 1_000_104));
    repository.insert_dead_letters(&[of("2", 1_000_000, 2), of("3", 10, 3)]).await.unwrap();
    assert_eq!(usage().await, (3, 1_000_116), "a stored dead letter does not count again");

    let with_more = DeadLetter {
        key: Some(vec![1, 2, 3]),
        headers: vec![("name".into(), vec![255])],
        ..of("4", 5, 4)
    };
    repository.insert_dead_letters(&[with_more]).await.unwrap();
    let (dead_letters, bytes) = usage().await;
    assert_eq!(dead_letters, 4);
    assert!(bytes > 1_000_116 + 5 + 3 + 4, "key and headers count too: {bytes}");

    let chunk =
        ExpiredDeadLetters { after: DeadLetterCursor::START, refused_before: at(3), limit: 9 };
    assert_eq!(repository.purge_dead_letters(chunk).await.unwrap().dead_letters, 2);
    assert_eq!(usage().await.0, 2);
    for dead_letter in list(repository.as_ref(), &all()).await {
        assert!(repository.delete_dead_letter(dead_letter.id, None).await.unwrap());
        assert!(!repository.delete_dead_letter(dead_letter.id, None).await.unwrap());
    }
    assert_eq!(usage().await, (0, 0));
}

pub(crate) async fn r33_stored_records_are_recognised(backend: impl Backend) {
    let repository = backend.open().await;
    let new = async |dead_letters: &[DeadLetter]| -> Vec<String> {
        let new = repository.new_dead_letters(dead_letters).await.unwrap();
        new.into_iter().map(|dead_letter| dead_letter.fingerprint.clone()).collect()
    };
    assert_eq!(new(&[]).await, [""; 0]);
    // Fingerprints that end a literal, and one with U+0000.
    let odd = ["1", "0 \0 \"'", "{a,b}", "é\\"].map(dead_letter);
    assert_eq!(new(&odd).await, odd.each_ref().map(|dead_letter| dead_letter.fingerprint.as_str()));
    assert_eq!(
        new(&[dead_letter("2"), dead_letter("1"), dead_letter("2")]).await,
        ["2", "1"],
        "each once"
    );

    repository.insert_dead_letters(&odd).await.unwrap();
    assert_eq!(new(&odd).await, [""; 0]);
    assert_eq!(new(&[dead_letter("1"), dead_letter("2"), dead_letter("1")]).await, ["2"]);

    let first = ids(repository.as_ref()).await[0];
    assert!(repository.delete_dead_letter(first, None).await.unwrap());
    assert_eq!(new(&odd).await, ["1"], "what was removed would be added again");
}
