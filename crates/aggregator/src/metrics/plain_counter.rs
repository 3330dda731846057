//! A counter under exactly the name that it is registered with.
//!
//! In OpenMetrics a counter `x` has samples `x_total`, and takes the family name `x` with it. Where `x`
//! is a gauge, the counter beside it is written as a family `x_total` of unknown type, so that the
//! names of the samples are the same in both formats.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// A counter whose name is not changed by the format. Clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct PlainCounter(Arc<AtomicU64>);

impl PlainCounter {
    /// Counts one more.
    pub(super) fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl TypedMetric for PlainCounter {
    const TYPE: MetricType = MetricType::Unknown;
}

impl EncodeMetric for PlainCounter {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        // A gauge's sample has the bare name.
        encoder.encode_gauge(&self.0.load(Ordering::Relaxed))
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
