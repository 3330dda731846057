//! Export of spans to a collector, as OTLP over HTTP.

mod client;
mod exporter;
mod queue;

use std::time::Duration;

use aggregator::config::TracesConfig;
use aggregator::traces::TARGET;
use anyhow::Context as _;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{
    EnvResourceDetector, ResourceDetector as _, TelemetryResourceDetector,
};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, Targets, filter_fn};
use tracing_subscriber::layer::Layer;
use uuid::Uuid;

use self::client::{Client, NetworkError};
use self::exporter::Reported;
use self::queue::{Bounded, Waiting};

/// Name of the service in its traces, unless `OTEL_SERVICE_NAME` has another one.
const SERVICE_NAME: &str = "result-aggregator";
/// Targets of the spans that are sent.
const TARGETS: [&str; 3] = [TARGET, "database", "freshset"];
/// How long the process waits at its end for the last spans to be sent.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// The running export. Spans are queued, and sent by a thread of its own.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Begins it, if the settings name a collector. One that does not answer is no error.
    pub(crate) fn start(config: &TracesConfig) -> anyhow::Result<Option<Self>> {
        let Some(endpoint) = &config.endpoint else { return Ok(None) };
        let network_error = NetworkError::default();
        let client = Client::new(endpoint, config.ca_file.as_deref(), network_error.clone())?;
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(endpoint)
            .build()
            .context("prepare to send spans")?;
        let waiting = Waiting::default();
        let exporter = Reported::new(exporter, endpoint.clone(), network_error, waiting.clone());
        let share = f64::from(config.sample_percent) / 100.0;
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share)));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Bounded::new(exporter, waiting))
            .with_sampler(sampler)
            .with_resource(resource())
            .build();
        Ok(Some(Self { provider }))
    }

    /// The layer that collects the spans.
    pub(crate) fn layer(&self) -> impl Layer<Registry> + use<> {
        let targets = TARGETS.map(|target| (target, LevelFilter::TRACE));
        let spans = filter_fn(|metadata| metadata.is_span());
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(SERVICE_NAME))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_filter(Targets::new().with_targets(targets).and(spans))
    }

    /// Sends what is queued. Blocks for [`FLUSH_MAX`] at most.
    pub(crate) fn end(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_MAX) {
            tracing::warn!(%error, "last spans not sent");
        }
    }
}

/// What every span is of: this process, unless `OTEL_RESOURCE_ATTRIBUTES` or `OTEL_SERVICE_NAME` say
/// otherwise.
fn resource() -> Resource {
    let ours = Resource::builder_empty().with_attributes([
        KeyValue::new("service.name", SERVICE_NAME),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
    ]);
    let name = std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty());
    let named = name.map(|name| KeyValue::new("service.name", name));
    let environment = EnvResourceDetector::new().detect();
    let environment =
        environment.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    ours.with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(environment.chain(named))
        .build()
}
