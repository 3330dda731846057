//! An exporter whose lost spans are counted, and whose outages are logged, each once when it begins and once
//! when it ends.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aggregator::traces::count_lost_spans;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use super::client::NetworkError;
use super::queue::Waiting;

#[derive(Debug)]
pub(super) struct Reported<E> {
    exporter: E,
    endpoint: String,
    network_error: NetworkError,
    waiting: Waiting,
    is_failing: AtomicBool,
}

impl<E> Reported<E> {
    pub(super) fn new(
        exporter: E,
        endpoint: String,
        network_error: NetworkError,
        waiting: Waiting,
    ) -> Self {
        Self { exporter, endpoint, network_error, waiting, is_failing: AtomicBool::new(false) }
    }

    fn outage_begins(&self, error: &OTelSdkError) {
        let network_error = self.network_error.take();
        let error: &dyn Error = match &network_error {
            Some(error) => error,
            None => error,
        };
        let endpoint = &self.endpoint;
        tracing::warn!(
            endpoint,
            error,
            "spans not sent, losing them until the collector takes some"
        );
    }
}

impl<E: SpanExporter> SpanExporter for Reported<E> {
    async fn export(&self, spans: Vec<SpanData>) -> OTelSdkResult {
        let count = spans.len();
        self.waiting.leave(count);
        let sent = self.exporter.export(spans).await;
        let was_failing = self.is_failing.swap(sent.is_err(), Ordering::Relaxed);
        match &sent {
            Err(error) => {
                count_lost_spans(count);
                if !was_failing {
                    self.outage_begins(error);
                }
            }
            Ok(()) if was_failing => {
                tracing::info!(endpoint = self.endpoint, "spans are sent again");
            }
            Ok(()) => {}
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
