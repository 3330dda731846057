//! Rules of reads: R6 to R9.

use database::{BatchRepository, Page, PageQuery};
use projection::{BatchStatus, Event, ID_BYTES_MAX};

use super::Backend;
use crate::events::{
    apply, batch_id, essay_counts, essay_id, load, registered, slot, user_id, whole_list,
};

/// Number of commits while a reader looks.
const COMMITS: i64 = 60;

/// The ids of `u`'s batches as [`fill`] registers them, in the order of the list.
const IN_ORDER: [&str; 7] = ["newest", "A", "B", "a", "é", "😀", "oldest"];

async fn fill(repository: &dyn BatchRepository) {
    for batch in ["a", "😀", "B", "é", "A"] {
        apply(repository, &[registered(batch, "u", 5, &[&format!("e of {batch}")])]).await.unwrap();
    }
    apply(repository, &[registered("oldest", "u", -5, &[])]).await.unwrap();
    apply(repository, &[registered("newest", "u", 9, &["e2", "e10", "e1"])]).await.unwrap();
    apply(repository, &[registered("another", "v", 7, &["e"])]).await.unwrap();
}

fn query(limit: u32, offset: u32) -> PageQuery {
    PageQuery { limit, offset, ..whole_list("u") }
}

fn ids(page: &Page) -> Vec<&str> {
    page.batches.iter().map(|shown| shown.batch.id.as_str()).collect()
}

pub(crate) async fn r6_pages_are_slices_of_one_order(backend: impl Backend) {
    let repository = backend.open().await;
    fill(repository.as_ref()).await;

    let whole = repository.user_page(&query(100, 0)).await.unwrap();
    assert_eq!(ids(&whole), IN_ORDER);
    let essays: Vec<_> = whole.batches[0].essays.iter().map(|essay| essay.id.as_str()).collect();
    assert_eq!(essays, ["e1", "e10", "e2"], "essays are ordered by their bytes");

    for limit in 0..=8 {
        for offset in 0..=8 {
            let page = repository.user_page(&query(limit, offset)).await.unwrap();
            let cut = IN_ORDER.into_iter().skip(offset as usize).take(limit as usize);
            assert_eq!(ids(&page), cut.collect::<Vec<_>>(), "limit {limit}, offset {offset}");
            assert_eq!(page.total, 7, "limit {limit}, offset {offset}");
        }
    }

    let summary = PageQuery { include_essays: false, ..query(100, 0) };
    let summary = repository.user_page(&summary).await.unwrap();
    assert_eq!(ids(&summary), IN_ORDER);
    for (summary, whole) in summary.batches.iter().zip(&whole.batches) {
        assert_eq!(summary.batch, whole.batch);
        assert_eq!(summary.essays, [], "they are counted in the row of their batch");
    }
}

pub(crate) async fn r6_filtered_page_has_the_filtered_total(backend: impl Backend) {
    use BatchStatus::{AwaitingContentValidation, Cancelled, CompletedSuccessfully};
    let repository = backend.open().await;
    fill(repository.as_ref()).await;
    // Shorter than the events that lead there.
    backend
        .execute(
            "update batches set status = 'completed_successfully' \
             where batch_id in ('A', 'oldest')",
        )
        .await;

    let check =
        async |name: &str, statuses: &[BatchStatus], limit, offset, want: &[&str], total| {
            let query = PageQuery { statuses: statuses.to_vec(), ..query(limit, offset) };
            let page = repository.user_page(&query).await.unwrap();
            assert_eq!(ids(&page), want, "{name}");
            assert_eq!(page.total, total, "{name}");
        };
    let (new, done) = (AwaitingContentValidation, CompletedSuccessfully);
    check("one status", &[done], 9, 0, &["A", "oldest"], 2).await;
    check("its second page", &[done], 1, 1, &["oldest"], 2).await;
    check("another status", &[new], 2, 1, &["B", "a"], 5).await;
    check("two statuses", &[done, new], 9, 0, &IN_ORDER, 7).await;
    check("a status that none has", &[Cancelled], 9, 0, &[], 0).await;
    check("no filter", &[], 9, 0, &IN_ORDER, 7).await;
}

pub(crate) async fn r6_empty_page_has_its_total(backend: impl Backend) {
    let repository = backend.open().await;
    fill(repository.as_ref()).await;

    let check = async |name: &str, query: PageQuery, total| {
        let page = repository.user_page(&query).await.unwrap();
        assert_eq!((page.total, page.batches), (total, Vec::new()), "{name}");
    };
    check("limit 0", query(0, 0), 7).await;
    check("behind the end", query(20, 7), 7).await;
    check("far behind the end", query(20, 1_000_000), 7).await;
    check("the largest numbers", query(u32::MAX, u32::MAX), 7).await;
    check("unknown user", whole_list("nobody"), 0).await;
}

/// Runs `look` repeatedly while another process commits, and once more after the last commit.
async fn look_while_writing(
    backend: &impl Backend,
    commits: Vec<Vec<Event>>,
    look: impl AsyncFn(&dyn BatchRepository),
) {
    let (writer, reader) = (backend.open().await, backend.open().await);
    let writing = tokio::spawn(async move {
        for events in commits {
            apply(writer.as_ref(), &events).await.unwrap();
        }
    });
    while !writing.is_finished() {
        look(reader.as_ref()).await;
    }
    writing.await.unwrap();
    look(reader.as_ref()).await;
}

pub(crate) async fn r7_page_is_one_snapshot(backend: impl Backend) {
    let commits = (0..COMMITS).map(|n| {
        let essays = [format!("e{n}-1"), format!("e{n}-2")];
        vec![registered(&format!("b{n}"), "u", n, &[&essays[0], &essays[1]])]
    });
    look_while_writing(&backend, commits.collect(), async |repository| {
        let page = repository.user_page(&whole_list("u")).await.unwrap();
        assert_eq!(page.total, page.batches.len() as u64);
        assert!(page.batches.iter().all(|shown| shown.essays.len() == 2), "{page:?}");
    })
    .await;
}

pub(crate) async fn r7_batch_and_essays_are_one_snapshot(backend: impl Backend) {
    let commits = (0..COMMITS).map(|n| vec![registered("b", "u", n, &[&format!("e{n}")])]);
    look_while_writing(&backend, commits.collect(), async |repository| {
        if let Some(shown) = repository.batch(&batch_id("b")).await.unwrap() {
            let essays = shown.essays.len() as u64;
            assert_eq!(essay_counts(&shown.batch), [essays, essays]);
        }
    })
    .await;
}

pub(crate) async fn r7_essay_is_always_in_one_batch(backend: impl Backend) {
    let repository = backend.open().await;
    let registrations = [registered("a", "u", 1, &[]), registered("b", "u", 1, &[])];
    apply(repository.as_ref(), &registrations).await.unwrap();
    apply(repository.as_ref(), &[slot("a", "e", 0)]).await.unwrap();
    // The earliest mention counts, so each of these moves the essay.
    let commits = (1..=COMMITS).map(|n| vec![slot(if n % 2 == 0 { "a" } else { "b" }, "e", -n)]);
    look_while_writing(&backend, commits.collect(), async |repository| {
        let page = repository.user_page(&whole_list("u")).await.unwrap();
        assert_eq!(page.batches.iter().map(|shown| shown.essays.len()).sum::<usize>(), 1);
    })
    .await;
}

pub(crate) async fn r7_current_batch_of_a_moving_essay_is_loaded(backend: impl Backend) {
    let repository = backend.open().await;
    apply(repository.as_ref(), &[registered("left", "u", 1, &[])]).await.unwrap();
    apply(repository.as_ref(), &[slot("left", "e", 2)]).await.unwrap();

    let mut unit = repository.begin().await.unwrap();
    let loaded = load(unit.as_mut(), &[slot("entered", "e", 1)]).await.unwrap();
    let owner = loaded.rows.batches[&batch_id("left")].user_id().cloned();
    assert_eq!(owner, Some(user_id("u")));
}

pub(crate) async fn r8_only_registered_batches_are_shown(backend: impl Backend) {
    let repository = backend.open().await;
    apply(repository.as_ref(), &[slot("b", "e", 1)]).await.unwrap();
    assert_eq!(repository.batch(&batch_id("b")).await.unwrap(), None);
    assert_eq!(repository.user_page(&whole_list("u")).await.unwrap().total, 0);

    apply(repository.as_ref(), &[registered("b", "u", 2, &[])]).await.unwrap();
    let shown = repository.batch(&batch_id("b")).await.unwrap().unwrap();
    assert_eq!(shown.essays[0].id, essay_id("e"), "facts before the registration were stored");
    assert_eq!(repository.user_page(&whole_list("u")).await.unwrap().batches, [shown]);

    // A row without a registration, which no current event writes.
    backend.execute("update batches set user_id = null, status = null, created_at = null").await;
    assert_eq!(repository.batch(&batch_id("b")).await.unwrap(), None);
    assert_eq!(repository.user_page(&whole_list("u")).await.unwrap().total, 0);
}

pub(crate) async fn r9_ids_are_opaque(backend: impl Backend) {
    let repository = backend.open().await;
    let longest = [ID_BYTES_MAX, ID_BYTES_MAX - 1].map(|bytes| "x".repeat(bytes));
    let longest_accented = "é".repeat(ID_BYTES_MAX / 2);
    let odd = [
        "%",
        "_",
        "a%",
        "a_",
        "a",
        "A",
        " ",
        "a ",
        " a",
        "'",
        "''",
        "\"",
        "\\",
        "\\'",
        "`",
        ";",
        "--",
        "'; drop table batches; --",
        "$1",
        "?1",
        ":a",
        "@a",
        "{}",
        "{a}",
        "[\"a\"]",
        "[]",
        "null",
        "0",
        "-1",
        "1e3",
        "true",
        "é",
        "e\u{301}",
        "ß",
        "ss",
        "İ",
        "i",
        "😀",
        "\u{feff}",
        "\u{10ffff}",
        "\u{202e}",
        "a/b:c{d}%2F",
        &longest[0],
        &longest[1],
        &longest_accented,
    ];
    for (at, id) in (0..).zip(odd) {
        // One id as user, batch and essay. Essays are of nobody else, so each id has its own.
        apply(repository.as_ref(), &[registered(id, id, at, &[id])]).await.unwrap();
        apply(repository.as_ref(), &[slot(id, id, at)]).await.unwrap();
    }
    for id in odd {
        let shown = repository.batch(&batch_id(id)).await.unwrap().unwrap();
        assert_eq!(shown.batch.user_id(), Some(&user_id(id)), "{id}");
        assert_eq!(shown.essays.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), [id], "{id}");

        let page = repository.user_page(&whole_list(id)).await.unwrap();
        assert_eq!((page.total, page.batches), (1, vec![shown]), "{id}");
    }
}
