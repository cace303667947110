//! Claims of folders: one process at a time, and a killed one cannot keep it.
//!
//! A claim is a file that names its holder and is written again every few seconds. It may be taken over if its holder
//! is a process of this machine that is gone, or if it has not been written for [`STALE`], by the clock of the file
//! system, which all machines that share it agree on. Should two processes hold one claim after all (a machine that slept),
//! each writes its files completely all the same.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crate::{WriteError, failed, folder_of};

/// Name of the file in the folder.
pub(crate) const FILE: &str = ".datasway-claim";

/// A claim not written for so long is nobody's.
pub const STALE: Duration = Duration::from_secs(60);

/// Between two heartbeats.
const BEAT: Duration = Duration::from_secs(5);

/// A claim held by this process until it is dropped.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    heart: Option<(Sender<()>, JoinHandle<()>)>,
}

/// Who holds a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The machine's name.
    pub host: String,
    /// The process on it.
    pub pid: u32,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.pid, self.host)
    }
}

impl Holder {
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

    /// Whether it is known to be gone: a process of this machine that is not there. A claim under this very process's
    /// number, asked about before taking it, is left over from an earlier process of that number.
    fn gone(&self) -> bool {
        let me = Self::me();
        let known = Path::new("/proc/self").exists();
        let alive = || Path::new("/proc").join(self.pid.to_string()).exists();
        !me.host.is_empty() && self.host == me.host && (self.pid == me.pid || known && !alive())
    }
}

impl Claim {
    /// Claims a folder, which exists; none if another process holds it.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn take(folder: &Path) -> Result<Option<Self>, WriteError> {
        let path = folder.join(FILE);
        let fail = failed(&path);
        // Only one process at a time may judge claims and take them over. Systems that cannot lock a folder are left with
        // the create_new below, which is enough but where two processes find the same stale claim at once.
        let guard = File::open(folder);
        let _ = guard.as_ref().map(File::lock);
        let create = || {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).open(&path)
        };
        let file = match create() {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if !stale(&path).map_err(&fail)? {
                    return Ok(None);
                }
                std::fs::remove_file(&path).map_err(&fail)?;
                create().map_err(&fail)?
            }
            other => other.map_err(&fail)?,
        };
        let me = Holder::me();
        let words = format!("{} {}\n", me.host, me.pid);
        beat(&file, &words).map_err(&fail)?;
        let (stop, stopped) = channel::<()>();
        let heart = std::thread::spawn(move || {
            while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                // A beat that cannot be written is one that others do not see: they may take over, as they should.
                let _ = beat(&file, &words);
            }
        });
        Ok(Some(Self {
            path,
            heart: Some((stop, heart)),
        }))
    }

    /// Who holds the claim on a folder, if anybody.
    pub fn holder(folder: &Path) -> Option<Holder> {
        let path = folder.join(FILE);
        match stale(&path) {
            Ok(false) => Holder::read(&path),
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
        if Holder::read(&self.path) == Some(Holder::me()) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn beat(mut file: &File, words: &str) -> std::io::Result<()> {
    file.rewind()?;
    file.write_all(words.as_bytes())?;
    file.sync_all()
}

/// Whether a claim is nobody's; an error if there is none.
fn stale(path: &Path) -> std::io::Result<bool> {
    if Holder::read(path).is_some_and(|holder| holder.gone()) {
        return Ok(true);
    }
    let now = tempfile::NamedTempFile::new_in(folder_of(path))?;
    let now: SystemTime = now.as_file().metadata()?.modified()?;
    let written = std::fs::metadata(path)?.modified()?;
    Ok(now.duration_since(written).unwrap_or_default() > STALE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_held_by_one_and_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let claim = Claim::take(folder.path()).unwrap().unwrap();
        // Another process would be refused; this one would take its own claim for a leftover.
        assert!(!Holder::me().host.is_empty());
        let other = Holder {
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
    fn what_a_dead_or_silent_process_left_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        // No process has this number: Linux ends below 2²².
        std::fs::write(&path, format!("{} 4194304\n", Holder::me().host)).unwrap();
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
