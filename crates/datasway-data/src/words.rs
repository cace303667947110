//! Lists and foreign text in messages.

use std::path::Path;

use datasway_fs::grouped;

/// Foreign text on one line: control characters are escaped, and the text is cut at 300 characters.
pub(crate) fn line(text: &str) -> String {
    const MOST: usize = 300;
    let mut line: String = text
        .trim_end_matches(['\r', '\n'])
        .chars()
        .take(MOST)
        .map(|c| {
            if c.is_control() {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        })
        .collect();
    if text.chars().nth(MOST).is_some() {
        line.push('…');
    }
    line
}

/// A path on one line.
pub(crate) fn place(path: &Path) -> String {
    line(&path.to_string_lossy())
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
