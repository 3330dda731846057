//! Spans for OpenTelemetry, and the trace context that comes in and goes on.
//!
//! Names and attributes are those of the OpenTelemetry semantic conventions for HTTP and messaging, as far
//! as they name no person, batch or essay: paths and keys are left out. Spans have a target of their own
//! and the level trace, so that log lines do not show them. Without an exporter they are disabled, and the
//! trace context of an event goes on unchanged.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::HeaderMap;
use database::KafkaOffset;
use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use projection::TraceParent;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Target of these spans.
pub const TARGET: &str = "aggregator::traces";

/// Spans of this process that were not sent.
static LOST_SPANS: AtomicU64 = AtomicU64::new(0);

/// Counts spans that are not sent.
pub fn count_lost_spans(count: usize) {
    LOST_SPANS.fetch_add(count as u64, Ordering::Relaxed);
}

/// How many spans were lost since the last call.
pub(crate) fn take_lost_spans() -> u64 {
    LOST_SPANS.swap(0, Ordering::Relaxed)
}

/// Span of a request, by the template of its route, inside the operation that its headers name.
pub(crate) fn request(headers: &HeaderMap, method: &str, route: Option<&str>) -> Span {
    let span = tracing::trace_span!(
        target: TARGET,
        "request",
        otel.name = route.map_or(method.to_owned(), |route| format!("{method} {route}")),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        error.type = Empty,
    );
    let parent = headers.get(TraceParent::NAME).and_then(|value| value.to_str().ok());
    put_inside(&span, parent.and_then(TraceParent::parse));
    span
}

/// Notes the status code of the answer.
pub(crate) fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
    if status >= 500 {
        failed(span, &status.to_string());
    }
}

/// Span of a record until it is applied or refused, inside the operation that sent it. `offset`: in Kafka,
/// if it came from there.
pub(crate) fn process(
    topic: &str,
    offset: Option<KafkaOffset>,
    bytes: usize,
    sender: Option<TraceParent>,
) -> Span {
    let span = tracing::trace_span!(
        target: TARGET,
        "process",
        otel.name = format_args!("process {topic}"),
        otel.kind = if offset.is_some() { "consumer" } else { "internal" },
        otel.status_code = Empty,
        error.type = Empty,
        messaging.system = offset.map(|_| "kafka"),
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = topic,
        messaging.destination.partition.id = offset.map(|offset| offset.partition.to_string()),
        messaging.kafka.offset = offset.map(|offset| offset.offset),
        messaging.message.body.size = bytes,
    );
    put_inside(&span, sender);
    span
}

/// Span of an outgoing event until the broker has acknowledged it, inside the operation that caused it.
pub(crate) fn send(topic: &str, cause: Option<TraceParent>) -> Span {
    let span = tracing::trace_span!(
        target: TARGET,
        "send",
        otel.name = format_args!("send {topic}"),
        otel.kind = "producer",
        otel.status_code = Empty,
        error.type = Empty,
        messaging.system = "kafka",
        messaging.operation.name = "send",
        messaging.operation.type = "send",
        messaging.destination.name = topic,
    );
    put_inside(&span, cause);
    span
}

/// Notes why the operation failed: a word of a small set.
pub(crate) fn failed(span: &Span, reason: &str) {
    span.record("error.type", reason);
    span.record("otel.status_code", "ERROR");
}

/// What operations that this span causes name as their parent. `None` if it is disabled.
pub(crate) fn position(span: &Span) -> Option<TraceParent> {
    let context = span_context(span);
    context.is_valid().then(|| TraceParent {
        trace_id: u128::from_be_bytes(context.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(context.span_id().to_bytes()),
        flags: context.trace_flags().to_u8(),
    })
}

/// Whether the span is sent to the collector.
pub(crate) fn is_sampled(span: &Span) -> bool {
    span_context(span).is_sampled()
}

/// Links spans with the one in which the work for them all is.
pub(crate) fn link(spans: &[Span], work: &Span) {
    let context = span_context(work);
    for span in spans.iter().filter(|span| *span != work) {
        span.add_link(context.clone());
    }
}

fn span_context(span: &Span) -> SpanContext {
    span.context().span().span_context().clone()
}

fn put_inside(span: &Span, parent: Option<TraceParent>) {
    let Some(TraceParent { trace_id, span_id, flags }) = parent else { return };
    let parent = SpanContext::new(
        TraceId::from(trace_id),
        SpanId::from(span_id),
        TraceFlags::new(flags),
        true,
        TraceState::default(),
    );
    // Fails only if the span is disabled.
    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
}
