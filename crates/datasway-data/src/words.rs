//! Numbers, lists and foreign text in messages.

use std::path::Path;

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

pub(crate) fn counted(count: usize, singular: &str, plural: &str) -> String {
    format!(
        "{} {}",
        grouped(count),
        if count == 1 { singular } else { plural }
    )
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
