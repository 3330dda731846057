//! The observer for the `metrics` facade, read through a recorder.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use freshset::BoxError;
use freshset::observe::{MetricsObserver, Operation};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use metrics_util::{CompositeKey, MetricKind};

use crate::observe::faults::{Observed, key, load, owner};

/// Where the metrics are documented.
const TABLE: &str = include_str!("../../../src/observe/metrics.rs");

/// Values by metric and labels: a sum, the value of a gauge, or the number of values in a histogram.
fn values(snapshotter: &Snapshotter) -> BTreeMap<String, u64> {
    let number = |value| match value {
        DebugValue::Counter(count) => count,
        DebugValue::Gauge(value) => value.into_inner() as u64,
        DebugValue::Histogram(values) => values.len() as u64,
    };
    let snapshot = snapshotter.snapshot().into_vec();
    snapshot.into_iter().map(|(key, _, _, value)| (shown(&key), number(value))).collect()
}

fn shown(key: &CompositeKey) -> String {
    let labels = key.key().labels().map(|label| format!("{}={}", label.key(), label.value()));
    format!("{} {}", key.key().name(), labels.collect::<Vec<_>>().join(" "))
}

/// Causes every kind of event once.
async fn cause_every_event() {
    let observed = Observed::with(|builder| builder.observer(MetricsObserver::new()));
    observed.read().await;
    observed.read().await;
    observed.cache.invalidate(&owner()).await.unwrap();
    let failing = || async { Err::<Bytes, BoxError>("no database".into()) };
    observed.cache.get_or_load(&owner(), &key(), failing).await.unwrap_err();
    let refused = || async {
        observed.cache.invalidate(&owner()).await?;
        load().await
    };
    observed.cache.get_or_load(&owner(), &key(), refused).await.unwrap();
    observed.backend.fail(Operation::Read);
    observed.read().await;
    observed.backend.fail(Operation::Invalidate);
    observed.cache.invalidate(&owner()).await.unwrap_err();
}

#[tokio::test]
async fn every_event_is_counted() {
    let recorder = DebuggingRecorder::new();
    let _installed = metrics::set_default_local_recorder(&recorder);
    cause_every_event().await;
    let expected = [
        ("freshset_backend_errors_total cache=lists operation=invalidate error=timeout", 1),
        ("freshset_backend_errors_total cache=lists operation=read error=timeout", 1),
        ("freshset_entry_bytes cache=lists", 1),
        ("freshset_fill_duration_seconds cache=lists result=refused", 1),
        ("freshset_fill_duration_seconds cache=lists result=stored", 1),
        ("freshset_fills_total cache=lists owner_kind=user result=refused", 1),
        ("freshset_fills_total cache=lists owner_kind=user result=stored", 1),
        ("freshset_invalidated_entries_total cache=lists owner_kind=user", 1),
        ("freshset_invalidation_duration_seconds cache=lists result=confirmed", 2),
        ("freshset_invalidation_duration_seconds cache=lists result=unconfirmed", 1),
        (
            "freshset_invalidations_total cache=lists owner_kind=user result=confirmed \
             repetition=false",
            2,
        ),
        (
            "freshset_invalidations_total cache=lists owner_kind=user result=unconfirmed \
             repetition=false",
            1,
        ),
        ("freshset_load_duration_seconds cache=lists result=failed", 1),
        ("freshset_load_duration_seconds cache=lists result=loaded", 3),
        ("freshset_loads_total cache=lists owner_kind=user result=failed", 1),
        ("freshset_loads_total cache=lists owner_kind=user result=loaded", 3),
        ("freshset_read_duration_seconds cache=lists source=bypass", 1),
        ("freshset_read_duration_seconds cache=lists source=failed", 1),
        ("freshset_read_duration_seconds cache=lists source=hit", 1),
        ("freshset_read_duration_seconds cache=lists source=loaded", 2),
        ("freshset_reads_total cache=lists owner_kind=user source=bypass", 1),
        ("freshset_reads_total cache=lists owner_kind=user source=failed", 1),
        ("freshset_reads_total cache=lists owner_kind=user source=hit", 1),
        ("freshset_reads_total cache=lists owner_kind=user source=loaded", 2),
        ("freshset_unconfirmed_owners cache=lists", 1),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(values(&recorder.snapshotter()), BTreeMap::from(expected));
}

#[tokio::test]
async fn every_metric_is_described_with_its_unit_and_in_the_table() {
    let recorder = DebuggingRecorder::new();
    let _installed = metrics::set_default_local_recorder(&recorder);
    cause_every_event().await;
    let mut names = BTreeSet::new();
    for (key, unit, help, _) in recorder.snapshotter().snapshot().into_vec() {
        let name = key.key().name().to_owned();
        assert!(help.is_some(), "{name}");
        let unit = unit.map(|unit| unit.as_str()).unwrap_or_default();
        let suffix = match key.kind() {
            MetricKind::Counter => "total",
            MetricKind::Gauge => "owners",
            MetricKind::Histogram => unit,
        };
        assert!(!unit.is_empty() && name.ends_with(&format!("_{suffix}")), "{name} in {unit}");
        names.insert(name);
    }
    let rows = TABLE.lines().filter_map(|line| line.strip_prefix("/// | `")?.split('`').next());
    assert_eq!(names, rows.map(ToOwned::to_owned).collect());
}
