//! Foreign text on a page and in a plot.

/// Largest number of characters of a name in a plot.
const LONGEST: usize = 80;

/// A name for a plot: one line, and short.
pub(crate) fn in_plot(name: &str) -> String {
    let name = on_page(name).replace('\n', " ");
    match name.char_indices().nth(LONGEST) {
        None => name,
        Some((end, _)) => format!("{}…", &name[..end]),
    }
}

/// A text for a page, without characters that HTML and SVG forbid.
pub(crate) fn on_page(text: &str) -> String {
    let allowed = |c: char| match c {
        '\n' => '\n',
        '\t' | '\r' => ' ',
        c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => '\u{fffd}',
        c => c,
    };
    text.chars().map(allowed).collect()
}
