//! The page *Overview*: what happens now, what is wrong, and how late events are.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use tokio::time::{sleep, timeout};

use crate::cache::{AnswerOwner, StaleAnswer};
use crate::console::access::Session;
use crate::console::failure::Failure;
use crate::console::page::{Frame, rendered};
use crate::console::samples::{Reading, Sample};
use crate::console::state::Console;
use crate::console::units;
use crate::health::{CacheState, ConsumerState, Finding, PublisherState};
use crate::metrics::Exposition;

/// How often a sample is taken while somebody looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often otherwise, so that the first page has rates.
const IDLE_INTERVAL: Duration = Duration::from_secs(10);
/// How long the database may take to answer.
const PING_MAX: Duration = Duration::from_millis(800);

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    now: OverviewPart,
}

/// The part that changes.
#[derive(Template)]
#[template(path = "overview_part.html")]
struct OverviewPart {
    at: String,
    is_ready: bool,
    findings: Vec<Finding>,
    stale: Vec<StaleRow>,
    dependencies: Vec<Dependency>,
    cards: Vec<Card>,
    lags: Vec<LagRow>,
    lag_summary: String,
}

struct Dependency {
    name: &'static str,
    state: &'static str,
    is_sound: bool,
}

/// An answer that the auditor found stale.
struct StaleRow {
    /// The page about its owner.
    page: &'static str,
    id: String,
    key: String,
    found_at: String,
}

struct Card {
    name: &'static str,
    value: String,
    note: String,
    is_wrong: bool,
}

struct LagRow {
    bound: String,
    events: String,
    /// Of the largest row, for the picture.
    percent: u32,
}

/// Shows the page.
pub(super) async fn show(
    State(console): State<Arc<Console>>,
    session: Session,
) -> Result<Response, Failure> {
    let frame = Frame::new(&console, &session, "Overview");
    rendered(&OverviewPage { frame, now: part(&console).await })
}

/// Streams the part that changes.
pub(super) async fn events(
    State(console): State<Arc<Console>>,
    _: Session,
) -> Result<Response, Failure> {
    console.streams.open(&console.overview, console.stop.clone())
}

/// Makes the part that changes, for all who look at it together; takes samples if nobody does.
pub(super) async fn keep_current(console: &Console) {
    let mut waited = IDLE_INTERVAL;
    loop {
        if console.overview.is_watched() {
            waited = Duration::ZERO;
            match part(console).await.render() {
                Ok(part) => console.overview.send(part),
                Err(error) => tracing::error!(%error, "overview not made"),
            }
        } else if waited >= IDLE_INTERVAL {
            waited = Duration::ZERO;
            sample(console);
            // The next who looks must not be sent what was true when the last one did.
            console.overview.send(String::new());
        }
        sleep(INTERVAL).await;
        waited += INTERVAL;
    }
}

fn sample(console: &Console) -> Sample {
    let parts = &console.parts;
    let text = parts.metrics.encode(Exposition::OpenMetrics).unwrap_or_default();
    console.history.add(parts.clock.monotonic(), Reading::of(&text))
}

async fn part(console: &Console) -> OverviewPart {
    let parts = &console.parts;
    let sample = sample(console);
    let database_answers =
        timeout(PING_MAX, parts.repository.ping()).await.is_ok_and(|answer| answer.is_ok());
    let (lags, lag_summary) = lags(&sample.now);
    OverviewPart {
        at: parts.clock.now().to_string(),
        is_ready: database_answers && !parts.health.is_blocked() && !parts.health.is_stopping(),
        findings: parts.health.findings(),
        stale: parts.cache.stale_answers().iter().map(stale_row).collect(),
        dependencies: dependencies(console, database_answers),
        cards: cards(
            &sample,
            parts.health.consumer().is_some(),
            parts.health.publisher().is_some(),
        ),
        lags,
        lag_summary,
    }
}

fn stale_row(stale: &StaleAnswer) -> StaleRow {
    let (page, id) = match stale.owner() {
        AnswerOwner::User(id) => ("teacher", id.to_string()),
        AnswerOwner::Batch(id) => ("batch", id.to_string()),
    };
    let found_at = stale.last_found_at.to_string();
    StaleRow { page, id, key: stale.name.key().to_owned(), found_at }
}

fn dependencies(console: &Console, database_answers: bool) -> Vec<Dependency> {
    let health = &console.parts.health;
    let cache = health.cache(console.parts.cache.is_connected());
    let mut all = vec![
        Dependency {
            name: "Database",
            state: if database_answers { "connected" } else { "unavailable" },
            is_sound: database_answers,
        },
        Dependency {
            name: "Cache",
            state: match cache {
                CacheState::Connected => "connected",
                CacheState::Unavailable => "unavailable, reads bypass it",
                CacheState::NotStarted | CacheState::NeverReached => {
                    "never reached, reads bypass it"
                }
            },
            is_sound: cache == CacheState::Connected,
        },
    ];
    all.extend(health.consumer().map(|consumer| Dependency {
        name: "Kafka consumer",
        state: match consumer {
            ConsumerState::Starting => "starting",
            ConsumerState::Running => "running",
            ConsumerState::Waiting => "waiting, events cannot be applied now",
            ConsumerState::Unavailable => "brokers unavailable",
            ConsumerState::Stopped => "stopped",
        },
        is_sound: matches!(consumer, ConsumerState::Running | ConsumerState::Starting),
    }));
    all.extend(health.publisher().map(|publisher| Dependency {
        name: "Kafka publisher",
        state: match publisher {
            PublisherState::Starting => "starting",
            PublisherState::Running => "running",
            PublisherState::Unavailable => "brokers unavailable",
        },
        is_sound: publisher != PublisherState::Unavailable,
    }));
    all
}

fn cards(sample: &Sample, consumes: bool, publishes: bool) -> Vec<Card> {
    let now = &sample.now;
    let card = |name, value, note, is_wrong| Card { name, value, note, is_wrong };
    let total = |number: f64| format!("{} since the start", units::count(number));
    let reads = sample.happened(Reading::reads);
    let hits = sample.happened(|reading| reading.hits);
    let hit_ratio =
        if reads > 0.0 { format!("{:.0} %", hits / reads * 100.0) } else { "–".to_owned() };
    let outbox_note = if !publishes {
        "read over HTTP".to_owned()
    } else if now.outbox_unpublished > 0.0 {
        format!("oldest {}", units::seconds(now.outbox_oldest_age_seconds))
    } else {
        "none waits".to_owned()
    };
    let consumer_lag = if consumes {
        let partitions = format!("in {} partitions with a known lag", units::count(now.partitions));
        (units::count(now.consumer_lag), partitions)
    } else {
        ("–".to_owned(), "no Kafka".to_owned())
    };
    vec![
        card(
            "Events applied",
            units::rate(sample.rate(|it| it.applied)),
            total(now.applied),
            false,
        ),
        card(
            "Duplicates",
            units::rate(sample.rate(|it| it.duplicate)),
            total(now.duplicate),
            false,
        ),
        card(
            "Records refused",
            units::rate(sample.rate(|it| it.refused)),
            total(now.refused),
            false,
        ),
        card("Consumer lag, records", consumer_lag.0, consumer_lag.1, false),
        card("Reads", units::rate(sample.rate(Reading::reads)), total(now.reads()), false),
        card("Hit ratio", hit_ratio, format!("{} reads", units::count(reads)), false),
        card(
            "Refused fills",
            units::rate(sample.rate(|it| it.refused_fills)),
            total(now.refused_fills),
            false,
        ),
        card(
            "Failed answers",
            units::rate(sample.rate(|it| it.failed_answers)),
            total(now.failed_answers),
            sample.happened(|it| it.failed_answers) > 0.0,
        ),
        card(
            "Unconfirmed invalidations",
            units::count(now.unconfirmed_invalidations),
            format!("{} confirmed", units::count(now.invalidations)),
            now.unconfirmed_invalidations > 0.0,
        ),
        card(
            "Stale hits",
            units::count(now.stale_hits),
            format!("of {} audited", units::count(now.audited_hits)),
            sample.happened(|it| it.stale_hits) > 0.0,
        ),
        card(
            "Dead letters",
            units::count(now.dead_letters),
            units::bytes(now.dead_letter_bytes),
            now.dead_letters > 0.0,
        ),
        card("Outbox, unpublished", units::count(now.outbox_unpublished), outbox_note, false),
        card("Published", units::rate(sample.rate(|it| it.published)), total(now.published), false),
    ]
}

/// Rows from the first bound that has events to the last one, and their median and 99th percentile.
fn lags(now: &Reading) -> (Vec<LagRow>, String) {
    let parts = now.event_lag_parts();
    let all: f64 = parts.iter().map(|(_, events)| events).sum();
    let has_events = |part: &&(f64, f64)| part.1 > 0.0;
    let Some(first) = parts.iter().position(|part| has_events(&part)) else {
        return (Vec::new(), "No event since the start.".to_owned());
    };
    let last = parts.iter().rposition(|part| has_events(&part)).unwrap_or(first);
    let most = parts.iter().map(|(_, events)| *events).fold(1.0, f64::max);
    let largest = now.event_lag.iter().rev().find(|(bound, _)| bound.is_finite());
    let within = |share: f64| {
        let is_enough = |(_, up_to): &&(f64, f64)| *up_to >= all * share;
        match now.event_lag.iter().find(is_enough) {
            Some((bound, _)) if bound.is_finite() => format!("within {}", units::seconds(*bound)),
            _ => largest.map_or_else(String::new, |(bound, _)| {
                format!("later than {}", units::seconds(*bound))
            }),
        }
    };
    let summary = format!(
        "{} events since the start. Half {}, 99 % {}.",
        units::count(all),
        within(0.5),
        within(0.99)
    );
    let row = |(bound, events): &(f64, f64)| LagRow {
        bound: if bound.is_finite() {
            format!("up to {}", units::seconds(*bound))
        } else {
            "longer".to_owned()
        },
        events: units::count(*events),
        percent: (events / most * 100.0).ceil() as u32,
    };
    (parts[first..=last].iter().map(row).collect(), summary)
}
