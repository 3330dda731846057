//! Collector of spans: an OTLP receiver in this process that keeps what it is sent.

use std::sync::{Arc, Mutex};

use aggregator::config::CertificateFiles;
use aggregator::http::server::tls::Tls;
use aggregator::http::server::{ServerLimits, serve};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use testkit::{Certificates, eventually};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::common::TIMEOUT;

/// Limits that no test reaches.
const LIMITS: ServerLimits = ServerLimits {
    connections: 100,
    first_head: TIMEOUT,
    head: TIMEOUT,
    write_stall: TIMEOUT,
    drain_timeout: TIMEOUT,
};

type Received = Arc<Mutex<Vec<ExportTraceServiceRequest>>>;
/// None: requests wait for it.
type Answer = Option<StatusCode>;

/// The collector. Stops when it is dropped.
pub(crate) struct Collector {
    pub(crate) endpoint: String,
    received: Received,
    answer: watch::Sender<Answer>,
    _serving: JoinSet<()>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// One that listens with TLS.
    pub(crate) async fn with_tls(certificates: &Certificates) -> Self {
        let chain = certificates.server_certificate_file();
        let files = CertificateFiles { chain, key: certificates.server_key_file() };
        Self::start_with(Some(Tls::new(files).unwrap())).await
    }

    async fn start_with(tls: Option<Tls>) -> Self {
        let received = Received::default();
        let (answer, answers) = watch::channel(Some(StatusCode::OK));
        let state = (received.clone(), answers);
        let router = Router::new().route("/v1/traces", post(receive)).with_state(state);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (scheme, port) =
            (if tls.is_some() { "https" } else { "http" }, listener.local_addr().unwrap().port());
        let endpoint = format!("{scheme}://localhost:{port}/v1/traces");
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, tls, router, LIMITS, CancellationToken::new()));
        Self { endpoint, received, answer, _serving: serving }
    }

    /// Answers like that from now on; none: requests wait until there is one.
    pub(crate) fn answer_with(&self, status: Option<StatusCode>) {
        self.answer.send_replace(status);
    }

    /// Every span so far, from all processes, also if it was refused.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let received = self.received.lock().unwrap();
        let scopes = received.iter().flat_map(|request| &request.resource_spans);
        scopes.flat_map(|of| &of.scope_spans).flat_map(|of| of.spans.clone()).collect()
    }

    /// Everything so far as text, names and values of all attributes among it.
    pub(crate) fn text(&self) -> String {
        format!("{:?}", self.received.lock().unwrap())
    }

    /// The spans of a trace, once there are spans of all these names.
    pub(crate) async fn trace(&self, trace_id: &str, names: &[&str]) -> Trace {
        eventually(TIMEOUT, &format!("spans {names:?} of {trace_id}"), async || {
            let mut spans = self.spans();
            spans.retain(|span| hex::encode(&span.trace_id) == trace_id);
            let has = |name: &&str| spans.iter().any(|span| span.name == *name);
            if names.iter().all(has) {
                Ok(Trace(spans))
            } else {
                Err(spans.into_iter().map(|span| span.name).collect::<Vec<_>>())
            }
        })
        .await
    }
}

async fn receive(
    State((received, mut answers)): State<(Received, watch::Receiver<Answer>)>,
    body: Bytes,
) -> StatusCode {
    received.lock().unwrap().push(ExportTraceServiceRequest::decode(body).unwrap());
    answers.wait_for(Option::is_some).await.unwrap().unwrap()
}

/// The spans of one trace.
pub(crate) struct Trace(Vec<Span>);

impl Trace {
    /// The first span of this name.
    pub(crate) fn span(&self, name: &str) -> &Span {
        self.0.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name}"))
    }

    /// All spans of this name.
    pub(crate) fn spans(&self, name: &str) -> Vec<&Span> {
        self.0.iter().filter(|span| span.name == name).collect()
    }

    /// Whether one span is inside the other, at any depth.
    pub(crate) fn is_inside(&self, inner: &Span, outer: &Span) -> bool {
        let parent = self.0.iter().find(|span| span.span_id == inner.parent_span_id);
        parent
            .is_some_and(|parent| parent.span_id == outer.span_id || self.is_inside(parent, outer))
    }
}
