//! Rule of rows of earlier builds: R32.

use database::{BatchRepository, PageQuery};
use projection::{BatchView, Event};

use super::Backend;
use crate::events::{
    apply_with_affected_batches, folded, registered, slot, spellchecked, stored, whole_list,
};

/// Facts of every kind of essay: registered, only named, of an unregistered batch.
fn early() -> Vec<Event> {
    vec![
        registered("b", "u", 1, &["e1", "e2"]),
        spellchecked("b", "e1", 2),
        slot("b", "stray", 2),
        slot("unregistered", "e3", 1),
        spellchecked("unregistered", "e4", 1),
        registered("other", "u", 3, &["e1", "e5"]),
    ]
}

/// Events after the upgrade: more essays, results, and a registration.
fn later() -> Vec<Event> {
    vec![
        registered("b", "u", 11, &["e2", "e6"]),
        spellchecked("b", "e2", 12),
        registered("unregistered", "u", 13, &["e3", "e5"]),
        slot("other", "e5", 14),
    ]
}

/// The views of all batches of `u`, with essays and without.
async fn answers(repository: &dyn BatchRepository) -> Vec<String> {
    let mut answers = Vec::new();
    for include_essays in [true, false] {
        let query = PageQuery { include_essays, ..whole_list("u") };
        for found in repository.user_page(&query).await.unwrap().batches {
            let view = if include_essays { BatchView::new } else { BatchView::summary };
            let view = view(&found.batch, &found.essays).unwrap();
            answers.push(serde_json::to_string(&view).unwrap());
        }
    }
    answers
}

pub(crate) async fn r32_uncounted_rows_are_read(backend: impl Backend) {
    let repository = backend.open().await;
    apply_with_affected_batches(repository.as_ref(), &early()).await;
    let want = answers(repository.as_ref()).await;
    backend.uncount_essays().await;
    assert_eq!(answers(repository.as_ref()).await, want);
}

pub(crate) async fn r32_next_event_counts_the_essays(backend: impl Backend) {
    let repository = backend.open().await;
    apply_with_affected_batches(repository.as_ref(), &early()).await;
    backend.uncount_essays().await;
    for event in later() {
        apply_with_affected_batches(repository.as_ref(), &[event]).await;
    }
    let all = [early(), later()].concat();
    assert_eq!(stored(repository.as_ref(), &all).await, folded(&all));
}
