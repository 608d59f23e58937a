//! Tables that fit: columns that give way on a narrow terminal, cells measured in what is seen.

use std::io::{self, Write};

use anstyle::Style;

use super::text::{one_line, truncate, truncate_front, width};
use super::theme::Theme;

/// Cells between two columns.
const GAP: usize = 2;
/// A column that gives way keeps at least this much.
const FLEX_CELLS_MIN: usize = 8;

/// On which side a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Where a cell that is too long is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// At its end.
    End,
    /// At its front: for paths.
    Front,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// Its heading.
    pub(crate) heading: &'static str,
    /// The side its cells stand on.
    pub(crate) align: Align,
    /// Where its cells are cut.
    pub(crate) cut: Cut,
    /// The narrowest line on which it is shown; 0: always.
    pub(crate) shown_from: usize,
    /// The most cells it takes.
    pub(crate) cells_max: usize,
    /// Whether it gives way when the line is too narrow. At most one column does.
    pub(crate) flexible: bool,
}

impl Column {
    /// A column of text that is always shown.
    pub(crate) const fn text(heading: &'static str) -> Self {
        Self { heading, align: Align::Left, cut: Cut::End, shown_from: 0, cells_max: usize::MAX, flexible: false }
    }

    /// A column of numbers that is always shown.
    pub(crate) const fn number(heading: &'static str) -> Self {
        Self { align: Align::Right, ..Self::text(heading) }
    }

    /// The same, shown only on lines at least this wide.
    pub(crate) const fn shown_from(self, cells: usize) -> Self {
        Self { shown_from: cells, ..self }
    }

    /// The same, never wider than this.
    pub(crate) const fn at_most(self, cells: usize) -> Self {
        Self { cells_max: cells, ..self }
    }

    /// The same, giving way to the others.
    pub(crate) const fn flexible(self) -> Self {
        Self { flexible: true, ..self }
    }

    /// The same, cut at the front.
    pub(crate) const fn cut_front(self) -> Self {
        Self { cut: Cut::Front, ..self }
    }
}

/// The styled text of one cell. Everything that goes in is cleaned and put on one line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    spans: Vec<(Style, String)>,
}

impl Cell {
    /// Plain text.
    pub(crate) fn plain(text: &str) -> Self {
        Self::default().styled(Style::new(), text)
    }

    /// The same with styled text behind it.
    pub(crate) fn styled(mut self, style: Style, text: &str) -> Self {
        self.spans.push((style, one_line(text)));
        self
    }

    /// The same with a piece of a line behind it, whose blanks at both ends count.
    pub(crate) fn piece(mut self, style: Style, text: &str) -> Self {
        let inner = one_line(text);
        let blank = |there: bool| if there { " " } else { "" };
        let before = blank(text.starts_with(char::is_whitespace));
        let behind = blank(text.ends_with(char::is_whitespace) && !inner.is_empty());
        self.spans.push((style, format!("{before}{inner}{behind}")));
        self
    }

    /// The same with a space and styled text behind it, if there is any.
    pub(crate) fn also(mut self, style: Style, text: &str) -> Self {
        let text = one_line(text);
        if !text.is_empty() {
            self.spans.push((style, format!(" {text}")));
        }
        self
    }

    /// The text without styles.
    pub(crate) fn text(&self) -> String {
        self.spans.iter().map(|(_, text)| text.as_str()).collect()
    }

    fn width(&self) -> usize {
        self.spans.iter().map(|(_, text)| width(text)).sum()
    }

    fn cut(&self, cells: usize, cut: Cut) -> Self {
        if self.width() <= cells {
            return self.clone();
        }
        if cut == Cut::Front {
            let style = self.spans.first().map_or_else(Style::new, |(style, _)| *style);
            return Self { spans: vec![(style, truncate_front(&self.text(), cells).into_owned())] };
        }
        let mut left = cells;
        let mut spans = Vec::new();
        for (at, (style, text)) in self.spans.iter().enumerate() {
            let behind: usize = self.spans.iter().skip(at + 1).map(|(_, text)| width(text)).sum();
            if width(text) + behind.min(1) <= left {
                left -= width(text);
                spans.push((*style, text.clone()));
            } else {
                // One cell wider than what fits, so that the cut leaves its mark also where only what follows is lost.
                let marked = format!("{text} ");
                let fitting = if width(text) > left { text.as_str() } else { marked.as_str() };
                spans.push((*style, truncate(fitting, left).into_owned()));
                break;
            }
        }
        Self { spans }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for (style, text) in &self.spans {
            write!(out, "{style}{text}{style:#}")?;
        }
        Ok(())
    }
}

/// Rows under headings.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row: a cell for each column.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Writes the table, no line wider than `line` cells; `None`: as wide as it is.
    pub(crate) fn write(&self, out: &mut dyn Write, line: Option<usize>, theme: &Theme) -> io::Result<()> {
        let widths = self.widths(line);
        let headings: Vec<Cell> =
            self.columns.iter().map(|column| Cell::default().styled(theme.heading, column.heading)).collect();
        self.write_row(out, &headings, &widths)?;
        for row in &self.rows {
            self.write_row(out, row, &widths)?;
        }
        Ok(())
    }

    /// The width of each column; `None` for one that this line does not show.
    fn widths(&self, line: Option<usize>) -> Vec<Option<usize>> {
        let mut widths: Vec<Option<usize>> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let shown = line.is_none_or(|line| line >= column.shown_from);
                let cells = self.rows.iter().filter_map(|row| row.get(at)).map(Cell::width).max().unwrap_or(0);
                // Without a line to fit nothing is cut, so that what reads a pipe finds everything.
                let cells_max = line.map_or(usize::MAX, |_| column.cells_max);
                shown.then(|| cells.min(cells_max).max(width(column.heading)))
            })
            .collect();
        if let Some(line) = line {
            let shown: Vec<usize> = widths.iter().flatten().copied().collect();
            let total = shown.iter().sum::<usize>() + GAP * shown.len().saturating_sub(1);
            let flexible = self.columns.iter().position(|column| column.flexible);
            if let Some(Some(cells)) = flexible.and_then(|at| widths.get_mut(at)) {
                let keep = FLEX_CELLS_MIN.min(*cells);
                *cells = cells.saturating_sub(total.saturating_sub(line)).max(keep);
            }
        }
        widths
    }

    fn write_row(&self, out: &mut dyn Write, row: &[Cell], widths: &[Option<usize>]) -> io::Result<()> {
        let shown: Vec<(&Column, &Cell, usize)> = self
            .columns
            .iter()
            .zip(row)
            .zip(widths)
            .filter_map(|((column, cell), cells)| cells.map(|cells| (column, cell, cells)))
            .collect();
        // Blanks are written only before something, so that no line ends with them.
        let mut blanks = 0;
        for (column, cell, cells) in shown {
            let cell = cell.cut(cells, column.cut);
            let fill = cells.saturating_sub(cell.width());
            if cell.width() == 0 {
                blanks += cells + GAP;
                continue;
            }
            let before = blanks + if column.align == Align::Right { fill } else { 0 };
            write!(out, "{:before$}", "")?;
            cell.write(out)?;
            blanks = GAP + if column.align == Align::Right { 0 } else { fill };
        }
        writeln!(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let columns = [
            Column::text("ID"),
            Column::number("N").shown_from(30),
            Column::text("TITLE").flexible(),
            Column::text("CWD").cut_front().at_most(10).shown_from(50),
        ];
        let mut table = Table::new(&columns);
        for (id, n, title, cwd) in [
            ("abcd", "7", "A plain title that is rather long", "/home/dev/src/acme"),
            ("ef", "1234", "日本語のとても長いタイトルです", ""),
            ("gh", "", "\u{1b}[31mred\u{1b}]0;owned\u{7}\nand two lines", "/x"),
        ] {
            table.row([id, n, title, cwd].map(Cell::plain).to_vec());
        }
        table
    }

    fn written(line: Option<usize>, theme: &Theme) -> String {
        let mut out = Vec::new();
        table().write(&mut out, line, theme).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_line_is_wider_than_asked() {
        for line in [24, 30, 40, 50, 80] {
            for text in written(Some(line), &Theme::default()).lines() {
                assert!(width(text) <= line, "{text:?} is wider than {line}");
            }
        }
    }

    #[test]
    fn narrow_lines_drop_columns_and_cut_the_flexible_one() {
        let all: Vec<String> =
            [Some(24), Some(40), Some(60), None].iter().map(|line| written(*line, &Theme::default())).collect();
        insta::assert_snapshot!(all.join("----\n"));
    }

    #[test]
    fn styles_take_no_room() {
        let plain = written(Some(40), &Theme::default());
        let coloured = written(Some(40), &Theme::COLOURED);
        assert_ne!(plain, coloured);
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
    }

    #[test]
    fn a_cell_of_several_spans_is_cut_with_a_mark() {
        let cell = Cell::plain("abc").styled(Style::new(), "def").styled(Style::new(), "g");
        let cut = |cells| cell.cut(cells, Cut::End).text();
        assert_eq!(cut(7), "abcdefg");
        assert_eq!(cut(6), "abcde…");
        assert_eq!(cut(4), "abc…");
        assert_eq!(cut(3), "ab…");
        assert_eq!(cut(1), "…");
    }
}
