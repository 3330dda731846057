//! Pictures of the bytes around an error: the line of text, and the bytes in hexadecimal.
//!
//! Only what is near the error is drawn, however long the record or the range is.

use std::fmt::Write as _;
use std::ops::Range;

use console::{Style, measure_text_width};

use crate::printable::push_printable;

/// Whether marks are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// For a terminal.
    Coloured,
    /// For anything else.
    Plain,
}

/// Columns of text in a line: with the number before it, it fits a narrow terminal.
const TEXT_COLUMNS: usize = 72;
/// Bytes of a long line that are shown before the error, if it has more.
const TEXT_BEFORE_BYTES: usize = 36;
/// Lines of text shown before and after the one with the error.
const TEXT_LINES_BEFORE: usize = 2;
const TEXT_LINES_AFTER: usize = 1;
/// Lines of text shown after the first one if no range is marked.
const TEXT_LINES_UNMARKED: usize = 5;
/// Bytes in a line of the dump.
const DUMP_LINE_BYTES: usize = 16;
/// Lines of the dump before and after those with the range.
const DUMP_LINES_AROUND: usize = 2;
/// Most lines of the dump with bytes of the range.
const DUMP_LINES_OF_RANGE: usize = 4;

/// Draws the bytes around `range`, which is marked; or the first ones, if there is no range.
///
/// A range outside of `bytes` is clamped. The picture has only printable characters, its own line ends
/// and its own colours.
pub fn picture(bytes: &[u8], range: Option<Range<usize>>, look: Look) -> String {
    let start = range.as_ref().map_or(0, |range| range.start.min(bytes.len()));
    let end = range.as_ref().map_or(start, |range| range.end.clamp(start, bytes.len()));
    let canvas = Canvas { bytes, range: start..end, is_marked: range.is_some(), look };
    let mut picture = String::new();
    // Writing into a String cannot fail.
    if let Ok(text) = std::str::from_utf8(bytes) {
        canvas.draw_text(text, &mut picture).unwrap_or_default();
    }
    canvas.draw_dump(&mut picture).unwrap_or_default();
    picture
}

struct Canvas<'a> {
    bytes: &'a [u8],
    range: Range<usize>,
    is_marked: bool,
    look: Look,
}

impl Canvas<'_> {
    /// The line in which the range begins, or as much of it as fits, with carets below it and some
    /// lines around it.
    fn draw_text(&self, text: &str, picture: &mut String) -> std::fmt::Result {
        let (before, rest) = text.split_at(text.floor_char_boundary(self.range.start));
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let line_end = rest.find('\n').map_or(text.len(), |length| before.len() + length);
        let number = before.matches('\n').count() + 1;

        if self.is_marked {
            let column = before[line_start..].chars().count() + 1;
            writeln!(picture, "line {number}, column {column}:")?;
        }
        let after = if self.is_marked { TEXT_LINES_AFTER } else { TEXT_LINES_UNMARKED };
        let width = (number + after).to_string().len();
        let earlier: Vec<_> = text[..line_start].lines().rev().take(TEXT_LINES_BEFORE).collect();
        for (back, line) in (1..=earlier.len()).rev().zip(earlier.iter().rev()) {
            writeln!(picture, "  {:width$} | {}", number - back, self.plain(line))?;
        }
        let line = self.line_with_marks(text, line_start, line_end);
        writeln!(picture, "  {number:width$} | {}", line.text)?;
        if self.is_marked {
            writeln!(picture, "  {:width$} | {}", "", line.carets())?;
        }
        for (ahead, line) in (1..=after).zip(text[line_end..].lines().skip(1)) {
            writeln!(picture, "  {:width$} | {}", number + ahead, self.plain(line))?;
        }
        writeln!(picture)
    }

    fn plain(&self, line: &str) -> String {
        let mut drawn = Marked::new(self.look);
        drawn.push_cut(line, |_| false);
        drawn.text
    }

    fn line_with_marks(&self, text: &str, line_start: usize, line_end: usize) -> Marked {
        let start = self.range.start;
        let from =
            text.floor_char_boundary(start.saturating_sub(TEXT_BEFORE_BYTES).max(line_start));
        let mut line = Marked::new(self.look);
        line.push(if from > line_start { "…" } else { "" }, false);
        // A line end is shown only if it is at fault itself.
        let end = if start == line_end { text.len().min(line_end + 1) } else { line_end };
        line.push_cut(&text[from..end], |at| self.has(from + at));
        if self.is_at_end() {
            line.mark_next();
        }
        line
    }

    /// Some lines of bytes around the beginning of the range, with carets below those in it.
    fn draw_dump(&self, picture: &mut String) -> std::fmt::Result {
        let Range { start, end } = self.range;
        let first = (start / DUMP_LINE_BYTES).saturating_sub(DUMP_LINES_AROUND);
        let last_of_range = end.saturating_sub(1).max(start) / DUMP_LINE_BYTES;
        let last_marked = last_of_range.min(start / DUMP_LINE_BYTES + DUMP_LINES_OF_RANGE - 1);
        let lines = self.bytes.len().div_ceil(DUMP_LINE_BYTES).max(last_marked + 1);

        let total = self.bytes.len();
        match end - start {
            _ if !self.is_marked => writeln!(picture, "the first of {total} bytes:")?,
            0 => writeln!(picture, "behind the last of {total} bytes:")?,
            1 => writeln!(picture, "byte {start} of {total}:")?,
            _ => writeln!(picture, "bytes {start} to {} of {total}:", end - 1)?,
        }
        for number in first..lines.min(last_marked + DUMP_LINES_AROUND + 1) {
            if number > last_marked && last_of_range > last_marked {
                writeln!(picture, "  …         and on to byte {}", end - 1)?;
                break;
            }
            self.draw_dump_line(number * DUMP_LINE_BYTES, picture)?;
        }
        Ok(())
    }

    fn draw_dump_line(&self, offset: usize, picture: &mut String) -> std::fmt::Result {
        let mut digits = Marked::new(self.look);
        let mut characters = Marked::new(self.look);
        for at in offset..offset + DUMP_LINE_BYTES {
            let is_marked = self.has(at) || (self.is_at_end() && at == self.range.start);
            match self.bytes.get(at) {
                Some(byte) => {
                    digits.push(&format!("{byte:02x}"), is_marked);
                    let is_visible = byte.is_ascii_graphic() || *byte == b' ';
                    let visible = if is_visible { char::from(*byte) } else { '.' };
                    characters.push(visible.encode_utf8(&mut [0; 4]), is_marked);
                }
                None => {
                    digits.push_blank("  ", is_marked);
                    characters.push_blank(" ", is_marked);
                }
            }
            let is_middle = at + 1 == offset + DUMP_LINE_BYTES / 2;
            digits.push(if is_middle { "  " } else { " " }, false);
        }
        writeln!(picture, "  {offset:08x}  {} |{}|", digits.text, characters.text)?;
        if digits.is_marked {
            let carets = format!("{:12}{}  {}", "", digits.marks, characters.marks);
            writeln!(picture, "{}", self.look.mark(carets.trim_end()))?;
        }
        Ok(())
    }

    fn has(&self, at: usize) -> bool {
        self.range.contains(&at)
    }

    /// Whether the fault is that there is nothing more.
    fn is_at_end(&self) -> bool {
        self.is_marked && self.range.is_empty() && self.range.start == self.bytes.len()
    }
}

/// A line, and the marks below it.
struct Marked {
    text: String,
    marks: String,
    columns: usize,
    is_marked: bool,
    look: Look,
}

impl Marked {
    fn new(look: Look) -> Self {
        Self { text: String::new(), marks: String::new(), columns: 0, is_marked: false, look }
    }

    /// Characters of a text, safe to print, until the line is full.
    fn push_cut(&mut self, text: &str, is_marked: impl Fn(usize) -> bool) {
        for (at, character) in text.char_indices() {
            if self.columns >= TEXT_COLUMNS {
                return self.push("…", false);
            }
            let mut cell = String::new();
            push_printable(&mut cell, character);
            self.push(&cell, is_marked(at));
        }
    }

    fn push(&mut self, cell: &str, is_marked: bool) {
        let width = measure_text_width(cell);
        self.columns += width;
        self.is_marked |= is_marked;
        if is_marked {
            self.text.push_str(&self.look.mark(cell));
        } else {
            self.text.push_str(cell);
        }
        self.marks.extend(std::iter::repeat_n(if is_marked { '^' } else { ' ' }, width));
    }

    /// An empty cell, which may be marked: the fault may be that a byte is missing.
    fn push_blank(&mut self, cell: &str, is_marked: bool) {
        self.text.push_str(cell);
        self.is_marked |= is_marked;
        self.marks.extend(std::iter::repeat_n(if is_marked { '^' } else { ' ' }, cell.len()));
    }

    fn mark_next(&mut self) {
        self.marks.push('^');
    }

    fn carets(&self) -> String {
        self.look.mark(self.marks.trim_end()).to_string()
    }
}

impl Look {
    fn mark(self, text: &str) -> String {
        let style = Style::new().red().bold();
        style.force_styling(self == Self::Coloured).apply_to(text).to_string()
    }
}
