//! The operator's console, if there is one, and who may come in.

use std::sync::Arc;

use axum::Router;
use database::Repository;

use crate::cache::CacheManager;
use crate::clock::Clock;
use crate::config::Config;
use crate::console::{Access, ConsoleParts, ConsoleTask, JobTools};
use crate::health::Health;
use crate::ingest::IngestPipeline;
use crate::metrics::Metrics;

/// The routes of the console, and what keeps its pages current; without a console no routes.
pub(super) fn console(
    config: &Config,
    repository: &Arc<dyn Repository>,
    cache: &CacheManager,
    pipeline: &IngestPipeline,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
    health: &Health,
) -> anyhow::Result<(Router, Option<ConsoleTask>)> {
    let Some(access) = access(config, clock)? else { return Ok((Router::new(), None)) };
    let (routes, task) = crate::console::console(ConsoleParts {
        access: Arc::new(access),
        repository: Arc::clone(repository),
        cache: cache.clone(),
        health: health.clone(),
        metrics: metrics.clone(),
        clock: Arc::clone(clock),
        settings: config.effective.clone(),
        read_timeout: config.http.read_timeout,
        write_timeout: config.http.events_wait,
        job_tools: JobTools { repository: Arc::clone(repository), pipeline: pipeline.clone() },
    });
    Ok((routes, Some(task)))
}

/// Access to the console; none: there is no console.
///
/// The embedded mode on a loopback address needs no login: who reaches it is on this machine.
fn access(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Option<Access>> {
    let (console, clock) = (&config.console, Arc::clone(clock));
    if let Some(operator) = &console.operator_token {
        let viewer = console.viewer_token.as_ref();
        return Ok(Some(Access::with_tokens(operator, viewer, console.session, clock)));
    }
    let is_local = config.database_url.is_none() && config.listen.ip().is_loopback();
    is_local.then(|| Access::local(clock)).transpose()
}
