//! A table, as text for the terminal and as Markdown.

/// Cells of a row; those before the table's first number are words.
pub type Row = Vec<Cell>;

/// A cell, marked if it is the best of its row.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    best: bool,
}

impl Cell {
    pub fn best(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text, best: true }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        let text = text.into();
        Self { text, best: false }
    }
}

/// Rows under headings, the first `words` columns aligned to the left.
#[derive(Clone, Debug)]
pub struct Table {
    words: usize,
    head: Vec<String>,
    rows: Vec<Row>,
}

impl Table {
    pub fn new(words: usize, head: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let head = head.into_iter().map(Into::into).collect();
        let rows = Vec::new();
        Self { words, head, rows }
    }

    pub fn push(&mut self, row: Row) {
        assert_eq!(row.len(), self.head.len(), "{row:?}");
        self.rows.push(row);
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// For a terminal; a star behind the best.
    pub fn text(&self) -> String {
        let head = self.head.iter().map(|text| format!("{text} ")).collect();
        let body = self.rows.iter().map(|row| {
            let mark = |cell: &Cell| format!("{}{}", cell.text, if cell.best { '*' } else { ' ' });
            row.iter().map(mark).collect()
        });
        let lines: Vec<Vec<String>> = std::iter::once(head).chain(body).collect();
        let width = |column: usize| {
            let cells = lines.iter().map(|line| line[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let mut text = String::new();
        for line in lines {
            for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
                text += &match column < self.words {
                    true => format!("{cell:<width$} "),
                    false => format!("{cell:>width$} "),
                };
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        text
    }

    /// The best in bold.
    pub fn markdown(&self) -> String {
        let rule = |column| if column < self.words { "---" } else { "---:" };
        let rules: Vec<&str> = (0..self.head.len()).map(rule).collect();
        let mut text = format!("| {} |\n| {} |\n", self.head.join(" | "), rules.join(" | "));
        for row in &self.rows {
            let mark = |cell: &Cell| match cell.best {
                true => format!("**{}**", cell.text),
                false => cell.text.clone(),
            };
            let cells: Vec<String> = row.iter().map(mark).collect();
            text += &format!("| {} |\n", cells.join(" | "));
        }
        text
    }
}
