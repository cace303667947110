//! Report on the content of a source.

use serde::{Deserialize, Serialize};

use crate::Dataset;
use crate::error::line;

/// Content of a source besides the loaded images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Images in the source, before a limit.
    pub held: usize,
    /// Content that was passed over, such as `3 .gif` or `1 hidden folder`.
    pub passed_over: Vec<String>,
    /// Sentences about content that may be a mistake.
    pub notices: Vec<String>,
}

impl Dataset {
    /// A summary for people: one line, and one more for each notice.
    pub fn summary(&self) -> String {
        let n = self.len();
        let used = n + self.skipped;
        let found = if self.report.held > used {
            format!("{} of {}", grouped(n), plural(self.report.held, "image"))
        } else {
            plural(n, "image")
        };
        let mut text = format!("{}: {found}", line(&self.name));
        if let Some(classes) = &self.classes {
            let mut seen = vec![false; classes.names.len()];
            classes.labels.iter().for_each(|&l| seen[l] = true);
            let (present, all) = (seen.iter().filter(|&&s| s).count(), seen.len());
            text += &if present < all {
                format!(
                    " in {} of {}",
                    grouped(present),
                    counted(all, "class", "classes")
                )
            } else {
                format!(" in {}", counted(all, "class", "classes"))
            };
        }
        if let Some(attributes) = &self.attributes {
            text += &format!(" with {}", plural(attributes.names.len(), "attribute"));
        }
        if !self.report.passed_over.is_empty() {
            text += &format!("; passed over: {}", self.report.passed_over.join(", "));
        }
        if let Some(first) = &self.first_skipped {
            text += &format!(
                "; left out: {}, the first: {first}",
                plural(self.skipped, "bad image")
            );
        }
        for notice in &self.report.notices {
            text += &format!("\nnote: {notice}");
        }
        text
    }
}

/// A count with commas between thousands.
pub(crate) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count of things whose plural ends in s.
pub(crate) fn plural(count: usize, thing: &str) -> String {
    counted(count, thing, &format!("{thing}s"))
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

/// The first three names and how many more there are.
pub(crate) fn some(names: &[String]) -> String {
    let mut text = names
        .iter()
        .take(3)
        .map(|n| line(n))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > 3 {
        text += &format!(" and {} more", grouped(names.len() - 3));
    }
    text
}
