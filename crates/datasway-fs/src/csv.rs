//! Fields of comma-separated values (RFC 4180).

use std::borrow::Cow;

/// A field that is quoted only if it holds a comma, a quotation mark or a line break.
pub fn field(text: &str) -> Cow<'_, str> {
    if text.contains([',', '"', '\n']) {
        Cow::Owned(quoted(text))
    } else {
        Cow::Borrowed(text)
    }
}

/// A field that is always quoted.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotation_marks_are_doubled() {
        assert_eq!(field("attr:Smiling"), "attr:Smiling");
        assert_eq!(field("index:1,2"), "\"index:1,2\"");
        assert_eq!(field("a \"b\""), "\"a \"\"b\"\"\"");
        assert_eq!(field("a\nb"), "\"a\nb\"");
        assert_eq!(quoted("a"), "\"a\"");
    }
}
