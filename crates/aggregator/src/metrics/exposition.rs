//! Text formats of `GET /metrics`, and their negotiation.
//!
//! The registry writes OpenMetrics. The format of Prometheus 0.0.4 is derived from that, line by line:
//! it names a counter by its samples (`…_total`), has no `# EOF`, no `# UNIT` and no `unknown`.

use std::fmt::Write as _;

/// A text format for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// The text format of Prometheus, version 0.0.4: every client reads it.
    Text,
    /// OpenMetrics 1.0.0: for clients that ask for it.
    OpenMetrics,
}

impl Exposition {
    /// The value of `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format that `Accept` prefers, given the lines of that header. OpenMetrics only if it is
    /// named; text if nothing fits, as a readable answer is of more use than a 406.
    pub fn negotiate<'a>(accept: impl IntoIterator<Item = &'a str>) -> Self {
        let mut open_metrics = 0;
        // The most specific range that covers the text format decides about it.
        let mut text = (0, 0);
        for range in accept.into_iter().flat_map(|line| line.split(',')).map(Range::parse) {
            let named_text = range.is_version(&["0.0.4"]);
            match &*range.media_type {
                "application/openmetrics-text" if range.is_version(&["1.0.0", "0.0.1"]) => {
                    open_metrics = open_metrics.max(range.weight);
                }
                "text/plain" if named_text => text = text.max((3, range.weight)),
                "text/*" => text = text.max((2, range.weight)),
                "*/*" => text = text.max((1, range.weight)),
                _ => {}
            }
        }
        let (_, text) = text;
        if open_metrics > 0 && open_metrics >= text { Self::OpenMetrics } else { Self::Text }
    }
}

/// One media range of `Accept`.
struct Range {
    media_type: String,
    version: Option<String>,
    /// In thousandths.
    weight: u16,
}

impl Range {
    fn parse(text: &str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
        let mut range = Self { media_type, version: None, weight: WEIGHT_MAX };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim() {
                name if name.eq_ignore_ascii_case("q") => {
                    range.weight = weight(value);
                }
                name if name.eq_ignore_ascii_case("version") => range.version = Some(value.into()),
                _ => {}
            }
        }
        range
    }

    /// Whether it names one of these versions, or none.
    fn is_version(&self, known: &[&str]) -> bool {
        self.version.as_deref().is_none_or(|version| known.contains(&version))
    }
}

/// The largest weight, `q=1`, in thousandths.
const WEIGHT_MAX: u16 = 1_000;

/// A weight in thousandths: `0.5` is 500. An invalid weight is 0.
fn weight(text: &str) -> u16 {
    let weight: f32 = text.parse().unwrap_or(0.0);
    // A cast saturates, and makes 0 of NaN.
    ((weight * f32::from(WEIGHT_MAX)).round() as u16).min(WEIGHT_MAX)
}

/// The text format of Prometheus, from OpenMetrics text without exemplars.
pub(super) fn text_of(open_metrics: &str) -> String {
    let mut page = String::with_capacity(open_metrics.len() + open_metrics.len() / 16);
    // The help of a family comes before its type, and its name depends on the type.
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((family, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                // Written so where OpenMetrics has no room for a counter of this name.
                "unknown" if family.ends_with("_total") => ("", "counter"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            // Writing into a String cannot fail.
            let _ = writeln!(page, "# HELP {family}{suffix} {help}");
            let _ = writeln!(page, "# TYPE {family}{suffix} {kind}");
        } else if !line.starts_with('#') {
            page.push_str(line);
            page.push('\n');
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_decides_the_format() {
        #[track_caller]
        fn check(accept: &[&str], want: Exposition) {
            assert_eq!(Exposition::negotiate(accept.iter().copied()), want, "{accept:?}");
        }
        use Exposition::{OpenMetrics, Text};
        check(&[], Text);
        check(&[""], Text);
        check(&["*/*"], Text);
        check(&["text/html,*/*;q=0.8"], Text);
        check(&["text/plain"], Text);
        check(&["text/plain;version=0.0.4;q=0.5,*/*;q=0.1"], Text);
        check(&["application/*"], Text);
        check(&["application/json"], Text);
        check(&["application/openmetrics-text"], OpenMetrics);
        check(&["Application/OpenMetrics-Text; Version=\"1.0.0\""], OpenMetrics);
        check(&["application/openmetrics-text; version=1.0.0, */*"], OpenMetrics);
        check(&["application/openmetrics-text;version=9.0.0,*/*;q=0.1"], Text);
        check(&["application/openmetrics-text;q=0"], Text);
        check(&["application/openmetrics-text;q=nonsense"], Text);
        check(&["application/openmetrics-text;q=0.3, text/plain;q=0.7"], Text);
        check(&["application/openmetrics-text;q=0.7, text/plain;q=0.3"], OpenMetrics);
        check(&["text/plain;q=0.3", "application/openmetrics-text;q=0.7"], OpenMetrics);
        check(&["application/openmetrics-text;q=0.5,text/plain;q=0.3,*/*;q=0.9"], OpenMetrics);
        // What Prometheus sends.
        check(
            &["application/openmetrics-text;version=1.0.0;q=0.6,\
               application/openmetrics-text;version=0.0.1;q=0.5,\
               text/plain;version=0.0.4;q=0.4,*/*;q=0.1"],
            OpenMetrics,
        );
    }

    #[test]
    fn text_names_counters_by_their_samples() {
        let open_metrics = "# HELP a A.\n# TYPE a counter\na_total{x=\"# EOF\"} 1\n\
                            # HELP b B.\n# TYPE b gauge\n# UNIT b bytes\nb 2\n\
                            # HELP c_total C.\n# TYPE c_total unknown\nc_total 3\n\
                            # HELP d D.\n# TYPE d histogram\nd_sum 1.5\nd_count 2\n\
                            d_bucket{le=\"+Inf\"} 2\n# EOF\n";
        let want = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"# EOF\"} 1\n\
                    # HELP b B.\n# TYPE b gauge\nb 2\n\
                    # HELP c_total C.\n# TYPE c_total counter\nc_total 3\n\
                    # HELP d D.\n# TYPE d histogram\nd_sum 1.5\nd_count 2\n\
                    d_bucket{le=\"+Inf\"} 2\n";
        assert_eq!(text_of(open_metrics), want);
    }
}
