//! A section of a report: paragraphs, tables and figures, as Markdown, HTML and files.

use std::fmt::Write;
use std::path::Path;

use maud::{Markup, PreEscaped, html};

use crate::ReportError;

/// One section of a report.
pub struct Section {
    /// Heading.
    pub title: &'static str,
    /// Paragraphs.
    pub text: Vec<String>,
    /// Tables.
    pub tables: Vec<Table>,
    /// Plots.
    pub figures: Vec<Figure>,
}

/// A table with the name of its CSV file.
pub struct Table {
    /// Name of the CSV file without its extension.
    pub file: &'static str,
    /// Caption; a table without one is written to its file only.
    pub caption: Option<String>,
    /// Column names.
    pub columns: Vec<String>,
    /// Cells, row by row.
    pub rows: Vec<Vec<String>>,
}

/// A plot with the name of its SVG file.
pub struct Figure {
    /// Name of the SVG file without its extension.
    pub file: String,
    /// Caption.
    pub caption: String,
    /// The plot as SVG.
    pub svg: String,
}

impl Table {
    /// A table without rows.
    pub fn new(file: &'static str, caption: Option<String>, columns: &[&str]) -> Self {
        Self {
            file,
            caption,
            columns: columns.iter().map(|&name| name.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// The table as comma-separated values; a cell is quoted only if it needs to be.
    fn csv(&self) -> String {
        let line = |cells: &Vec<String>| {
            let fields: Vec<_> = cells
                .iter()
                .map(|cell| datasway_fs::csv::field(cell))
                .collect();
            fields.join(",") + "\n"
        };
        std::iter::once(&self.columns)
            .chain(&self.rows)
            .map(line)
            .collect()
    }

    /// The table in Markdown.
    fn markdown(&self, caption: &str) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let rule: Vec<String> = self.columns.iter().map(|_| "---".to_owned()).collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!(
            "{caption}\n\n{}{}{rows}\n",
            line(&self.columns),
            line(&rule)
        )
    }

    fn html(&self, caption: &str) -> Markup {
        html! {
            div.panel.numbers { table {
                caption { (caption) }
                thead { tr { @for name in &self.columns { th { (name) } } } }
                tbody { @for row in &self.rows { tr { @for cell in row { td { (cell) } } } } }
            } }
        }
    }
}

impl Section {
    /// The section in Markdown, without its figures.
    pub fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n", self.title);
        for paragraph in &self.text {
            // Writing to a String cannot fail.
            let _ = write!(text, "{paragraph}\n\n");
        }
        for table in &self.tables {
            if let Some(caption) = &table.caption {
                text += &table.markdown(caption);
            }
        }
        text
    }

    /// The section in HTML.
    pub fn html(&self) -> Markup {
        html! {
            section {
                div.title { h2 { (self.title) } }
                @for paragraph in &self.text { p { (paragraph) } }
                div.figures {
                    @for figure in &self.figures {
                        figure.panel { (PreEscaped(&figure.svg)) figcaption { (figure.caption) } }
                    }
                }
                @for table in &self.tables {
                    @if let Some(caption) = &table.caption { (table.html(caption)) }
                }
            }
        }
    }

    /// Writes each table as CSV and each figure as SVG into a folder.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), ReportError> {
        for table in &self.tables {
            let path = folder.join(format!("{}.csv", table.file));
            datasway_fs::write(&path, table.csv().as_bytes())?;
        }
        for figure in &self.figures {
            let path = folder.join(format!("{}.svg", figure.file));
            datasway_fs::write(&path, figure.svg.as_bytes())?;
        }
        Ok(())
    }
}

/// A number with three significant digits, for a table.
pub fn rounded(value: f64) -> String {
    if value.is_nan() {
        "–".to_owned()
    } else if value == 0.0 {
        format!("{value:.0}")
    } else if (1e-3..1e4).contains(&value.abs()) {
        let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 5) as usize;
        format!("{value:.digits$}")
    } else {
        format!("{value:.1e}")
    }
}

/// A number with four significant digits in scientific notation, for a file.
pub fn scientific(value: f64) -> String {
    format!("{value:.3e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_significant_digits() {
        for (value, text) in [
            (f64::NAN, "–"),
            (0.0, "0"),
            (0.012_345, "0.0123"),
            (1.0, "1.00"),
            (-123.45, "-123"),
            (9_999.0, "9999"),
            (12_345.0, "1.2e4"),
            (1e-4, "1.0e-4"),
        ] {
            assert_eq!(rounded(value), text);
        }
        assert_eq!(scientific(0.012_346), "1.235e-2");
    }

    #[test]
    fn a_table_is_quoted_where_a_cell_holds_a_comma() {
        let mut table = Table::new("t", Some("Caption".to_owned()), &["a", "b"]);
        table.rows.push(vec!["1,5".to_owned(), "x".to_owned()]);
        assert_eq!(table.csv(), "a,b\n\"1,5\",x\n");
        assert_eq!(
            table.markdown("Caption"),
            "Caption\n\n| a | b |\n| --- | --- |\n| 1,5 | x |\n\n"
        );
    }
}
