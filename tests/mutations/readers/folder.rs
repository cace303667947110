//! Folders of pictures and of everything else that lies in folders.

use std::path::Path;

use datasway_data::LoadOptions;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{answer, load, options, picture};
use crate::damage::one;
use crate::trial::{Answer, Reader};

/// What lies there, each with its letter: an input has a line for each file, its kind's letter and its name.
const KINDS: [char; 9] = ['p', 'p', 'p', 'e', 't', 'd', 'f', 'l', 'z'];
/// The folder that is read.
const ROOT: &str = "tree";
/// A first line that asks to leave out what cannot be read.
const SKIP: &str = "skip";

const NAMES: [&str; 26] = [
    "a.png",
    "b.png",
    "A.PNG",
    "a.jpg",
    "c.jpeg",
    "d.webp",
    "e.bmp",
    "f.gif",
    "g.tif",
    "h.jfif",
    "i.heic",
    "a",
    ".png",
    "._a.png",
    ".hidden.png",
    "Thumbs.db",
    "猫.png",
    "a b.png",
    "a\u{1b}[2J.png",
    "'\"&<.png",
    "-x.png",
    "a.png.png",
    "a.txt",
    "list.csv",
    "..png",
    "data_batch_1.txt",
];
const FOLDERS: [&str; 12] = [
    "",
    "",
    "",
    "cat/",
    "dog/",
    "dog/puppy/",
    "Cat/",
    ".git/",
    "__MACOSX/",
    "x.png/",
    "猫/",
    "empty/",
];

/// Reads folders.
pub struct Folders {
    valid: Vec<Vec<u8>>,
}

impl Folders {
    /// Pictures, and pictures of two classes.
    pub fn new(_: &Path) -> Self {
        let plain = "p a.png\np b.png";
        let classes = "p cat/a.png\np cat/b.png\np dog/a.png";
        Self {
            valid: vec![plain.into(), classes.into()],
        }
    }
}

/// Puts a file where its line says, as far as that is possible.
fn put(kind: &str, path: &Path) -> std::io::Result<()> {
    let written = |bytes| std::fs::write(path, bytes);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    match kind {
        "p" => written(picture::png()),
        "e" => written(b"".as_slice()),
        "t" => written(b"no picture\n".as_slice()),
        "d" => std::fs::create_dir(path),
        #[cfg(unix)]
        "f" => fifo(path),
        #[cfg(unix)]
        "l" => std::os::unix::fs::symlink("..", path),
        #[cfg(unix)]
        "z" => std::os::unix::fs::symlink("/dev/zero", path),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn fifo(path: &Path) -> std::io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the pointer is to a string that outlives the call.
    match unsafe { libc::mkfifo(path.as_ptr(), 0o600) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

impl Reader for Folders {
    fn valid(&self) -> &[Vec<u8>] {
        &self.valid
    }

    fn damage(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let mut lines = Vec::new();
        if rng.random() {
            lines.push(SKIP.to_owned());
        }
        for _ in 0..rng.random_range(0..8) {
            let (kind, folder, name) = (one(rng, &KINDS), one(rng, &FOLDERS), one(rng, &NAMES));
            lines.push(format!("{kind} {folder}{name}"));
        }
        lines.join("\n").into_bytes()
    }

    fn read(&mut self, input: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(input);
        std::fs::create_dir(ROOT).expect("the folder is ours");
        for (kind, name) in text.lines().filter_map(|line| line.split_once(' ')) {
            let path = Path::new(ROOT).join(name);
            // To write into a pipe is to wait for its reader.
            if path.symlink_metadata().is_err() {
                // A folder's name may be a file's.
                let _ = put(kind, &path);
            }
        }
        let options = LoadOptions {
            skip_bad: text.starts_with(SKIP),
            ..options()
        };
        let answer = answer(load(&format!("folder:{ROOT}"), &options));
        std::fs::remove_dir_all(ROOT).expect("the folder is ours");
        answer
    }
}
