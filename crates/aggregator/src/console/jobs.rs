//! Jobs over many dead letters: one at a time in a process, in the order of their ids, until it is done or
//! stopped. A job goes on when nobody looks at it, and ends with the process: started again, it does the rest.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use database::backoff::Backoff;
use database::{
    DbError, DeadLetterId, DeadLetterPage, DeadLetterQuery, DeadLetterSummary, Repository,
};
use projection::Timestamp;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::apply::ApplyOutcome;
use crate::ingest::{IngestPipeline, RecordOutcome};

/// Dead letters that are listed at once.
const PAGE: u32 = 200;

/// What a job does with each dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Replay,
    Discard,
}

impl Task {
    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Replay, Self::Discard].into_iter().find(|task| task.as_str() == text)
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Discard => "discard",
        }
    }
}

/// What a job is to do.
#[derive(Clone, Debug)]
pub(super) struct JobOrder {
    pub(super) task: Task,
    /// Which dead letters: those last refused before the start, so that one that is refused again is done
    /// once.
    pub(super) query: DeadLetterQuery,
    /// Which these are, for people.
    pub(super) selection: String,
    /// Their number, as far as it is known.
    pub(super) expected: Option<u64>,
    pub(super) started_at: Timestamp,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JobState {
    Running,
    /// The database fails; the job waits and goes on.
    Waiting,
    Finished,
    Stopped,
    Failed,
}

/// What a job has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) state: JobState,
    pub(super) done: u64,
    /// Applied, or discarded.
    pub(super) removed: u64,
    /// Applied before, so that they changed nothing now.
    pub(super) duplicate: u64,
    /// Refused again, and kept.
    pub(super) refused: u64,
    /// No longer there, or refused again meanwhile.
    pub(super) gone: u64,
}

/// A job, running or ended.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) order: JobOrder,
    progress: Mutex<Progress>,
    stop: CancellationToken,
}

/// What jobs work with.
#[derive(Clone)]
pub struct JobTools {
    /// Lists and removes them.
    pub repository: Arc<dyn Repository>,
    /// Replays them.
    pub pipeline: IngestPipeline,
}

/// The last job of this process.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    last: Mutex<Option<Arc<Job>>>,
}

/// Another job runs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Busy;

impl Jobs {
    pub(super) fn last(&self) -> Option<Arc<Job>> {
        self.lock().clone()
    }

    /// Starts a job, unless one runs. `stop` ends it.
    pub(super) fn start(
        &self,
        order: JobOrder,
        tools: JobTools,
        stop: CancellationToken,
    ) -> Result<Arc<Job>, Busy> {
        let mut last = self.lock();
        if last.as_ref().is_some_and(|job| job.is_running()) {
            return Err(Busy);
        }
        let job = Arc::new(Job::new(order, stop));
        *last = Some(Arc::clone(&job));
        tokio::spawn(run(Arc::clone(&job), tools));
        Ok(job)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Job>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    fn new(order: JobOrder, stop: CancellationToken) -> Self {
        let progress = Progress {
            state: JobState::Running,
            done: 0,
            removed: 0,
            duplicate: 0,
            refused: 0,
            gone: 0,
        };
        Self { order, progress: Mutex::new(progress), stop }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.progress().state, JobState::Running | JobState::Waiting)
    }

    pub(super) fn progress(&self) -> Progress {
        self.lock().clone()
    }

    /// Ends it after the dead letter that it works on.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    fn set(&self, state: JobState) {
        self.lock().state = state;
    }

    fn count(&self, outcome: Outcome) {
        let mut progress = self.lock();
        progress.done += 1;
        match outcome {
            Outcome::Removed => progress.removed += 1,
            Outcome::Duplicate => progress.duplicate += 1,
            Outcome::Refused => progress.refused += 1,
            Outcome::Gone => progress.gone += 1,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Removed,
    Duplicate,
    Refused,
    Gone,
}

async fn run(job: Arc<Job>, tools: JobTools) {
    let end = all(&job, &tools).await;
    let Progress { done, removed, duplicate, refused, gone, .. } = job.progress();
    tracing::info!(
        target: "console_audit",
        action = job.order.task.as_str(),
        state = ?end,
        done,
        removed,
        duplicate,
        refused,
        gone,
        "console job ended"
    );
    job.set(end);
}

async fn all(job: &Job, tools: &JobTools) -> JobState {
    let mut query = DeadLetterQuery {
        until: Some(job.order.started_at),
        limit: PAGE,
        ..job.order.query.clone()
    };
    loop {
        let page = match with_retry(job, || tools.repository.dead_letters(&query)).await {
            Ok(page) => page,
            Err(end) => return end,
        };
        let DeadLetterPage { dead_letters, next_after } = page;
        for dead_letter in &dead_letters {
            if job.stop.is_cancelled() {
                return JobState::Stopped;
            }
            match one(job, tools, dead_letter).await {
                Ok(outcome) => job.count(outcome),
                Err(end) => return end,
            }
        }
        if next_after.is_none() {
            return JobState::Finished;
        }
        query.after = next_after;
    }
}

async fn one(
    job: &Job,
    tools: &JobTools,
    dead_letter: &DeadLetterSummary,
) -> Result<Outcome, JobState> {
    let (id, refused_at) = (dead_letter.id, Some(dead_letter.refused_at));
    match job.order.task {
        Task::Replay => replay(job, tools, id).await,
        Task::Discard => {
            let is_removed =
                with_retry(job, || tools.repository.delete_dead_letter(id, refused_at)).await?;
            Ok(if is_removed { Outcome::Removed } else { Outcome::Gone })
        }
    }
}

async fn replay(job: &Job, tools: &JobTools, id: DeadLetterId) -> Result<Outcome, JobState> {
    let replayed = tools.pipeline.replay(id, &job.stop).await.map_err(|error| {
        if job.stop.is_cancelled() {
            return JobState::Stopped;
        }
        let cause = &error as &dyn Error;
        tracing::warn!(error = cause, %id, "dead letter not replayed, job ended");
        JobState::Failed
    })?;
    let Some(RecordOutcome { outcome, .. }) = replayed else { return Ok(Outcome::Gone) };
    Ok(match outcome {
        ApplyOutcome::Applied => Outcome::Removed,
        ApplyOutcome::Duplicate => Outcome::Duplicate,
        ApplyOutcome::Refused(_) => Outcome::Refused,
    })
}

/// Repeats a call of the database until it succeeds, fails for good, or the job is stopped.
async fn with_retry<T, F>(job: &Job, mut call: impl FnMut() -> F) -> Result<T, JobState>
where
    F: Future<Output = Result<T, DbError>>,
{
    let mut backoff = Backoff::new();
    loop {
        let error = match call().await {
            Ok(answer) => {
                job.set(JobState::Running);
                return Ok(answer);
            }
            Err(error) => error,
        };
        if !log_and_retry(&error) {
            return Err(JobState::Failed);
        }
        job.set(JobState::Waiting);
        tokio::select! {
            () = job.stop.cancelled() => return Err(JobState::Stopped),
            () = sleep(backoff.next_wait()) => {}
        }
    }
}

/// Whether the same call can succeed later.
fn log_and_retry(error: &DbError) -> bool {
    let cause = error as &dyn Error;
    if error.is_transient() {
        tracing::debug!(error = cause, "job over dead letters waits for the database");
    } else {
        tracing::warn!(error = cause, "job over dead letters failed");
    }
    error.is_transient()
}
