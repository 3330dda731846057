//! Tables in Markdown that are readable as plain text too, and the numbers in them.

use std::fmt;
use std::time::Duration;

/// A table whose first column is text and whose other columns are figures.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(head: [&str; N]) -> Self {
        Self { rows: vec![head.map(str::to_owned).to_vec()] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    fn width(&self, column: usize) -> usize {
        // The line under the head needs three characters.
        self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows[0].len();
        let widths: Vec<usize> = (0..columns).map(|column| self.width(column)).collect();
        for (line, row) in self.rows.iter().enumerate() {
            write!(f, "| {:<1$}", row[0], widths[0])?;
            for (cell, width) in row.iter().zip(&widths).skip(1) {
                write!(f, " | {cell:>width$}")?;
            }
            writeln!(f, " |")?;
            if line == 0 {
                write!(f, "|{:-<1$}", "", widths[0] + 2)?;
                for width in &widths[1..] {
                    write!(f, "|{:->1$}", ":", width + 2)?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// Prints one block between its markers.
pub(crate) fn block(name: &str, content: &dyn fmt::Display) {
    let content = content.to_string();
    println!("<!-- measured:{name} -->\n\n{}\n\n<!-- /measured -->\n", content.trim_end());
}

/// Prints progress to standard error.
pub(crate) fn progress(text: &str) {
    eprintln!("measure: {text}");
}

/// Three digits and a unit.
pub(crate) fn time(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        ..1000.0 => format!("{micros:.0} µs"),
        ..10_000.0 => format!("{:.1} ms", micros / 1e3),
        _ => format!("{} ms", grouped((micros / 1e3).round() as u64)),
    }
}

/// The first divided by the second.
pub(crate) fn ratio(more: Duration, less: Duration) -> String {
    let ratio = more.as_secs_f64() / less.as_secs_f64().max(1e-6);
    if ratio < 10.0 { format!("{ratio:.1} ×") } else { format!("{} ×", grouped(ratio as u64)) }
}

/// A number with a comma between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The middle one of an odd number of figures.
pub(crate) fn median<T: Copy + Ord>(figures: impl IntoIterator<Item = T>) -> Option<T> {
    let mut figures: Vec<T> = figures.into_iter().collect();
    figures.sort_unstable();
    figures.get(figures.len() / 2).copied()
}
