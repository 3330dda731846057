//! The page of a job: started by a form, seen by everybody, stopped by a form.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use tokio::time::sleep;

use super::{COUNTED_MAX, Filter};
use crate::console::access::{Action, Posted, Session};
use crate::console::audit_log;
use crate::console::failure::Failure;
use crate::console::jobs::{Busy, Job, JobOrder, JobState, Task};
use crate::console::page::{Frame, rendered};
use crate::console::state::Console;
use crate::console::units;

const PATH: &str = "/console/dead-letters/job";
/// How often the page changes.
const INTERVAL: Duration = Duration::from_secs(1);
/// When another job may be tried.
const RETRY_AFTER: Duration = Duration::from_secs(10);

#[derive(Template)]
#[template(path = "job.html")]
struct JobPage {
    frame: Frame,
    is_running: bool,
    now: Option<JobPart>,
}

/// The part that changes.
#[derive(Template)]
#[template(path = "job_part.html")]
struct JobPart {
    task: &'static str,
    selection: String,
    started_at: String,
    state: &'static str,
    is_running: bool,
    has_failed: bool,
    done: u64,
    expected: Option<u64>,
    counts: Vec<(&'static str, String)>,
}

impl JobPart {
    fn of(job: &Job) -> Self {
        let progress = job.progress();
        let count = |number: u64| units::count(number as f64);
        let mut counts = match job.order.task {
            Task::Replay => vec![
                ("Applied", count(progress.removed)),
                ("Applied before", count(progress.duplicate)),
                ("Refused again, kept", count(progress.refused)),
            ],
            Task::Discard => vec![("Discarded", count(progress.removed))],
        };
        counts.push(("Gone or changed meanwhile", count(progress.gone)));
        Self {
            task: job.order.task.as_str(),
            selection: job.order.selection.clone(),
            started_at: job.order.started_at.to_string(),
            state: match progress.state {
                JobState::Running => "running",
                JobState::Waiting => "waiting for the database",
                JobState::Finished => "finished",
                JobState::Stopped => "stopped",
                JobState::Failed => "failed; the log has the cause",
            },
            is_running: job.is_running(),
            has_failed: progress.state == JobState::Failed,
            done: progress.done,
            expected: job.order.expected.map(|expected| expected.max(progress.done)),
            counts,
        }
    }
}

/// Shows the last job.
pub(in crate::console) async fn show(
    State(console): State<Arc<Console>>,
    session: Session,
) -> Result<Response, Failure> {
    let last = console.jobs.last();
    rendered(&JobPage {
        frame: Frame::new(&console, &session, "Dead letters"),
        is_running: last.as_ref().is_some_and(|job| job.is_running()),
        now: last.as_deref().map(JobPart::of),
    })
}

/// Streams the part that changes.
pub(in crate::console) async fn events(
    State(console): State<Arc<Console>>,
    _: Session,
) -> Result<Response, Failure> {
    console.streams.open(&console.job, console.stop.clone())
}

/// Makes the part that changes, for all who look at it together.
pub(in crate::console) async fn keep_current(console: &Console) {
    loop {
        if console.job.is_watched()
            && let Some(job) = console.jobs.last()
        {
            match JobPart::of(&job).render() {
                Ok(part) => console.job.send(part),
                Err(error) => tracing::error!(%error, "progress of a job not made"),
            }
        }
        sleep(INTERVAL).await;
    }
}

/// Starts a job over all dead letters that a filter selects.
pub(in crate::console) async fn start(
    State(console): State<Arc<Console>>,
    Action(Posted { session, fields }): Action,
) -> Result<Response, Failure> {
    let task = Task::parse(fields.get("task"));
    let task = task.ok_or_else(|| Failure::bad_request("task is replay or discard"))?;
    let filter = Filter::read(&fields);
    let query = filter.query()?;
    let groups = console.within(console.parts.repository.dead_letter_groups(COUNTED_MAX)).await?;
    let counted = groups.iter().filter(|group| filter.selects(group));
    let is_known = counted.clone().next().is_some();
    let expected = filter.detail.is_empty().then(|| counted.map(|group| group.dead_letters).sum());
    let order = JobOrder {
        task,
        query,
        selection: filter.text(),
        expected,
        started_at: console.parts.clock.now(),
    };
    // What was typed may be of a record.
    let selected = if is_known {
        Filter { detail: String::new(), ..filter }.text()
    } else {
        "of no known cause".to_owned()
    };
    let started =
        console.jobs.start(order, console.parts.job_tools.clone(), console.stop.child_token());
    match started {
        Ok(_) => {
            let action = match task {
                Task::Replay => "replay many",
                Task::Discard => "discard many",
            };
            audit_log::action(&session, action, format_args!("dead letters: {selected}"));
            Ok(Redirect::to(PATH).into_response())
        }
        Err(Busy) => {
            let detail = "another job over dead letters runs; wait for its end, or stop it";
            Err(Failure::busy(StatusCode::CONFLICT, detail, RETRY_AFTER))
        }
    }
}

/// Stops the job.
pub(in crate::console) async fn stop(
    State(console): State<Arc<Console>>,
    Action(Posted { session, .. }): Action,
) -> Result<Response, Failure> {
    audit_log::action(&session, "stop", "job over dead letters");
    if let Some(job) = console.jobs.last() {
        job.stop();
    }
    Ok(Redirect::to(PATH).into_response())
}
