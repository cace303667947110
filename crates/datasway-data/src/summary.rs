//! Summary of a data set for people.

use crate::Dataset;
use crate::words::{counted, grouped, line, plural};

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
