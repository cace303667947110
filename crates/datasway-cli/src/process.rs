//! Messages, Ctrl-C and exit codes of a command.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// Exit code after a second Ctrl-C.
const STOPPED: i32 = 130;

/// Exit code of a command. An error is printed as one line with its causes, and the code is 1.
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

/// Writes a line to standard error. A closed standard error does not end the work.
pub fn tell(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Writes a line to standard error, if there is one.
pub fn tell_if(line: Option<impl Display>) {
    if let Some(line) = line {
        tell(line);
    }
}

/// Writes a text to standard output.
///
/// # Errors
/// If it cannot be written, unless the reader has closed the pipe.
pub fn print(text: impl Display) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("standard output cannot be written")
        }
        _ => Ok(()),
    }
}

/// A flag that Ctrl-C raises. A second Ctrl-C ends the process at once. `what` names the unit of work that is finished first.
///
/// # Errors
/// If the signal handler cannot be installed.
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
