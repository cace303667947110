//! Claims of folders, so that one process at a time writes into each.
//!
//! A claim is a file that names its holder and is written again every few seconds.
//! It may be taken over if its holder is a process of this machine that no longer runs, or if it has not been written for
//! [`STALE`]. Ages are measured by the clock of the file system, which all machines that share it have in common.
//! If two processes hold one claim after all, for example because a machine was suspended, each still writes complete files.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crate::write::{WriteError, failed, folder_of};

/// Name of the claim's file in the folder.
pub(crate) const FILE: &str = ".datasway-claim";

/// Age from which a claim is abandoned.
pub const STALE: Duration = Duration::from_secs(60);

/// Time between two heartbeats.
const BEAT: Duration = Duration::from_secs(5);

/// A claim held by this process until it is dropped.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    heart: Option<(Sender<()>, JoinHandle<()>)>,
}

/// ClaimOwner of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimOwner {
    /// Host name of the machine.
    pub host: String,
    /// Process id on that machine.
    pub pid: u32,
}

impl fmt::Display for ClaimOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

impl ClaimOwner {
    /// This process.
    pub fn me() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
        let host = host.ok().or_else(|| std::env::var("HOSTNAME").ok());
        Self {
            host: host.unwrap_or_default().trim().to_owned(),
            pid: std::process::id(),
        }
    }

    fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        let (host, pid) = text.trim().rsplit_once(' ')?;
        Some(Self {
            host: host.to_owned(),
            pid: pid.parse().ok()?,
        })
    }

    /// Tells whether the holder was a process of this machine that no longer runs.
    /// A claim with the id of this process, read before this process takes one, was left by an earlier process with that id.
    fn gone(&self) -> bool {
        let me = Self::me();
        let processes_listed = Path::new("/proc/self").exists();
        let alive = || Path::new("/proc").join(self.pid.to_string()).exists();
        !me.host.is_empty()
            && self.host == me.host
            && (self.pid == me.pid || processes_listed && !alive())
    }
}

impl Claim {
    /// Claims an existing folder. Returns `None` if another process holds it.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn take(folder: &Path) -> Result<Option<Self>, WriteError> {
        let path = folder.join(FILE);
        let fail = failed(&path);
        // Only one process at a time may examine claims and take them over. Where a folder cannot be locked, `create_new` below
        // suffices unless two processes find the same abandoned claim at once.
        let guard = File::open(folder);
        let _ = guard.as_ref().map(File::lock);
        let create = || {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).open(&path)
        };
        let taken = |error: &std::io::Error| error.kind() == ErrorKind::AlreadyExists;
        let file = match create() {
            Err(error) if taken(&error) => {
                if !free(&path).map_err(&fail)? {
                    return Ok(None);
                }
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(fail(error)),
                    _ => {}
                }
                match create() {
                    Err(error) if taken(&error) => return Ok(None),
                    other => other.map_err(&fail)?,
                }
            }
            other => other.map_err(&fail)?,
        };
        let me = ClaimOwner::me();
        let words = format!("{} {}\n", me.host, me.pid);
        beat(&file, &words).map_err(&fail)?;
        let (stop, stopped) = channel::<()>();
        let heart = std::thread::spawn(move || {
            while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                // Other processes may take over a claim whose heartbeat cannot be written.
                let _ = beat(&file, &words);
            }
        });
        Ok(Some(Self {
            path,
            heart: Some((stop, heart)),
        }))
    }

    /// The owner of the claim on a folder, if there is one.
    pub fn holder(folder: &Path) -> Option<ClaimOwner> {
        let path = folder.join(FILE);
        match free(&path) {
            Ok(false) => ClaimOwner::read(&path),
            _ => None,
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some((stop, heart)) = self.heart.take() {
            drop(stop);
            let _ = heart.join();
        }
        if ClaimOwner::read(&self.path) == Some(ClaimOwner::me()) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn beat(mut file: &File, words: &str) -> std::io::Result<()> {
    file.rewind()?;
    file.write_all(words.as_bytes())?;
    file.sync_all()
}

/// Tells whether a claim is abandoned, or is no longer there: its holder gives it back without asking others.
fn free(path: &Path) -> std::io::Result<bool> {
    if ClaimOwner::read(path).is_some_and(|holder| holder.gone()) {
        return Ok(true);
    }
    let now = tempfile::NamedTempFile::new_in(folder_of(path))?;
    let now: SystemTime = now.as_file().metadata()?.modified()?;
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        claim => Ok(now.duration_since(claim?.modified()?).unwrap_or_default() > STALE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_held_by_one_and_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let claim = Claim::take(folder.path()).unwrap().unwrap();
        // Another process would be refused; this one would take its own claim for a leftover.
        assert!(!ClaimOwner::me().host.is_empty());
        let other = ClaimOwner {
            host: "elsewhere".into(),
            pid: 1,
        };
        std::fs::write(folder.path().join(FILE), "elsewhere 1\n").unwrap();
        assert!(Claim::take(folder.path()).unwrap().is_none());
        assert_eq!(Claim::holder(folder.path()), Some(other));
        drop(claim); // not ours any more: left alone
        assert!(folder.path().join(FILE).exists());
        std::fs::remove_file(folder.path().join(FILE)).unwrap();
        drop(Claim::take(folder.path()).unwrap().unwrap());
        assert!(!folder.path().join(FILE).exists());
    }

    #[test]
    fn a_claim_that_is_given_back_while_it_is_looked_at_is_free() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free(&folder.path().join(FILE)).unwrap());
    }

    #[test]
    fn what_a_dead_or_silent_process_left_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        // No process has this number: Linux ends below 2²².
        std::fs::write(&path, format!("{} 4194304\n", ClaimOwner::me().host)).unwrap();
        if Path::new("/proc/self").exists() {
            assert!(Claim::take(folder.path()).unwrap().is_some());
        }
        std::fs::write(&path, "elsewhere 1\n").unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let past = SystemTime::now() - STALE - Duration::from_secs(1);
        file.set_modified(past).unwrap();
        assert_eq!(Claim::holder(folder.path()), None);
        assert!(Claim::take(folder.path()).unwrap().is_some());
    }
}
