//! Foreign text on one line.

/// Largest number of characters of a line.
const LONGEST: usize = 1_000;

/// A text as one line. Control characters become spaces, and the middle of a very long text is left out.
pub fn one_line(text: &str) -> String {
    let plain = |c: char| {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            ' '
        } else {
            c
        }
    };
    let line: String = text.trim().chars().map(plain).collect();
    let count = line.chars().count();
    if count <= LONGEST {
        return line;
    }
    let half = LONGEST / 2;
    let start: String = line.chars().take(half).collect();
    let end: String = line.chars().skip(count - half).collect();
    format!("{start} … {end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_and_short() {
        assert_eq!(one_line("a\nb\r\u{1b}[2J\u{2028}\0c\n"), "a b  [2J  c");
        let long = one_line(&format!("first{}last", "猫".repeat(5_000)));
        assert!(long.starts_with("first") && long.ends_with("last"));
        assert!(long.chars().count() < 1_100);
    }
}
