//! How a command speaks, stops and ends.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// Code of a process that a second Ctrl-C ends.
const STOPPED: i32 = 130;

/// Ends a command: an error is one line on standard error, with its causes, and code 1.
pub fn finish(done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format!(
                "error: {}",
                datasway_fs::one_line(&format!("{error:#}"))
            ));
            ExitCode::FAILURE
        }
    }
}

/// Writes a line to standard error. Work does not end because nobody listens.
pub fn tell(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Writes a text to standard output.
///
/// # Errors
/// If it cannot be written, but for a reader that has seen enough.
pub fn print(text: impl Display) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("standard output cannot be written")
        }
        _ => Ok(()),
    }
}

/// A flag that Ctrl-C raises; a second Ctrl-C ends the process at once. `what` is what comes to its end first.
///
/// # Errors
/// If the system does not let signals be heard.
pub fn stop_on_ctrl_c(what: &'static str) -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::SeqCst) {
            std::process::exit(STOPPED);
        }
        tell(format!(
            "stopping after this {what}; press Ctrl-C again to stop at once"
        ));
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(stop)
}
