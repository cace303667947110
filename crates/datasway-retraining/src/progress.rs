//! Lines about the progress of a run.

use std::fmt::Display;
use std::io::Write;

/// Writes a line to standard error. Work does not end because nobody listens.
pub(crate) fn tell(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
