//! Traces: the spans that a collector gets, and the trace context that goes in and out.

use axum::http::StatusCode;
use projection::TraceParent;
use rdkafka::message::{Header, OwnedHeaders};
use serde_json::{Value, json};
use testkit::{Certificates, eventually};

use crate::support::collector::Collector;
use crate::support::common::{TIMEOUT, next_micros};
use crate::support::events::{
    PIPELINE_COMPLETED, REGISTERED, pipeline_completed, registered, slot,
};
use crate::support::http::http_client;
use crate::support::published::Reader;
use crate::support::servers::Servers;
use crate::support::service::{KEY, Service, ServiceBuilder};

const LIST: &str = "/internal/v1/batches/user/{user_id}";
/// Ids that are nowhere else in what the collector gets.
const TEACHER: &str = "tulip-of-the-teacher";
const BATCH: &str = "rose-of-the-batch";
/// Counter of lost spans.
const LOST: &str = "ras_spans_lost_total";
const RESULTS_READY: &str = "huleedu.ras.batch.results.ready.v1";
/// Traces of other services: id of the trace, and of the span that is the parent here.
const REGISTERING: (&str, &str) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
const COMPLETING: (&str, &str) = ("1bf7651916cd43dd8448eb211c80319c", "c7ad6b7169203331");
const READING: (&str, &str) = ("2cf7651916cd43dd8448eb211c80319c", "d7ad6b7169203331");

fn traceparent((trace_id, span_id): (&str, &str)) -> String {
    format!("00-{trace_id}-{span_id}-01")
}

fn traced(builder: ServiceBuilder, collector: &Collector) -> ServiceBuilder {
    builder
        .variable("RAS_TRACES__ENDPOINT", collector.endpoint.clone())
        .variable("OTEL_BSP_SCHEDULE_DELAY", "100")
}

#[tokio::test]
async fn traces_of_other_services_continue_through_events_reads_and_what_is_published() {
    let (servers, broker) = Servers::with_broker().await;
    let collector = Collector::start().await;
    let service = traced(servers.builder(), &collector).start().await;

    // In a header, as OpenTelemetry has it; and in the envelope, as the platform's relay sends it.
    let event = registered(TEACHER, BATCH, 1, next_micros()).to_string();
    let headers = OwnedHeaders::new()
        .insert(Header { key: "traceparent", value: Some(&traceparent(REGISTERING)) });
    broker.produce_with(REGISTERED, BATCH, event.as_bytes(), headers).await;
    broker.wait_until_acknowledged().await;
    let mut event = pipeline_completed(BATCH, 1, next_micros());
    event["metadata"] = json!({"traceparent": traceparent(COMPLETING)});
    broker.produce(PIPELINE_COMPLETED, BATCH, event.to_string().as_bytes()).await;

    let process = format!("process {REGISTERED}");
    let work = ["load", "write", "commit", "cache.invalidate"];
    let trace =
        collector.trace(REGISTERING.0, &[&process, work[0], work[1], work[2], work[3]]).await;
    let processed = trace.span(&process);
    assert_eq!(hex::encode(&processed.parent_span_id), REGISTERING.1);
    for name in work {
        assert!(trace.is_inside(trace.span(name), processed), "{name} outside of {process}");
    }

    let mut reader = Reader::new(&broker.kafka.brokers());
    reader.read_until(2).await;
    let process = format!("process {PIPELINE_COMPLETED}");
    let send = format!("send {RESULTS_READY}");
    let trace = collector.trace(COMPLETING.0, &[&process, &send]).await;
    assert!(trace.is_inside(trace.span(&send), trace.span(&process)));
    let ready = reader.seen.iter().find(|record| record.topic == RESULTS_READY).unwrap();
    let (_, sent) = ready.headers.iter().find(|(name, _)| name == "traceparent").unwrap();
    let sent = TraceParent::parse(sent).unwrap();
    assert_eq!(sent.span_id.to_be_bytes().as_slice(), trace.span(&send).span_id);
    let value: Value = serde_json::from_str(&ready.value).unwrap();
    let caused = TraceParent::parse(value["metadata"]["traceparent"].as_str().unwrap()).unwrap();
    assert_eq!(caused.span_id.to_be_bytes().as_slice(), trace.span(&process).span_id);

    let list = format!("{}/internal/v1/batches/user/{TEACHER}", service.client.base);
    let answer = http_client()
        .get(list)
        .header("X-Internal-API-Key", KEY)
        .header("X-Service-ID", "bff-teacher-service")
        .header("traceparent", traceparent(READING));
    assert_eq!(answer.send().await.unwrap().status(), 200);
    let request = format!("GET {LIST}");
    let trace = collector.trace(READING.0, &[&request, "cache.get_or_load", "read page"]).await;
    let requested = trace.span(&request);
    assert_eq!(hex::encode(&requested.parent_span_id), READING.1);
    let reads = trace.span("cache.get_or_load");
    assert!(trace.is_inside(reads, requested) && trace.is_inside(trace.span("read page"), reads));

    let text = collector.text();
    for id in [TEACHER, BATCH] {
        assert!(!text.contains(id), "{id} in a span: {text}");
    }
}

/// The work for a group is in the span of its first record.
#[tokio::test]
async fn records_of_one_request_are_linked_with_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let collector = Collector::start().await;
    let service = traced(ServiceBuilder::embedded(directory.path()), &collector).start().await;
    let events = [
        registered("teacher", "batch", 2, next_micros()),
        slot("batch", 1, "a.txt", next_micros()),
    ];
    service.client.post(&events).await.unwrap();

    let spans = eventually(TIMEOUT, "a request with two records", async || {
        let spans = collector.spans();
        let count = |name: &str| spans.iter().filter(|span| span.name.starts_with(name)).count();
        let is_whole = (count("POST "), count("process "), count("commit")) == (1, 2, 1);
        is_whole.then_some(spans)
    })
    .await;
    let request = spans.iter().find(|span| span.name == "POST /internal/v1/events").unwrap();
    let trace = collector.trace(&hex::encode(&request.trace_id), &["commit"]).await;
    let records: Vec<_> = spans.iter().filter(|span| span.name.starts_with("process ")).collect();
    let [first, second] = records[..] else { panic!("{records:?}") };
    let linked = |span: &opentelemetry_proto::tonic::trace::v1::Span| -> Vec<_> {
        span.links.iter().map(|link| link.span_id.clone()).collect()
    };
    let (work, other) = if first.links.is_empty() { (first, second) } else { (second, first) };
    assert_eq!((linked(work), linked(other)), (vec![], vec![work.span_id.clone()]));
    assert!(trace.is_inside(work, request) && trace.is_inside(other, request));
    assert!(trace.is_inside(trace.span("commit"), work));
    assert_eq!(trace.spans("commit").len(), 1);
}

#[tokio::test]
async fn unreachable_collector_is_logged_once_and_holds_nothing_up() {
    let directory = tempfile::tempdir().unwrap();
    let collector = Collector::start().await;
    let endpoint = collector.endpoint.clone();
    drop(collector);
    let service = ServiceBuilder::embedded(directory.path())
        .variable("RAS_TRACES__ENDPOINT", endpoint.clone())
        .variable("OTEL_BSP_SCHEDULE_DELAY", "20")
        .start()
        .await;
    for number in 0..20 {
        let event = registered("teacher", &format!("batch-{number}"), 1, next_micros());
        service.client.post(&[event]).await.unwrap();
        // A pause of several exports after each, which fail.
        let line = service.process.wait_for_line("spans not sent, losing them", TIMEOUT).await;
        assert!(line.contains(&endpoint) && line.contains("Connection refused"), "{line}");
    }
    assert_eq!(service.client.list("teacher", "?limit=0").await.total(), 20);
    service.process.terminate().await;
    assert!(service.process.wait(TIMEOUT).await.success());
    service.process.wait_for_lines("spans not sent, losing them", 1, TIMEOUT).await;
}

/// The certificate of another CA is refused.
#[tokio::test]
async fn spans_are_sent_over_tls_to_a_collector_that_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::in_directory(directory.path());
    let collector = Collector::with_tls(&certificates).await;
    let data = |name: &str| directory.path().join(name);
    let ca_file = certificates.ca_file().to_str().unwrap().to_owned();
    let trusting = traced(ServiceBuilder::embedded(&data("trusting")), &collector)
        .variable("RAS_TRACES__CA_FILE", ca_file)
        .start()
        .await;
    make_spans(&trusting, 1).await;
    eventually(TIMEOUT, "a span", async || collector.spans().len() == 1).await;

    let other = traced(ServiceBuilder::embedded(&data("other")), &collector).start().await;
    make_spans(&other, 1).await;
    let line = other.process.wait_for_line("spans not sent, losing them", TIMEOUT).await;
    assert!(line.contains("invalid peer certificate"), "{line}");
    assert_eq!(collector.spans().len(), 1);
}

#[tokio::test]
async fn spans_that_the_collector_refuses_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let collector = Collector::start().await;
    collector.answer_with(Some(StatusCode::FORBIDDEN));
    let service = traced(ServiceBuilder::embedded(directory.path()), &collector).start().await;
    make_spans(&service, 10).await;
    eventually(TIMEOUT, "all spans are refused and counted", async || {
        let counts = (collector.spans().len() as f64, service.client.metric(LOST).await);
        if counts == (10.0, 10.0) { Ok(()) } else { Err(counts) }
    })
    .await;
    let line = service.process.wait_for_line("spans not sent, losing them", TIMEOUT).await;
    assert!(line.contains(&collector.endpoint) && line.contains("403"), "{line}");

    collector.answer_with(Some(StatusCode::OK));
    make_spans(&service, 1).await;
    service.process.wait_for_line("spans are sent again", TIMEOUT).await;
    assert_eq!(service.client.metric(LOST).await, 10.0);
}

#[tokio::test]
async fn spans_for_which_the_queue_is_full_are_counted() {
    const QUEUE_MAX: usize = 8;
    const BEYOND: usize = 5;
    let directory = tempfile::tempdir().unwrap();
    let collector = Collector::start().await;
    collector.answer_with(None);
    let service = traced(ServiceBuilder::embedded(directory.path()), &collector)
        .variable("OTEL_BSP_MAX_QUEUE_SIZE", QUEUE_MAX.to_string())
        // The export waits for as long as the test wants.
        .variable("OTEL_EXPORTER_OTLP_TIMEOUT", "600000")
        .start()
        .await;
    let sent_and_lost = async |sent: usize, lost: usize| {
        eventually(TIMEOUT, &format!("{sent} spans sent and {lost} lost"), async || {
            let counts = (collector.spans().len(), service.client.metric(LOST).await);
            if counts == (sent, lost as f64) { Ok(()) } else { Err(counts) }
        })
        .await;
    };
    make_spans(&service, 1).await;
    sent_and_lost(1, 0).await;
    make_spans(&service, QUEUE_MAX + BEYOND).await;
    sent_and_lost(1, BEYOND).await;

    collector.answer_with(Some(StatusCode::OK));
    sent_and_lost(1 + QUEUE_MAX, BEYOND).await;
    make_spans(&service, 1).await;
    sent_and_lost(1 + QUEUE_MAX + 1, BEYOND).await;
}

/// Sends requests of which each makes one span.
async fn make_spans(service: &Service, count: usize) {
    for _ in 0..count {
        assert_eq!(service.client.get("/openapi.json").await.unwrap().status(), 200);
    }
}
