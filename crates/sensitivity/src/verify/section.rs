//! A part of the report: findings, tables and figures, and how each is written.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use maud::{Markup, PreEscaped, html};

/// One part of the report.
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// What was done and found, a paragraph each.
    pub text: Vec<String>,
    /// Numbers.
    pub tables: Vec<Table>,
    /// Pictures.
    pub figures: Vec<Figure>,
}

/// A table, and its file.
pub struct Table {
    /// Name of the CSV file, without its ending.
    pub file: &'static str,
    /// What is in it; raw numbers without a caption go to the file only.
    pub caption: Option<String>,
    /// Heads of the columns.
    pub columns: Vec<String>,
    /// Cells.
    pub rows: Vec<Vec<String>>,
}

/// A plot, and its file.
pub struct Figure {
    /// Name of the SVG file, without its ending.
    pub file: String,
    /// What it shows.
    pub caption: String,
    /// The picture.
    pub svg: String,
}

impl Table {
    /// A table with heads and no rows yet.
    pub fn new(file: &'static str, caption: Option<String>, columns: &[&str]) -> Self {
        Self {
            file,
            caption,
            columns: columns.iter().map(|&head| head.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Comma-separated values, quoted where a cell holds a comma.
    fn csv(&self) -> String {
        let cell = |cell: &String| match cell.contains([',', '"']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell.clone(),
        };
        let line = |cells: &Vec<String>| cells.iter().map(cell).collect::<Vec<_>>().join(",");
        let lines = std::iter::once(&self.columns).chain(&self.rows);
        lines.map(|cells| line(cells) + "\n").collect()
    }

    /// The table for a terminal or a Markdown file.
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
                thead { tr { @for head in &self.columns { th { (head) } } } }
                tbody { @for row in &self.rows { tr { @for cell in row { td { (cell) } } } } }
            } }
        }
    }
}

impl Section {
    /// The section as text with tables in Markdown.
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

    /// The section in the page.
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

    /// Every table as CSV and every figure as SVG.
    pub fn write(&self, folder: &Path) -> Result<()> {
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

/// A number with three significant digits for a table.
pub fn short(value: f64) -> String {
    match value {
        v if v.is_nan() => "–".to_owned(),
        v if v == 0.0 || (1e-3..1e4).contains(&v.abs()) => {
            let digits = match v {
                0.0 => 0,
                v => (2 - v.abs().log10().floor() as i32).clamp(0, 5) as usize,
            };
            format!("{v:.digits$}")
        }
        v => format!("{v:.1e}"),
    }
}

/// A number with four significant digits for a file.
pub fn raw(value: f64) -> String {
    format!("{value:.3e}")
}
