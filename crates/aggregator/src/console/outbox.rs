//! The page *Outbox*: what waits to be published, and the records with what they say.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use database::{OutboxPosition, OutboxRecord};
use serde_json::Value;

use crate::clock::time_between;
use crate::console::access::Session;
use crate::console::failure::Failure;
use crate::console::fields::Fields;
use crate::console::page::{Frame, rendered};
use crate::console::state::Console;
use crate::console::units;

/// Records on a page.
const PAGE: u32 = 25;

#[derive(Template)]
#[template(path = "outbox.html")]
struct OutboxPage {
    frame: Frame,
    depth: String,
    publishes: bool,
    after: String,
    records: Vec<RecordRow>,
    next: Option<OutboxPosition>,
}

struct RecordRow {
    record: OutboxRecord,
    value: String,
}

pub(super) async fn show(
    State(console): State<Arc<Console>>,
    session: Session,
    fields: Fields,
) -> Result<Response, Failure> {
    let parts = &console.parts;
    let after = fields.word("after").unwrap_or("0");
    let position = after.parse().ok().filter(|position: &i64| *position >= 0);
    let position =
        position.ok_or_else(|| Failure::bad_request("a position is a whole number from 0 on"))?;
    let depth = console.within(parts.repository.outbox_depth()).await?;
    let records =
        console.within(parts.repository.outbox_after(OutboxPosition(position), PAGE)).await?;
    let is_full = records.len() == PAGE as usize;
    rendered(&OutboxPage {
        frame: Frame::new(&console, &session, "Outbox"),
        depth: match depth.oldest_written_at {
            None => "Everything is published.".to_owned(),
            Some(oldest) => format!(
                "{} records are not published, the oldest since {}.",
                units::count(depth.unpublished as f64),
                units::seconds(time_between(oldest, parts.clock.now()).as_secs_f64())
            ),
        },
        publishes: parts.health.publisher().is_some(),
        after: after.to_owned(),
        next: records.last().filter(|_| is_full).map(|record| record.position),
        records: records.into_iter().map(row).collect(),
    })
}

fn row(record: OutboxRecord) -> RecordRow {
    let json = serde_json::from_slice(&record.value)
        .and_then(|json: Value| serde_json::to_string_pretty(&json));
    let value = json.unwrap_or_else(|_| String::from_utf8_lossy(&record.value).into_owned());
    RecordRow { record, value }
}
