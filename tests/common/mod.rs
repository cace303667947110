//! The binaries as a user runs them: an empty folder, commands in it, and what they say.

// Every test file includes this module and needs a part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The words of a command line.
pub fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// An empty folder for the files of one test, removed at its end.
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// A new folder.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of a file or folder in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Whether it has a file or folder of this name.
    pub fn has(&self, name: &str) -> bool {
        self.join(name).exists()
    }

    /// Writes a file, and the folders above it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// The bytes of a file.
    #[track_caller]
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let bytes = std::fs::read(self.join(name));
        bytes.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The text of a file.
    #[track_caller]
    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name)).unwrap()
    }

    /// A JSON file.
    #[track_caller]
    pub fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&self.bytes(name)).unwrap()
    }

    /// The rows of a CSV file without quoted commas, its header first.
    #[track_caller]
    pub fn rows(&self, name: &str) -> Vec<Vec<String>> {
        let text = self.text(name);
        let cells = |line: &str| line.split(',').map(str::to_owned).collect();
        text.lines().map(cells).collect()
    }

    /// Names of the files and folders in a folder of it, sorted.
    #[track_caller]
    pub fn names(&self, name: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.join(name)).unwrap();
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
        let names = entries.map(|entry| name(entry).into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// A command of `train`, `sensitivity` or `retrain` that runs in it.
    pub fn command<A: AsRef<std::ffi::OsStr>>(&self, binary: &str, arguments: &[A]) -> Command {
        let mut command = Command::new(path_of(binary));
        command.current_dir(self.path()).args(arguments);
        command
    }

    /// Runs a command to its end.
    #[track_caller]
    pub fn run<A: AsRef<std::ffi::OsStr>>(&self, binary: &str, arguments: &[A]) -> Said {
        Said::from(self.command(binary, arguments).output().unwrap())
    }
}

/// The binary of this name, which Cargo builds beside that of the package under test.
///
/// `cargo test --workspace` builds all three; a test of one package alone only its own.
fn path_of(binary: &str) -> PathBuf {
    let neighbours = [
        option_env!("CARGO_BIN_EXE_train"),
        option_env!("CARGO_BIN_EXE_sensitivity"),
        option_env!("CARGO_BIN_EXE_retrain"),
    ];
    let neighbour = neighbours.into_iter().flatten().next();
    let neighbour = Path::new(neighbour.expect("a test of a package with a binary"));
    let path = neighbour.with_file_name(format!("{binary}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{binary} is not built: use cargo test --workspace"
    );
    path
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Said {
    /// Exit code; none after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

impl From<std::process::Output> for Said {
    fn from(output: std::process::Output) -> Self {
        Self {
            code: output.status.code(),
            output: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Said {
    /// Itself, if the command succeeded.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.errors);
        self
    }

    /// Asserts that the command was refused with this exit code and one error that contains `words`: 2 for what the command line
    /// cannot mean, 1 for everything else, in one sentence at the end.
    #[track_caller]
    pub fn refused(&self, code: i32, words: &str) {
        let errors = &self.errors;
        assert_eq!(self.code, Some(code), "{errors}");
        let sentence = match code {
            1 => errors.lines().last().unwrap_or_default(),
            _ => errors,
        };
        assert!(sentence.contains(words), "{words:?} is not in: {errors}");
        assert!(code != 1 || sentence.starts_with("error: "), "{errors}");
        assert_eq!(errors.matches("error: ").count(), 1, "{errors}");
        assert!(!errors.contains("panicked"), "{errors}");
    }
}
