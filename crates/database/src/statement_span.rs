//! Spans of the statements of events and answers, for traces.
//!
//! At level trace, target `database`. They name what the statement does; its text is long and always the
//! same, and its parameters are ids.

use tracing::Instrument as _;
use tracing::field::Empty;

/// PostgreSQL, as the OpenTelemetry semantic conventions name it.
pub(crate) const POSTGRESQL: &str = "postgresql";
/// SQLite, likewise.
pub(crate) const SQLITE: &str = "sqlite";

/// Runs a call of the database inside its span.
pub(crate) async fn traced<T, E>(
    system: &'static str,
    summary: &'static str,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let span = tracing::trace_span!(
        target: "database",
        "statement",
        otel.name = summary,
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = system,
        db.query.summary = summary,
    );
    let outcome = call.instrument(span.clone()).await;
    if outcome.is_err() {
        span.record("otel.status_code", "ERROR");
    }
    outcome
}
