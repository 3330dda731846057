//! Spans of the records of one group, for traces.

use projection::{Refusal, TraceParent};
use tracing::Span;

use super::record::Record;
use crate::apply::{ApplyOutcome, Delivery};
use crate::metrics::NO_TOPIC;
use crate::traces;

/// A span for each record, from its decoding until the whole group is applied. The work for the group is
/// in the first of them; the others have a link to it.
pub(super) struct RecordSpans(Vec<Span>);

impl RecordSpans {
    /// Begins them inside the operations that sent the records. Events go on with the position of their
    /// span, or of their sender while spans are disabled.
    pub(super) fn begin(records: &[Record], decoded: &mut [Result<Delivery, Refusal>]) -> Self {
        let spans = records.iter().zip(decoded).map(|(record, decoded)| {
            let mut event = decoded.as_mut().ok().map(|delivery| &mut delivery.event);
            let in_envelope = event.as_ref().and_then(|event| event.trace_parent);
            let sender = in_headers(record).or(in_envelope);
            let topic = event.as_ref().map_or(NO_TOPIC, |event| event.kind.topic());
            let span = traces::process(topic, record.offset(), record.bytes.len(), sender);
            if let Some(event) = &mut event {
                event.trace_parent = traces::position(&span).or(sender);
            }
            span
        });
        let spans: Vec<_> = spans.collect();
        if let [work, others @ ..] = spans.as_slice() {
            traces::link(others, work);
        }
        Self(spans)
    }

    /// The span in which the work is.
    pub(super) fn of_work(&self) -> Span {
        self.0.first().cloned().unwrap_or_else(Span::none)
    }

    /// Ends them.
    pub(super) fn end<'a>(self, outcomes: impl Iterator<Item = &'a ApplyOutcome>) {
        for (span, outcome) in self.0.iter().zip(outcomes) {
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
