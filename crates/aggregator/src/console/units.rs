//! Numbers as people read them.

/// A count, with spaces between thousands.
pub(super) fn count(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// How often in a second.
pub(super) fn rate(rate: Option<f64>) -> String {
    match rate {
        None => "–".to_owned(),
        Some(0.0) => "0/s".to_owned(),
        Some(rate) if rate < 0.1 => "< 0.1/s".to_owned(),
        Some(rate) if rate < 10.0 => format!("{rate:.1}/s"),
        Some(rate) => format!("{}/s", count(rate)),
    }
}

/// A duration in its largest fitting unit.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        infinite if infinite.is_infinite() => "longer".to_owned(),
        short if short < 1.0 => format!("{} ms", trimmed(short * 1_000.0)),
        short if short < 120.0 => format!("{} s", trimmed(short)),
        medium if medium < 7_200.0 => format!("{} min", trimmed(medium / 60.0)),
        long if long < 172_800.0 => format!("{} h", trimmed(long / 3_600.0)),
        days => format!("{} d", trimmed(days / 86_400.0)),
    }
}

/// A time to the second; the whole one is in the attribute beside it.
pub(super) fn time(at: impl std::fmt::Display) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..19)) {
        (Some(date), Some(time)) => format!("{date} {time} UTC"),
        _ => text,
    }
}

/// Bytes in their largest fitting unit.
pub(super) fn bytes(bytes: f64) -> String {
    match bytes {
        few if few < 1_024.0 => format!("{few:.0} B"),
        kilo if kilo < 1_048_576.0 => format!("{} KiB", trimmed(kilo / 1_024.0)),
        mega => format!("{} MiB", trimmed(mega / 1_048_576.0)),
    }
}

/// At most one decimal.
fn trimmed(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_unit_that_fits() {
        assert_eq!([0.0, 999.0, 12_345_678.0].map(count), ["0", "999", "12\u{202f}345\u{202f}678"]);
        let rates = [None, Some(0.0), Some(0.01), Some(2.34), Some(12_345.6)].map(rate);
        assert_eq!(rates, ["–", "0/s", "< 0.1/s", "2.3/s", "12\u{202f}346/s"]);
        let times = [0.0025, 0.5, 30.0, 600.0, 86_400.0, 864_000.0, f64::INFINITY].map(seconds);
        assert_eq!(times, ["2.5 ms", "500 ms", "30 s", "10 min", "24 h", "10 d", "longer"]);
        assert_eq!(time("2026-11-26T21:41:10.112021Z"), "2026-11-26 21:41:10 UTC");
        assert_eq!([12.0, 1_536.0, 5_242_880.0].map(bytes), ["12 B", "1.5 KiB", "5 MiB"]);
    }
}
