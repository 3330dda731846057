//! Dead letters as text: many in a table, one with all its fields.

use std::fmt::Write as _;

use api_types::{DeadLetter, DeadLetterSummary, Header};
use console::truncate_str;

use super::picture::{Look, picture};
use crate::printable::printable;

/// Longest value of a key or header that is shown, in bytes; `show --json` shows all of it.
const VALUE_BYTES_MAX: usize = 200;

/// All fields of a dead letter, then a picture of its bytes.
///
/// # Errors
///
/// If its bytes are not in hexadecimal.
pub fn show(dead_letter: &DeadLetter, look: Look) -> anyhow::Result<String> {
    let summary = &dead_letter.summary;
    let mut text = format!("dead letter {}\n\n", summary.id);
    let mut field = |name: &str, value: &str| {
        // Writing into a String cannot fail.
        writeln!(text, "  {name:<9}{value}").unwrap_or_default();
    };
    field("code", &printable(&summary.code));
    field("detail", &printable(&summary.detail));
    field("refused", &printable(&summary.refused_at));
    field("received", &printable(&summary.received_at));
    field("from", &origin(summary));
    field("size", &format!("{} bytes", summary.size_bytes));
    if let Some(key) = &dead_letter.key_hex {
        field("key", &value(key)?);
    }
    for Header { name, value_hex } in &dead_letter.headers {
        field("header", &format!("{}: {}", printable(name), value(value_hex)?));
    }
    writeln!(text, "\n{}\n", today(dead_letter))?;
    let place = dead_letter.place.map(|place| place.start..place.end);
    text.push_str(&picture(&hex::decode(&dead_letter.bytes_hex)?, place, look));
    Ok(text)
}

/// Whether a replay can succeed, as far as the bytes show.
fn today(dead_letter: &DeadLetter) -> String {
    let DeadLetterSummary { id, code, detail, .. } = &dead_letter.summary;
    match &dead_letter.refused_today {
        None => format!("Its bytes can be read; after the fix: dead-letters replay {id}"),
        Some(reason) if reason.code == *code && reason.detail == *detail => {
            "Its bytes are still refused for this.".to_owned()
        }
        Some(reason) => {
            format!(
                "Its bytes are refused for another reason now:\n{}",
                printable(&reason.to_string())
            )
        }
    }
}

/// Where a record came from, on one line.
fn origin(summary: &DeadLetterSummary) -> String {
    match summary {
        DeadLetterSummary {
            topic: Some(topic),
            partition: Some(partition),
            offset: Some(offset),
            ..
        } => {
            format!("{} {}/{partition}@{offset}", printable(&summary.source), printable(topic))
        }
        _ => printable(&summary.source),
    }
}

/// A key or the value of a header: as text if it is UTF-8, else in hexadecimal.
fn value(hex: &str) -> anyhow::Result<String> {
    let bytes = hex::decode(hex)?;
    let shown = &bytes[..bytes.len().min(VALUE_BYTES_MAX)];
    let rest = match bytes.len() - shown.len() {
        0 => String::new(),
        more => format!(" … and {more} bytes more"),
    };
    // A text that is cut within a character is still a text up to there.
    let text = match std::str::from_utf8(shown) {
        Ok(text) => printable(text),
        Err(error) if error.error_len().is_none() && !rest.is_empty() => {
            printable(&String::from_utf8_lossy(&shown[..error.valid_up_to()]))
        }
        Err(_) => format!("0x{}", hex::encode(shown)),
    };
    Ok(text + &rest)
}

/// Dead letters, one per line and at most `width` columns wide.
pub(super) fn table(dead_letters: &[DeadLetterSummary], width: Option<usize>) -> String {
    let rows: Vec<_> = dead_letters.iter().map(row).collect();
    let widths: [usize; 5] = std::array::from_fn(|column| {
        rows.iter().map(|row| console::measure_text_width(&row[column])).max().unwrap_or(0)
    });
    let mut table = String::new();
    for [id, refused_at, code, origin, size, detail] in rows {
        let cells = [
            console::pad_str(&id, widths[0], console::Alignment::Right, None),
            console::pad_str(&refused_at, widths[1], console::Alignment::Left, None),
            console::pad_str(&code, widths[2], console::Alignment::Left, None),
            console::pad_str(&origin, widths[3], console::Alignment::Left, None),
            console::pad_str(&size, widths[4], console::Alignment::Right, None),
            detail.into(),
        ];
        let line = cells.join("  ");
        table
            .push_str(&width.map_or(line.as_str().into(), |width| truncate_str(&line, width, "…")));
        table.push('\n');
    }
    table
}

/// A time without its fraction; records of one second differ by their ids.
fn to_the_second(time: &str) -> String {
    let (seconds, _) = time.split_once('.').unwrap_or((time.trim_end_matches('Z'), ""));
    printable(seconds) + "Z"
}

fn row(dead_letter: &DeadLetterSummary) -> [String; 6] {
    [
        dead_letter.id.to_string(),
        to_the_second(&dead_letter.refused_at),
        printable(&dead_letter.code),
        origin(dead_letter),
        format!("{} B", dead_letter.size_bytes),
        printable(&dead_letter.detail),
    ]
}
