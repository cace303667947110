//! Output folders.
//!
//! A folder belongs to one run at a time. Files that are not results are never touched. Results are replaced all together.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::claim::{self, Claim, ClaimOwner};
use crate::write::{BESIDE, WriteError, failed, temporary_builder};

/// Name of the list of a folder's files: one line with the kind, then one line for each name.
pub(crate) const LIST: &str = ".datasway-files";
/// First word of the list.
const TITLE: &str = "datasway ";
/// Number of leading bytes of a file that are searched for a mark.
const SEARCHED: u64 = 1 << 16;

/// A kind of output and the names of its files.
///
/// In a name, `*` stands for any characters, and a name that ends with `/` is that of a folder. A kind that owns its whole folder has the single name `*`.
#[derive(Debug)]
pub struct Kind {
    /// Name for messages, such as `training run`.
    pub name: &'static str,
    /// File names. The last one is put into place last, so its presence means that the others are complete.
    pub files: &'static [&'static str],
    /// Files, each with words near its beginning, by which a folder without a list of files is recognised.
    /// Earlier versions wrote such folders.
    pub marks: &'static [(&'static str, &'static str)],
}

/// Errors of opening an output folder.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The path is a file.
    #[error("{} is not a folder", .0.display())]
    NotFolder(PathBuf),
    /// The folder holds foreign files.
    #[error("{} holds {found} and is not the folder of a {kind}", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// One of the foreign files.
        found: String,
        /// The kind of output that was to be written.
        kind: &'static str,
    },
    /// Another process writes into the folder.
    #[error("{} is in use by {}", path.display(), holder.as_ref().map_or_else(|| "another process".to_owned(), ClaimOwner::to_string))]
    Held {
        /// The folder.
        path: PathBuf,
        /// That process, unless it has just ended.
        holder: Option<ClaimOwner>,
    },
    /// The system reports an error.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A folder that is claimed by this process until the value is dropped.
#[derive(Debug)]
pub struct OutputFolder {
    path: PathBuf,
    kind: &'static Kind,
    /// The folders that were made, from the innermost.
    created: Vec<PathBuf>,
    claim: Option<Claim>,
}

impl OutputFolder {
    /// Creates the folder if necessary and claims it. Existing files stay.
    ///
    /// # Errors
    /// If the path is not a folder, cannot be written, holds foreign files, or is in use.
    pub fn open(path: &Path, kind: &'static Kind) -> Result<Self, OutputError> {
        if path.exists() && !path.is_dir() {
            return Err(OutputError::NotFolder(path.to_owned()));
        }
        let created: Vec<PathBuf> = path
            .ancestors()
            .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
            .map(Path::to_owned)
            .collect();
        if created.is_empty() {
            entries(path, kind)?;
        }
        std::fs::create_dir_all(path).map_err(failed(path))?;
        let claim = Claim::take(path)?;
        if claim.is_none() {
            return Err(OutputError::Held {
                path: path.to_owned(),
                holder: Claim::holder(path),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            kind,
            created,
            claim,
        })
    }

    /// Path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the files of an earlier run and marks the folder as one of this kind, whose files grow in place.
    ///
    /// # Errors
    /// If the disk is full or not writable.
    pub fn start_over(&self) -> Result<(), OutputError> {
        let earlier = self.earlier()?;
        self.go_on()?;
        Ok(self.remove(&earlier)?)
    }

    /// Keeps existing files and marks the folder as one of this kind, whose files grow in place.
    ///
    /// # Errors
    /// If the disk is full or not writable.
    pub fn go_on(&self) -> Result<(), OutputError> {
        Ok(self.record(self.kind.files)?)
    }

    /// Names of the files of earlier runs of this kind, and of temporary files that killed runs left.
    fn earlier(&self) -> Result<Vec<String>, OutputError> {
        let list = List::read(&self.path);
        let whole = self.kind.files == ["*"];
        let listed = |name: &str| match &list {
            Some(list) if !whole => list.names.iter().any(|pattern| matches(pattern, name)),
            _ => self.kind.files.iter().any(|pattern| matches(pattern, name)),
        };
        let replaceable = |name: &str| {
            let reserved = [claim::FILE, LIST].contains(&name);
            name.starts_with(BESIDE) && !reserved || !name.starts_with('.') && listed(name)
        };
        let mut names = entries(&self.path, self.kind)?;
        names.retain(|name| replaceable(name));
        Ok(names)
    }

    fn remove(&self, names: &[String]) -> Result<(), WriteError> {
        for name in names {
            let path = self.path.join(name);
            let removed = if path.is_dir() && !path.is_symlink() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            match removed {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(failed(&path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the list of the folder's files.
    fn record<S: AsRef<str>>(&self, names: &[S]) -> Result<(), WriteError> {
        let mut text = format!("{TITLE}{}\n", self.kind.name);
        for name in names {
            text.push_str(name.as_ref());
            text.push('\n');
        }
        crate::write::write(&self.path.join(LIST), text.as_bytes())
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        self.claim.take();
        for folder in &self.created {
            // A folder is removed only if it is empty.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// A folder whose files are put into place all together when they are complete.
///
/// Until then, and if the run fails, the results of the previous run stay.
#[derive(Debug)]
pub struct ResultFolder {
    stage: TempDir,
    folder: OutputFolder,
}

impl ResultFolder {
    /// Creates the folder if necessary and claims it.
    ///
    /// # Errors
    /// As [`OutputFolder::open`].
    pub fn begin(path: &Path, kind: &'static Kind) -> Result<Self, OutputError> {
        let folder = OutputFolder::open(path, kind)?;
        let mut left = folder.earlier()?;
        left.retain(|name| name.starts_with(BESIDE));
        folder.remove(&left)?;
        let stage = temporary_builder(0o777)
            .tempdir_in(path)
            .map_err(failed(path))?;
        Ok(Self { stage, folder })
    }

    /// The temporary folder into which the files are written.
    pub fn path(&self) -> &Path {
        self.stage.path()
    }

    /// Replaces the results of the previous run by the new files.
    ///
    /// # Errors
    /// If the disk is full or not writable.
    pub fn finish(self) -> Result<(), OutputError> {
        let Self { stage, folder } = self;
        let last = folder.kind.files.last().copied().unwrap_or_default();
        let mut names = names(stage.path())?;
        names.sort_by_key(|name| (name == last, name.clone()));
        let mut old = folder.earlier()?;
        old.retain(|name| !name.starts_with(BESIDE));
        // From here on, a killed run leaves files that the next run recognises as results.
        folder.record(&[&names[..], &old[..]].concat())?;
        // The last file is removed first and put into place last, because it marks a complete folder.
        old.retain(|name| !names.contains(name) || name == last);
        old.sort_by_key(|name| name != last);
        folder.remove(&old)?;
        for name in &names {
            let place = folder.path.join(name);
            std::fs::rename(stage.path().join(name), &place).map_err(failed(&place))?;
        }
        Ok(folder.record(&names)?)
    }
}

/// Names of the entries of a folder. Fails if the folder holds foreign files and is not marked as one of this kind.
fn entries(path: &Path, kind: &'static Kind) -> Result<Vec<String>, OutputError> {
    let names = names(path)?;
    let ours = match List::read(path) {
        Some(list) => list.kind == kind.name,
        None => !kind.marks.is_empty() && kind.marks.iter().all(|mark| marked(path, mark)),
    };
    let in_the_way = |name: &str| {
        let pattern = kind.files.iter().find(|pattern| matches(pattern, name));
        pattern.is_some_and(|pattern| {
            let entry = path.join(name);
            let is_of_its_type = if pattern.ends_with('/') {
                entry.is_dir()
            } else {
                entry.is_file()
            };
            kind.files != ["*"] && !is_of_its_type
        })
    };
    let mut visible = names.iter().filter(|name| !name.starts_with('.'));
    match visible.find(|name| !ours || in_the_way(name)) {
        None => Ok(names),
        Some(found) => Err(OutputError::Foreign {
            path: path.to_owned(),
            found: found.clone(),
            kind: kind.name,
        }),
    }
}

/// Names of the entries of a folder, sorted.
fn names(path: &Path) -> Result<Vec<String>, WriteError> {
    let fail = failed(path);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(&fail)? {
        let name = entry.map_err(&fail)?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Tells whether a file exists and has certain words near its beginning.
fn marked(folder: &Path, (name, words): &(&str, &str)) -> bool {
    let path = folder.join(name);
    if words.is_empty() {
        return path.exists();
    }
    let mut start = Vec::new();
    let read =
        std::fs::File::open(&path).and_then(|file| file.take(SEARCHED).read_to_end(&mut start));
    path.is_file() && read.is_ok() && String::from_utf8_lossy(&start).contains(words)
}

/// Tells whether a name matches a pattern with at most one `*`.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern = pattern.strip_suffix('/').unwrap_or(pattern);
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => {
            let tail = name.strip_prefix(start);
            tail.is_some_and(|tail| tail.ends_with(end))
        }
    }
}

/// The list of a folder's files.
struct List {
    kind: String,
    names: Vec<String>,
}

impl List {
    /// Reads the list, if there is one.
    fn read(folder: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(folder.join(LIST)).ok()?;
        let mut lines = text.lines();
        Some(Self {
            kind: lines.next()?.strip_prefix(TITLE)?.to_owned(),
            names: lines.map(str::to_owned).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURES: Kind = Kind {
        name: "set of pictures",
        files: &["*.png", "summary.json"],
        marks: &[("summary.json", "\"sway\""), ("old.png", "")],
    };
    static KIND: Kind = PICTURES;
    static OTHER: Kind = Kind {
        name: "table",
        ..PICTURES
    };

    /// Names that are not hidden, and whether there are hidden ones.
    fn visible(path: &Path) -> Vec<String> {
        let mut names = names(path).unwrap();
        names.retain(|name| !name.starts_with('.') || name.starts_with(BESIDE) && name != LIST);
        names
    }

    fn run(path: &Path, files: &[&str]) -> Result<(), OutputError> {
        let results = ResultFolder::begin(path, &KIND)?;
        for name in files {
            crate::write::write(&results.path().join(name), name.as_bytes())?;
        }
        results.finish()
    }

    #[test]
    fn results_are_replaced_whole_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/out");
        run(&path, &["a.png", "b.png", "summary.json"]).unwrap();
        std::fs::write(path.join("notes.txt"), "mine").unwrap();
        std::fs::write(path.join("mine.png"), "mine").unwrap();
        run(&path, &["b.png", "c.png", "summary.json"]).unwrap();
        let expected = ["b.png", "c.png", "mine.png", "notes.txt", "summary.json"];
        assert_eq!(visible(&path), expected);
        // A failed run leaves existing files.
        let failing = ResultFolder::begin(&path, &KIND).unwrap();
        crate::write::write(&failing.path().join("d.png"), b"half").unwrap();
        drop(failing);
        assert_eq!(visible(&path), expected);
    }

    /// The list is untrusted input.
    #[test]
    fn a_list_names_nothing_outside_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(folder.path().join("precious.png"), "").unwrap();
        std::fs::write(
            path.join(LIST),
            "datasway set of pictures\n../precious.png\n/*\n",
        )
        .unwrap();
        run(&path, &["a.png", "summary.json"]).unwrap();
        assert!(folder.path().join("precious.png").exists());
    }

    #[test]
    fn what_is_foreign_is_refused_and_kept() {
        type Fill = fn(&Path) -> std::io::Result<()>;
        let cases: [(&str, Fill); 8] = [
            ("photo", |out| std::fs::write(out.join("photo.jpg"), "")),
            ("a picture of that name", |out| {
                std::fs::write(out.join("a.png"), "")
            }),
            ("a folder", |out| std::fs::create_dir(out.join("a.png"))),
            ("another summary", |out| {
                std::fs::write(out.join("summary.json"), "{}")
            }),
            ("another kind", |out| {
                std::fs::write(out.join("a.png"), "")?;
                std::fs::write(out.join(LIST), "datasway table\na.png\n")
            }),
            ("a folder in the way", |out| {
                std::fs::create_dir(out.join("a.png"))?;
                std::fs::write(out.join(LIST), "datasway set of pictures\n")
            }),
            ("a damaged list", |out| {
                std::fs::write(out.join("a.png"), "")?;
                std::fs::write(out.join(LIST), [0xff, 0, 7])
            }),
            ("no list but a name", |out| {
                std::fs::write(out.join("old.png"), "")
            }),
        ];
        for (case, fill) in cases {
            let folder = tempfile::tempdir().unwrap();
            fill(folder.path()).unwrap();
            let before = names(folder.path()).unwrap();
            let error = run(folder.path(), &["a.png", "summary.json"]).unwrap_err();
            assert!(
                matches!(error, OutputError::Foreign { .. }),
                "{case}: {error}"
            );
            assert_eq!(names(folder.path()).unwrap(), before, "{case}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [file.path(), &file.path().join("below")] {
            let error = run(path, &[]).unwrap_err().to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
    }

    #[test]
    fn a_folder_of_a_kind_is_kept_and_removed_like_its_files_and_a_file_in_its_place_is_refused() {
        static MODEL: Kind = Kind {
            name: "model",
            files: &["weights/", "a.txt"],
            marks: &[],
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        OutputFolder::open(path, &MODEL)
            .unwrap()
            .start_over()
            .unwrap();
        std::fs::create_dir(path.join("weights")).unwrap();
        std::fs::write(path.join("weights/b.txt"), "").unwrap();
        let open = OutputFolder::open(path, &MODEL).unwrap();
        open.go_on().unwrap();
        assert!(path.join("weights/b.txt").exists());
        open.start_over().unwrap();
        assert!(!path.join("weights").exists());
        drop(open);
        std::fs::write(path.join("weights"), "").unwrap();
        assert!(OutputFolder::open(path, &MODEL).is_err());
    }

    #[test]
    fn hidden_files_and_what_earlier_versions_left_are_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        std::fs::write(path.join(".DS_Store"), "").unwrap();
        std::fs::write(path.join("old.png"), "").unwrap();
        std::fs::write(
            path.join("summary.json"),
            "{\"run\": {\"sway\": \"0.1.0\"}}",
        )
        .unwrap();
        std::fs::create_dir(path.join(".datasway-abc")).unwrap();
        run(path, &["new.png", "summary.json"]).unwrap();
        assert_eq!(visible(path), ["new.png", "summary.json"]);
        assert!(path.join(".DS_Store").exists());
        assert!(ResultFolder::begin(path, &OTHER).is_err());
    }

    #[test]
    fn one_process_writes_at_a_time_and_no_claim_stays() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path().join("parent");
        let path = parent.join("out");
        let open = OutputFolder::open(&path, &KIND).unwrap();
        std::fs::write(path.join(claim::FILE), "elsewhere 1\n").unwrap();
        let error = OutputFolder::open(&path, &KIND).unwrap_err().to_string();
        assert!(
            error.ends_with("out is in use by process 1 on elsewhere"),
            "{error}"
        );
        std::fs::remove_file(path.join(claim::FILE)).unwrap();
        drop(open);
        assert!(!parent.exists(), "empty folders that were made go again");
        assert!(folder.path().exists(), "and no others");
        let open = OutputFolder::open(&path, &KIND).unwrap();
        open.start_over().unwrap();
        crate::write::write(&path.join("a.png"), b"").unwrap();
        drop(open);
        assert_eq!(visible(&path), ["a.png"]);
        let open = OutputFolder::open(&path, &KIND).unwrap();
        open.go_on().unwrap();
        assert_eq!(visible(&path), [".datasway-claim", "a.png"]);
        open.start_over().unwrap();
        assert_eq!(visible(&path), [".datasway-claim"]);
    }
}
