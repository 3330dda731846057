//! `docs/metrics.md` and `monitoring/` name the metrics of a running service, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::support::service::ServiceBuilder;

/// Type and labels of a metric.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

const PREFIX: &str = "ras_";
/// Gauges that are not there from the start, with their labels: of each partition that is consumed, once its lag
/// is known (a test in `redis_outage.rs` reads it), and of each finding, once it is reported (`readiness.rs`).
const LATER_GAUGES: [(&str, [&str; 2]); 2] =
    [("ras_consumer_lag_records", ["partition", "topic"]), ("ras_findings", ["code", "component"])];

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The page of a service that has only just started.
async fn exposition() -> String {
    let directory = tempfile::tempdir().unwrap();
    let service = ServiceBuilder::embedded(directory.path()).start().await;
    service.client.get("/metrics").await.unwrap().text().await.unwrap()
}

/// `name{label="value",…} 0`, as the name and the names of the labels.
fn sample(line: &str) -> (&str, BTreeSet<String>) {
    let (series, _) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels.trim_end_matches('}').split("\",");
    let labels =
        labels.filter_map(|label| label.split_once("=\"")).map(|(name, _)| name.to_owned());
    (name, labels.filter(|name| name != "le").collect())
}

fn families(page: &str) -> Families {
    let kinds = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut families: Families = kinds
        .filter_map(|line| line.split_once(' '))
        .map(|(name, kind)| (name.to_owned(), (kind.to_owned(), BTreeSet::new())))
        .collect();
    for (name, labels) in page.lines().filter(|line| !line.starts_with('#')).map(sample) {
        let of_histogram = ["_bucket", "_sum", "_count"].map(|end| name.strip_suffix(end));
        for name in [Some(name)].into_iter().chain(of_histogram).flatten() {
            if let Some((_, known)) = families.get_mut(name) {
                known.extend(labels.clone());
            }
        }
    }
    families
}

/// The rows of the tables: `| name | type, labels | unit | meaning | alert when |`.
fn documented(text: &str) -> Families {
    let mut families = Families::new();
    for line in text.lines().filter(|line| line.starts_with("| `ras_")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, kind, unit, meaning, _, _] = cells[..] else { panic!("cells of {line}") };
        assert!(!unit.is_empty() && !meaning.is_empty(), "{line}");
        let (kind, labels) = kind.split_once(", ").unwrap_or((kind, ""));
        let labels = labels.split(", ").map(|label| label.trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        let name = name.trim_matches('`').to_owned();
        let earlier = families.insert(name, (kind.to_owned(), labels));
        assert!(earlier.is_none(), "twice: {line}");
    }
    families
}

/// Every name in a text that begins as those of the metrics do.
fn names_in(text: &str) -> BTreeSet<&str> {
    let starts = text.match_indices(PREFIX).map(|(at, _)| &text[at..]);
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    starts.map(|rest| &rest[..rest.find(|c| !is_in_name(c)).unwrap_or(rest.len())]).collect()
}

#[tokio::test]
async fn every_metric_is_documented_with_its_type_and_labels() {
    let mut served = families(&exposition().await);
    for (name, labels) in LATER_GAUGES {
        served.insert(name.to_owned(), ("gauge".to_owned(), labels.map(str::to_owned).into()));
    }
    let documented = documented(&read("docs/metrics.md"));
    for (name, family) in &served {
        assert_eq!(
            documented.get(name),
            Some(family),
            "{name} as it is served, in docs/metrics.md"
        );
    }
    let served: BTreeSet<_> = served.keys().collect();
    let unknown: Vec<_> = documented.keys().filter(|name| !served.contains(name)).collect();
    assert!(unknown.is_empty(), "documented and not served: {unknown:?}");
}

#[tokio::test]
async fn dashboard_and_alerts_name_series_that_are_there_from_the_start() {
    let page = exposition().await;
    let samples: BTreeSet<_> =
        page.lines().filter(|line| !line.starts_with('#')).map(|line| sample(line).0).collect();
    for path in
        ["monitoring/alerts.yaml", "monitoring/alerts.test.yaml", "monitoring/dashboard.json"]
    {
        let text = read(path);
        let mut named = names_in(&text);
        for (name, _) in LATER_GAUGES {
            named.remove(name);
        }
        let unknown: Vec<_> = named.difference(&samples).collect();
        assert!(unknown.is_empty(), "{path} names series that do not exist: {unknown:?}");
        assert!(named.len() > 10, "{path} names only {named:?}");
    }
    // Each alert of the documentation is there, and the other way round.
    let alerts = read("monitoring/alerts.yaml");
    let defined: BTreeSet<_> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let text = read("docs/metrics.md");
    let documented: BTreeSet<_> = text.split('`').filter(|word| word.starts_with("Ras")).collect();
    assert_eq!(documented, defined);
}

#[test]
fn dashboard_is_json_with_expressions() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("monitoring/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    for target in targets {
        assert!(target["expr"].as_str().unwrap().contains(PREFIX), "{target}");
    }
}
