//! The pages *Dead letters*: groups by cause, a search, and what to do with all that it finds.

mod excerpt;
mod job;
mod one;

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use database::{DeadLetterGroup, DeadLetterId, DeadLetterPage, DeadLetterQuery, DeadLetterSummary};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use projection::RefusalCode;

pub(super) use self::job::{events, keep_current, show as show_job, start, stop};
pub(super) use self::one::{discard, replay, show as show_one};
use crate::console::access::Session;
use crate::console::failure::Failure;
use crate::console::fields::Fields;
use crate::console::page::{Frame, rendered};
use crate::console::state::Console;
use crate::console::units;

/// Dead letters on a page.
const PAGE: u32 = 50;
/// Newest dead letters that are counted for the groups: some hundred milliseconds of the database.
const COUNTED_MAX: u32 = 100_000;
/// Longest text that is searched for.
const SEARCH_CHARS_MAX: usize = 200;

#[derive(Template)]
#[template(path = "dead_letters.html")]
struct DeadLettersPage {
    frame: Frame,
    done: Option<&'static str>,
    job_is_running: bool,
    total: String,
    bytes: String,
    counted_max: Option<String>,
    groups: Vec<GroupRow>,
    filter: Filter,
    codes: Vec<&'static str>,
    dead_letters: Vec<DeadLetterSummary>,
    next: Option<String>,
}

struct GroupRow {
    filter: Filter,
    count: String,
    refused_at: String,
}

/// Which dead letters are meant, as a form and a link say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Filter {
    source: String,
    topic: String,
    code: String,
    detail: String,
}

impl Filter {
    fn read(fields: &Fields) -> Self {
        let word = |name| fields.word(name).unwrap_or_default().to_owned();
        Self {
            source: word("source"),
            topic: word("topic"),
            code: word("code"),
            detail: word("detail"),
        }
    }

    fn of_group(group: &DeadLetterGroup) -> Self {
        Self {
            source: group.source.clone(),
            topic: group.topic.clone().unwrap_or_default(),
            code: group.code.clone(),
            detail: String::new(),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn selects(&self, group: &DeadLetterGroup) -> bool {
        let is = |wanted: &str, value: &str| wanted.is_empty() || wanted == value;
        is(&self.source, &group.source)
            && is(&self.topic, group.topic.as_deref().unwrap_or_default())
            && is(&self.code, &group.code)
    }

    /// As a query of the database.
    fn query(&self) -> Result<DeadLetterQuery, Failure> {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        if self.detail.chars().count() > SEARCH_CHARS_MAX {
            let detail = format!("a search has at most {SEARCH_CHARS_MAX} characters");
            return Err(Failure::bad_request(detail));
        }
        let code = match &*self.code {
            "" => None,
            code => Some(RefusalCode::parse(code).ok_or_else(|| {
                Failure::bad_request(
                    "this build knows no refusal of that name, so it cannot select it",
                )
            })?),
        };
        Ok(DeadLetterQuery {
            source: text(&self.source),
            topic: text(&self.topic),
            code,
            detail: text(&self.detail),
            ..DeadLetterQuery::default()
        })
    }

    /// As the query of a link.
    fn link(&self) -> String {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let parts = [
            ("source", &self.source),
            ("topic", &self.topic),
            ("code", &self.code),
            ("detail", &self.detail),
        ];
        let parts = parts.into_iter().filter(|(_, value)| !value.is_empty());
        parts.map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
    }

    /// For people.
    fn text(&self) -> String {
        let parts = [("from", &self.source), ("topic", &self.topic), ("refused for", &self.code)];
        let parts = parts.into_iter().filter(|(_, value)| !value.is_empty());
        let mut text = parts.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>();
        if !self.detail.is_empty() {
            text.push(format!("whose reason has “{}”", self.detail));
        }
        if text.is_empty() { "all".to_owned() } else { text.join(", ") }
    }
}

/// Shows groups and a list.
pub(super) async fn show(
    State(console): State<Arc<Console>>,
    session: Session,
    fields: Fields,
) -> Result<Response, Failure> {
    if let Some(id) = fields.word("id") {
        let id = DeadLetterId::parse(id.trim_start_matches('#'));
        let id = id.ok_or_else(|| Failure::bad_request("an id is a whole number from 1 on"))?;
        return Ok(Redirect::to(&format!("/console/dead-letters/{id}")).into_response());
    }
    let filter = Filter::read(&fields);
    let repository = &console.parts.repository;
    let usage = console.within(repository.dead_letter_usage()).await?;
    let groups = console.within(repository.dead_letter_groups(COUNTED_MAX)).await?;
    let after = fields.word("after").and_then(DeadLetterId::parse);
    let query = DeadLetterQuery { after, limit: PAGE, ..filter.query()? };
    let DeadLetterPage { dead_letters, next_after } =
        console.within(repository.dead_letters(&query)).await?;
    let groups = groups.iter().map(|group| GroupRow {
        filter: Filter::of_group(group),
        count: units::count(group.dead_letters as f64),
        refused_at: group.refused_at.to_string(),
    });
    rendered(&DeadLettersPage {
        frame: Frame::new(&console, &session, "Dead letters"),
        done: one::outcome_text(fields.get("done")),
        job_is_running: console.jobs.last().is_some_and(|job| job.is_running()),
        total: units::count(usage.dead_letters as f64),
        bytes: units::bytes(usage.bytes as f64),
        counted_max: (usage.dead_letters > COUNTED_MAX.into())
            .then(|| units::count(COUNTED_MAX.into())),
        groups: groups.collect(),
        codes: RefusalCode::ALL.iter().map(|code| code.as_str()).collect(),
        dead_letters,
        next: next_after.map(|after| format!("{}&after={after}", filter.link())),
        filter,
    })
}
