//! Output folders: one run at a time, nothing foreign touched, and results replaced whole.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::claim::{self, Claim, Holder};
use crate::{BESIDE, WriteError, beside, failed};

/// Name of the list of a folder's files: a line with the kind, then a line for each name.
pub(crate) const LIST: &str = ".datasway-files";
/// First word of the list.
const TITLE: &str = "datasway ";
/// Bytes of a file that are searched for a mark.
const SEARCHED: u64 = 1 << 16;

/// A kind of output, by the names of its files. In names `*` stands for any characters; a kind that has its folder to itself has
/// `*` alone.
#[derive(Debug)]
pub struct Kind {
    /// What it is called, such as `training run`.
    pub name: &'static str,
    /// Its files. The last of them is put into place last, and tells that the others are complete.
    pub files: &'static [&'static str],
    /// What tells it in a folder without a list of files, as earlier versions left them: files, each with words near its beginning.
    pub marks: &'static [(&'static str, &'static str)],
}

/// Why a folder cannot take results.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The place is taken by a file.
    #[error("{} is not a folder", .0.display())]
    NotFolder(PathBuf),
    /// The folder holds something else.
    #[error("{} holds {found} and is not the folder of a {kind}", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// One of the things in it.
        found: String,
        /// What was to be written.
        kind: &'static str,
    },
    /// Another process writes there.
    #[error("{} is in use by {}", path.display(), holder.as_ref().map_or_else(|| "another process".to_owned(), Holder::to_string))]
    Held {
        /// The folder.
        path: PathBuf,
        /// The process, unless it has just ended.
        holder: Option<Holder>,
    },
    /// The system refuses.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A folder that belongs to one run until this is dropped.
#[derive(Debug)]
pub struct OutputFolder {
    path: PathBuf,
    kind: &'static Kind,
    made: bool,
    claim: Option<Claim>,
}

impl OutputFolder {
    /// Makes the folder, if it is not there, and claims it. What it holds stays as it is.
    ///
    /// # Errors
    /// If it is no folder, cannot be written, holds something that is not of this kind, or is in use.
    pub fn open(path: &Path, kind: &'static Kind) -> Result<Self, OutputError> {
        if path.exists() && !path.is_dir() {
            return Err(OutputError::NotFolder(path.to_owned()));
        }
        let made = !path.exists();
        if !made {
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
            made,
            claim,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what an earlier run of this kind left, and marks the folder as one of this kind, whose files grow in place.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn start_over(&self) -> Result<(), OutputError> {
        let earlier = self.earlier()?;
        self.go_on()?;
        Ok(self.remove(&earlier)?)
    }

    /// Marks the folder as one of this kind, whose files grow in place, and keeps what is there.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn go_on(&self) -> Result<(), OutputError> {
        Ok(self.record(self.kind.files)?)
    }

    /// The files that earlier runs of this kind left, and what killed ones left beside them.
    fn earlier(&self) -> Result<Vec<String>, OutputError> {
        let list = List::read(&self.path);
        let whole = self.kind.files == ["*"];
        let known = |name: &str| match &list {
            Some(list) if !whole => list.names.iter().any(|pattern| matches(pattern, name)),
            _ => self.kind.files.iter().any(|pattern| matches(pattern, name)),
        };
        let left = |name: &str| {
            let kept = [claim::FILE, LIST].contains(&name);
            name.starts_with(BESIDE) && !kept || !name.starts_with('.') && known(name)
        };
        let mut names = entries(&self.path, self.kind)?;
        names.retain(|name| left(name));
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
        crate::write(&self.path.join(LIST), text.as_bytes())
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        self.claim.take();
        if self.made {
            // Gone only if nothing was written.
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}

/// A folder whose files are written beside their places, and put into them all at once when they are complete. Until then, and if
/// the run fails, the results of the last run stay.
#[derive(Debug)]
pub struct ResultFolder {
    stage: TempDir,
    folder: OutputFolder,
}

impl ResultFolder {
    /// Makes the folder, if it is not there, and claims it.
    ///
    /// # Errors
    /// As [`OutputFolder::open`].
    pub fn begin(path: &Path, kind: &'static Kind) -> Result<Self, OutputError> {
        let folder = OutputFolder::open(path, kind)?;
        let mut left = folder.earlier()?;
        left.retain(|name| name.starts_with(BESIDE));
        folder.remove(&left)?;
        let stage = beside(0o777).tempdir_in(path).map_err(failed(path))?;
        Ok(Self { stage, folder })
    }

    /// Where to write the files.
    pub fn path(&self) -> &Path {
        self.stage.path()
    }

    /// Puts the files into the place of what the last run left.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn finish(self) -> Result<(), OutputError> {
        let Self { stage, folder } = self;
        let last = folder.kind.files.last().copied().unwrap_or_default();
        let mut names = names(stage.path())?;
        names.sort_by_key(|name| (name == last, name.clone()));
        let mut old = folder.earlier()?;
        old.retain(|name| !name.starts_with(BESIDE));
        // From here to the end a run that is killed leaves files that the next one knows as its own.
        folder.record(&[&names[..], &old[..]].concat())?;
        // Without the last file the folder is not complete.
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

/// What a folder of a kind holds, by name; an error if it holds something that is not of this kind, unless it is marked as one.
fn entries(path: &Path, kind: &'static Kind) -> Result<Vec<String>, OutputError> {
    let names = names(path)?;
    let ours = match List::read(path) {
        Some(list) => list.kind == kind.name,
        None => !kind.marks.is_empty() && kind.marks.iter().all(|mark| marked(path, mark)),
    };
    let in_the_way = |name: &str| {
        let known = kind.files.iter().any(|pattern| matches(pattern, name));
        known && kind.files != ["*"] && !path.join(name).is_file()
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

/// The names in a folder, in order.
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

/// Whether a file is there and has some words near its beginning.
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

/// Whether a name is that of a pattern with at most one `*`.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => {
            let rest = name.strip_prefix(start);
            rest.is_some_and(|rest| rest.ends_with(end))
        }
    }
}

/// The list of a folder's files.
struct List {
    kind: String,
    names: Vec<String>,
}

impl List {
    /// The list, if there is one.
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

    /// Names that are not hidden, and whether the folder holds anything that is.
    fn visible(path: &Path) -> Vec<String> {
        let mut names = names(path).unwrap();
        names.retain(|name| !name.starts_with('.') || name.starts_with(BESIDE) && name != LIST);
        names
    }

    fn run(path: &Path, files: &[&str]) -> Result<(), OutputError> {
        let results = ResultFolder::begin(path, &KIND)?;
        for name in files {
            crate::write(&results.path().join(name), name.as_bytes())?;
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
        // A run that fails leaves what is there.
        let failing = ResultFolder::begin(&path, &KIND).unwrap();
        crate::write(&failing.path().join("d.png"), b"half").unwrap();
        drop(failing);
        assert_eq!(visible(&path), expected);
    }

    /// The list may have been written by anybody.
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
        let path = folder.path().join("out");
        let open = OutputFolder::open(&path, &KIND).unwrap();
        std::fs::write(path.join(claim::FILE), "elsewhere 1\n").unwrap();
        let error = OutputFolder::open(&path, &KIND).unwrap_err().to_string();
        assert!(
            error.ends_with("out is in use by process 1 on elsewhere"),
            "{error}"
        );
        std::fs::remove_file(path.join(claim::FILE)).unwrap();
        drop(open);
        assert!(!path.exists(), "an empty folder that was made goes again");
        let open = OutputFolder::open(&path, &KIND).unwrap();
        open.start_over().unwrap();
        crate::write(&path.join("a.png"), b"").unwrap();
        drop(open);
        assert_eq!(visible(&path), ["a.png"]);
        let open = OutputFolder::open(&path, &KIND).unwrap();
        open.go_on().unwrap();
        assert_eq!(visible(&path), [".datasway-claim", "a.png"]);
        open.start_over().unwrap();
        assert_eq!(visible(&path), [".datasway-claim"]);
    }
}
