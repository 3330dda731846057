//! Bound of the spans that wait to be sent. Those beyond it are lost, and counted.
//!
//! The queue of the SDK has the same bound and no such count. Here a span waits until its export begins, which
//! is after it has left that queue: so that one is never full.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aggregator::traces::count_lost_spans;
use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, OTEL_BSP_MAX_QUEUE_SIZE,
    OTEL_BSP_MAX_QUEUE_SIZE_DEFAULT, Span, SpanData, SpanExporter, SpanProcessor,
};

/// Number of spans that wait. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    /// Counts one more, unless so many wait already.
    fn enter(&self, max: usize) -> bool {
        let one_more = |waiting| (waiting < max).then_some(waiting + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    /// Counts those off whose export begins.
    pub(super) fn leave(&self, spans: usize) {
        self.0.fetch_sub(spans, Ordering::Relaxed);
    }
}

/// The processor of spans: queues them for an exporter, up to a bound.
#[derive(Debug)]
pub(super) struct Bounded {
    processor: BatchSpanProcessor,
    waiting: Waiting,
    max: usize,
}

impl Bounded {
    /// `waiting`: the exporter counts off what it takes.
    pub(super) fn new(exporter: impl SpanExporter + 'static, waiting: Waiting) -> Self {
        let max = env::var(OTEL_BSP_MAX_QUEUE_SIZE).ok().and_then(|max| max.parse().ok());
        let max = max.unwrap_or(OTEL_BSP_MAX_QUEUE_SIZE_DEFAULT);
        let config = BatchConfigBuilder::default().with_max_queue_size(max).build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        Self { processor, waiting, max }
    }
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.processor.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.enter(self.max) {
            self.processor.on_end(span);
        } else {
            count_lost_spans(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}
