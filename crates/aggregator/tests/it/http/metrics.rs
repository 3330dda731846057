//! `GET /metrics`: both formats, read as strictly as their readers do.

use std::collections::{BTreeMap, BTreeSet};

use crate::http::app::App;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[tokio::test]
async fn metrics_are_text_unless_openmetrics_is_accepted() {
    let app = App::new();
    let page = app.get("/metrics").await;
    assert_eq!(page.header("content-type"), TEXT);
    assert!(page.headers.get_all("vary").iter().any(|value| value == "accept"));
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
                      text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    for (accept, want) in [
        ("*/*", TEXT),
        ("application/json", TEXT),
        ("text/plain", TEXT),
        ("application/openmetrics-text; version=1.0.0", OPEN_METRICS),
        (prometheus, OPEN_METRICS),
    ] {
        let page = app.get_with("/metrics", "Accept", accept).await;
        assert_eq!(page.header("content-type"), want, "{accept}");
        let is_open_metrics = page.body.ends_with(b"\n# EOF\n");
        assert_eq!(is_open_metrics, want == OPEN_METRICS, "{accept}");
    }
}

#[tokio::test]
async fn every_sample_has_its_family_in_both_formats() {
    let app = App::new();
    app.repository.register("batch", "teacher", 1);
    app.get("/internal/v1/batches/user/teacher").await;
    let text = Page::read(&body(&app, "*/*").await, "_total");
    let open_metrics = body(&app, "application/openmetrics-text").await;
    let open_metrics = open_metrics.strip_suffix("# EOF\n").unwrap();
    let open_metrics = Page::read(open_metrics, "");
    // But for the time that the requests took, both say the same.
    let names = |page: &Page| page.samples.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&text), names(&open_metrics));

    assert_eq!(text.kinds["ras_dead_letters"], "gauge");
    assert_eq!(text.kinds["ras_dead_letters_total"], "counter");
    assert_eq!(open_metrics.kinds["ras_dead_letters"], "gauge");
    assert_eq!(open_metrics.kinds["ras_dead_letters_total"], "unknown");
    assert_eq!(open_metrics.kinds["ras_api_requests"], "counter");
}

/// A rate over a counter that appears with its first event misses that event.
#[tokio::test]
async fn every_counter_starts_at_0() {
    let page = Page::read(&body(&App::new(), "*/*").await, "_total");
    let with_samples = |family: &str| {
        let one = |name: &&String| name.split('{').next() == Some(family);
        page.samples.keys().filter(one).count()
    };
    let counters = page.kinds.iter().filter(|(_, kind)| *kind == "counter");
    let empty: Vec<_> = counters.filter(|(family, _)| with_samples(family) == 0).collect();
    assert_eq!(empty, [], "families without a sample");
    for series in [
        r#"ras_api_requests_total{endpoint="/internal/v1/events",method="POST",status_code="503"}"#,
        r#"ras_cache_hits_total{cache_type="user_batches"}"#,
        r#"ras_cache_misses_total{cache_type="batch_status"}"#,
        r#"ras_cache_bypasses_total{cache_type="user_batches",reason="store_away"}"#,
        r#"ras_cache_refused_fills_total{cache_type="batch_status"}"#,
        r#"ras_invalid_messages_total{topic="unknown",error_type="not_json"}"#,
        "ras_consumer_errors_total",
        "ras_dead_letters",
    ] {
        assert_eq!(page.samples.get(series), Some(&0.0), "{series}");
    }
    let counted = page.samples.iter().filter(|(name, _)| name.contains("_total"));
    let counted: Vec<_> = counted.filter(|(_, value)| **value != 0.0).collect();
    assert_eq!(counted, []);
}

async fn body(app: &App, accept: &str) -> String {
    let page = app.get_with("/metrics", "Accept", accept).await;
    String::from_utf8(page.body.to_vec()).unwrap()
}

/// A page of metrics.
struct Page {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

impl Page {
    /// Reads a page in which a counter's family has this suffix. Refuses what no reader takes.
    fn read(page: &str, counter_suffix: &str) -> Self {
        assert!(page.ends_with('\n'));
        let mut read = Self { kinds: BTreeMap::new(), samples: BTreeMap::new() };
        let (mut helped, mut family, mut kind) = (String::new(), String::new(), String::new());
        for line in page.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                helped = help.split_once(' ').unwrap().0.to_owned();
            } else if let Some(described) = line.strip_prefix("# TYPE ") {
                let (name, what) = described.split_once(' ').unwrap();
                assert_eq!(helped, name, "help and type are of one family");
                (family, kind) = (name.to_owned(), what.to_owned());
                assert!(kind != "counter" || name.ends_with(counter_suffix), "{line}");
                let known = read.kinds.insert(family.clone(), kind.clone());
                assert_eq!(known, None, "two families of one name: {name}");
            } else {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let bare = name.split('{').next().unwrap();
                let suffix = bare.strip_prefix(&*family).unwrap_or_else(|| panic!("{line}"));
                let suffixes: &[&str] = match &*kind {
                    "counter" if counter_suffix.is_empty() => &["_total"],
                    "histogram" => &["_bucket", "_sum", "_count"],
                    "counter" | "gauge" | "unknown" => &[""],
                    _ => panic!("{line}"),
                };
                assert!(suffixes.contains(&suffix), "{line}");
                let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
                assert_eq!(read.samples.insert(name.to_owned(), value), None, "twice: {line}");
            }
        }
        read
    }
}
