//! Check of the cache's Redis: before the first event, on every new connection, after a refused command,
//! and at intervals.
//!
//! Findings are in `/readyz` and once in the log. They change nothing else: an unavailable or full cache
//! is bypassed in any case, and the caller repeats an unconfirmed invalidation.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use database::backoff::Backoff;
use freshset::BackendError;
use freshset::backend::redis::{CheckCode, CheckFinding, RedisBackend, Severity};
use tokio::time::{sleep, timeout};

use crate::cache::CacheManager;
use crate::clock::Clock;
use crate::health::{Component, Finding, Health};

/// Longest wait of the start for the first check, which then goes on in the background.
const FIRST_CHECK_MAX: Duration = Duration::from_secs(3);
/// Waits between checks with findings that an operator must change: doubling, from and to.
const RECHECK_WAIT_MIN: Duration = Duration::from_secs(1);
const RECHECK_WAIT_MAX: Duration = Duration::from_secs(30);
/// Wait between checks without findings. Rights may be revoked.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);
/// Code of the finding that Redis does not answer.
pub const UNAVAILABLE: &str = "unavailable";

/// The check of one Redis; see the [module](self).
#[derive(Debug)]
pub struct CacheCheck {
    redis: Arc<RedisBackend>,
    cache: CacheManager,
    health: Health,
    clock: Arc<dyn Clock>,
    /// Number of the connection that was checked last.
    checked: Option<u64>,
    hints_logged: BTreeSet<&'static str>,
}

impl CacheCheck {
    /// A check of `redis`, which is the backend of `cache`.
    pub fn new(
        redis: Arc<RedisBackend>,
        cache: CacheManager,
        health: Health,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { redis, cache, health, clock, checked: None, hints_logged: BTreeSet::new() }
    }

    /// Checks once, for a limited time, so that a missing right is reported before the first event.
    pub async fn before_first_event(&mut self) {
        if timeout(FIRST_CHECK_MAX, self.check()).await.is_err() {
            let waited = FIRST_CHECK_MAX;
            self.report_unavailable(&BackendError::Timeout { backend: "redis", waited });
        }
    }

    /// Checks again and again; never returns.
    pub async fn run(mut self) {
        let mut recheck = Backoff::between(RECHECK_WAIT_MIN, RECHECK_WAIT_MAX);
        loop {
            let wait = if self.check().await {
                recheck = Backoff::between(RECHECK_WAIT_MIN, RECHECK_WAIT_MAX);
                CHECK_INTERVAL
            } else {
                recheck.next_wait()
            };
            // Every read may be refused: refusals cause an earlier check, but not before this pause.
            sleep(wait.min(RECHECK_WAIT_MIN)).await;
            tokio::select! {
                () = sleep(wait) => {}
                () = self.cache.refused() => {}
                () = self.redis.connection_changed(self.checked) => {}
            }
        }
    }

    /// Checks once. Whether there is no finding that an operator must change.
    async fn check(&mut self) -> bool {
        // Before the check: if the connection changes during it, the new one is checked too.
        self.checked = self.redis.connection_number();
        match self.redis.check().await {
            Ok(findings) => {
                self.health.clear(Component::Cache, UNAVAILABLE);
                self.report(&findings);
                findings.iter().all(|finding| finding.code.severity() == Severity::Hint)
            }
            Err(error) => {
                self.report_unavailable(&error);
                false
            }
        }
    }

    fn report(&mut self, findings: &[CheckFinding]) {
        for code in CheckCode::ALL {
            match findings.iter().find(|finding| finding.code == code) {
                Some(finding) => self.report_one(code.as_str(), finding),
                None => self.clear(code.as_str()),
            }
        }
    }

    fn report_one(&mut self, code: &'static str, found: &CheckFinding) {
        let detail = &found.detail;
        let finding = Finding::new(Component::Cache, code, detail.clone(), self.clock.now());
        match found.code.severity() {
            Severity::Blocking => {
                if self.health.report(finding.blocking()) {
                    tracing::error!(
                        code,
                        detail,
                        "redis cannot be used, not ready, checking again"
                    );
                }
            }
            Severity::Warning => {
                if self.health.report(finding) {
                    tracing::warn!(code, detail, "redis caches nothing new, or will not when full");
                }
            }
            Severity::Hint => {
                if self.hints_logged.insert(code) {
                    tracing::info!(code, detail, "redis settings");
                }
            }
        }
    }

    fn clear(&self, code: &'static str) {
        if self.health.clear(Component::Cache, code) {
            tracing::info!(code, "redis check passed, finding cleared");
        }
    }

    /// Not logged here: the library logs the begin and the end of an outage.
    fn report_unavailable(&self, error: &BackendError) {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        let detail =
            format!("{error}{cause}; reads bypass the cache, and events wait for invalidations");
        let now = self.clock.now();
        self.health.report(Finding::new(Component::Cache, UNAVAILABLE, detail, now));
    }
}
