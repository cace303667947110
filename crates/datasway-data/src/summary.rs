//! Summary of a data set for people.

use datasway_fs::{counted, grouped, plural};

use crate::Dataset;
use crate::words::line;

impl Dataset {
    /// A summary for people: one line, and one more for each notice.
    pub fn summary(&self) -> String {
        let n = self.len();
        let used = n + self.skipped;
        let images = if self.report.held > used {
            format!("{} of {}", grouped(n), plural(self.report.held, "image"))
        } else {
            plural(n, "image")
        };
        let mut text = format!("{}: {images}", line(&self.name));
        if let Some(classes) = &self.classes {
            let mut seen = vec![false; classes.names.len()];
            classes.labels.iter().for_each(|&l| seen[l] = true);
            let (present, class_count) = (seen.iter().filter(|&&s| s).count(), seen.len());
            text += &if present < class_count {
                format!(
                    " in {} of {}",
                    grouped(present),
                    counted(class_count, "class", "classes")
                )
            } else {
                format!(" in {}", counted(class_count, "class", "classes"))
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
