//! Place in the program where something goes wrong.

use std::backtrace::Backtrace;

/// The innermost line of this workspace's crates that is running.
pub fn running() -> String {
    let trace = Backtrace::force_capture().to_string();
    let mut lines = trace.lines().filter(|line| !line.contains("/registry/"));
    let ours = lines.find_map(|line| line.find("crates/").map(|at| &line[at..]));
    ours.unwrap_or("an unknown line").to_owned()
}
