//! The chart of `docs/performance.md`: bars of ratios, as SVG.

use std::fmt;

use crate::rounds::Rate;

const WIDTH: u64 = 720;
const LABEL_WIDTH: u64 = 200;
const ROW_HEIGHT: u64 = 20;
const HEAD_HEIGHT: u64 = 30;
/// Bars end here: the scale is 100 for the first subject of a group.
const PERCENT_MAX: u64 = 400;

/// Groups of bars, one below the other.
#[derive(Default)]
pub(crate) struct Chart {
    groups: Vec<Group>,
}

struct Group {
    title: String,
    bars: Vec<(&'static str, u64)>,
}

impl Chart {
    /// Adds a group whose first bar is the measure of the others.
    pub(crate) fn group(&mut self, title: &str, rates: &[Rate]) {
        let bars = rates.iter().map(|rate| (rate.name, rate.ratio_percent)).collect();
        self.groups.push(Group { title: title.to_owned(), bars });
    }

    fn height(&self) -> u64 {
        let rows: usize = self.groups.iter().map(|group| group.bars.len()).sum();
        rows as u64 * ROW_HEIGHT + self.groups.len() as u64 * HEAD_HEIGHT + ROW_HEIGHT
    }
}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let height = self.height();
        writeln!(
            f,
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">
<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>"##
        )?;
        let mut y = 0;
        for group in &self.groups {
            y += HEAD_HEIGHT;
            writeln!(
                f,
                r##"<text x="8" y="{}" font-weight="bold">{}</text>"##,
                y - 8,
                group.title
            )?;
            for (number, (name, percent)) in group.bars.iter().enumerate() {
                bar(f, y, name, *percent, number == 0)?;
                y += ROW_HEIGHT;
            }
        }
        writeln!(f, "</svg>")
    }
}

fn bar(
    f: &mut fmt::Formatter<'_>,
    y: u64,
    name: &str,
    percent: u64,
    is_first: bool,
) -> fmt::Result {
    let color = if is_first { "#9aa5b1" } else { "#2f6f9f" };
    let room = WIDTH - LABEL_WIDTH - 60;
    let width = percent.min(PERCENT_MAX) * room / PERCENT_MAX;
    let text_y = y + ROW_HEIGHT - 6;
    let end = LABEL_WIDTH + width + 6;
    writeln!(
        f,
        r##"<text x="{}" y="{text_y}" text-anchor="end">{name}</text>
<rect x="{LABEL_WIDTH}" y="{}" width="{width}" height="{}" fill="{color}"/>
<text x="{end}" y="{text_y}">{}.{:02}</text>"##,
        LABEL_WIDTH - 8,
        y + 2,
        ROW_HEIGHT - 4,
        percent / 100,
        percent % 100,
    )
}
