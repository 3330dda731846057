//! Spans of the records of one group, for traces.

use projection::{EventKind, Refusal, TraceParent};
use tracing::Span;

use super::record::Record;
use crate::apply::{ApplyOutcome, Delivery};
use crate::metrics::NO_TOPIC;
use crate::traces;

/// A span for each record, until the whole group is applied. The work for the group is in the first of
/// them that is sent; the others have a link to it.
pub(super) struct RecordSpans {
    spans: Vec<Span>,
    work: Span,
}

impl RecordSpans {
    /// Begins them inside the operations that sent the records. Events go on with the position of their
    /// span, or of their sender while spans are disabled.
    pub(super) fn begin(records: &[Record], decoded: &mut [Result<Delivery, Refusal>]) -> Self {
        let spans = records.iter().zip(decoded).map(|(record, decoded)| {
            let mut event = decoded.as_mut().ok().map(|delivery| &mut delivery.event);
            let in_envelope = event.as_ref().and_then(|event| event.trace_parent);
            let sender = in_headers(record).or(in_envelope);
            let kind = event.as_ref().map(|event| event.kind).or_else(|| record.topic_kind());
            let topic = kind.map_or(NO_TOPIC, EventKind::topic);
            let span = traces::process(topic, record.offset(), record.bytes.len(), sender);
            if let Some(event) = &mut event {
                event.trace_parent = traces::position(&span).or(sender);
            }
            span
        });
        let spans: Vec<_> = spans.collect();
        let is_sent = |span: &&Span| traces::is_sampled(span);
        let work = spans.iter().find(is_sent).or(spans.first()).cloned();
        let work = work.unwrap_or_else(Span::none);
        traces::link(&spans, &work);
        Self { spans, work }
    }

    /// The span in which the work is.
    pub(super) fn of_work(&self) -> Span {
        self.work.clone()
    }

    /// Ends them before the records were applied.
    pub(super) fn stop(self) {
        for span in &self.spans {
            traces::failed(span, "stopped");
        }
    }

    /// Ends them.
    pub(super) fn end<'a>(self, outcomes: impl Iterator<Item = &'a ApplyOutcome>) {
        for (span, outcome) in self.spans.iter().zip(outcomes) {
            if let ApplyOutcome::Refused(refusal) = outcome {
                traces::failed(span, refusal.code.as_str());
            }
        }
    }
}

/// The sender of a Kafka record, if a header names it.
fn in_headers(record: &Record) -> Option<TraceParent> {
    let headers = &record.kafka_address()?.headers;
    let (_, value) = headers.iter().find(|(name, _)| name == TraceParent::NAME)?;
    TraceParent::parse(std::str::from_utf8(value).ok()?)
}
