//! A folder of images; a subfolder is a class.
//!
//! An image of CelebA's aligned proportions (178 x 218, 89 x 109, ...) is cropped as in CelebA's layout, so that
//! faces from both line up; of any other image the centre square is kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datasway_fs::{grouped, plural};
use sha2::Sha256;

use crate::input::entries;
use crate::listing::{Listing, centre};
use crate::report::Report;
use crate::words::{line, some};
use crate::{Classes, DataError, celeba, picture};

/// Extensions of image files.
const ENDINGS: [&str; 7] = ["jpg", "jpeg", "jpe", "jfif", "png", "bmp", "webp"];
/// Depth to which folders are searched for images that are passed over.
const DEPTH: usize = 16;

/// Lists the images in `root`, sorted by path. If there are none, lists those of its subfolders, each of which is a class.
///
/// Images are recognised by their extension. Other files are reported.
///
/// # Errors
/// If there are images both in `root` and in subfolders, or none at all.
pub(crate) fn list(root: &Path) -> Result<Listing, DataError> {
    let top = Contents::of(root)?;
    let mut passed = PassedOver::default();
    passed.add(&top);
    let (mut classes, mut labels, mut paths) = (Vec::new(), Vec::new(), Vec::new());
    let mut with_images = Vec::new();
    for folder in &top.folders {
        if leads_back(folder, root) {
            passed.circular += 1;
            continue;
        }
        let name = file_name(folder);
        let inside = Contents::of(folder)?;
        let mut deeper = 0;
        for nested in &inside.folders {
            let images = images_below(nested, DEPTH);
            passed.nested(format!("{name}/{}", file_name(nested)), images);
            deeper += images;
        }
        if !inside.images.is_empty() || deeper > 0 {
            with_images.push(name.clone());
        }
        if inside.images.is_empty() {
            passed.without_images.push(name);
            passed.add_inside(&inside);
            continue;
        }
        passed.add(&inside);
        if folder.file_name().is_some_and(|n| n.to_str().is_none()) {
            return Err(DataError::BadPath {
                path: folder.clone(),
                reason: "names a class, but its name is not Unicode; rename it".into(),
            });
        }
        labels.extend(vec![classes.len(); inside.images.len()]);
        classes.push(name);
        paths.extend(inside.images);
    }
    if !top.images.is_empty() && !with_images.is_empty() {
        return Err(ambiguous(root, top.images.len(), &with_images));
    }
    if paths.is_empty() && top.images.is_empty() {
        return Err(none(root, passed));
    }
    let mut notices = Vec::new();
    let classes = if top.images.is_empty() {
        notices.extend(alike(&classes));
        notices.extend(parts_of_a_set(&classes));
        notices.extend(linked(root, &classes));
        Some(Classes {
            names: classes,
            labels,
        })
    } else {
        paths = top.images;
        None
    };
    let mut listing = files(paths, classes);
    listing.report.passed_over = passed.described();
    listing.report.notices = notices;
    Ok(listing)
}

/// The image files `paths`.
pub(crate) fn files(paths: Vec<PathBuf>, classes: Option<Classes>) -> Listing {
    let names: Vec<String> = match &classes {
        Some(c) => paths
            .iter()
            .zip(&c.labels)
            .map(|(p, &l)| format!("{}/{}", c.names[l], file_name(p)))
            .collect(),
        None => paths.iter().map(|p| file_name(p)).collect(),
    };
    Listing {
        report: Report {
            held: names.len(),
            ..Report::default()
        },
        names,
        attributes: None,
        by_class: classes.is_some(),
        classes,
        origins: paths.clone(),
        files: paths.clone(),
        tables: Sha256::default(),
        grey: false,
        decode: Box::new(move |i| {
            let image = picture::decode(&paths[i])?;
            let square = match image.dimensions() {
                (width, height) if celeba::is_aligned(width, height) => celeba::crop(width, height),
                (width, height) => centre(width, height),
            };
            Ok((image, square))
        }),
    }
}

/// Direct content of a folder.
#[derive(Default)]
struct Contents {
    images: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    /// Extensions of other files and their counts.
    others: BTreeMap<String, usize>,
    hidden_files: usize,
    hidden_folders: usize,
}

impl Contents {
    fn of(folder: &Path) -> Result<Self, DataError> {
        let mut contents = Self::default();
        for path in entries(folder)? {
            match (is_hidden(&path), path.is_dir()) {
                (true, true) => contents.hidden_folders += 1,
                (true, false) => contents.hidden_files += 1,
                (false, true) => contents.folders.push(path),
                (false, false) if is_image(&path) => contents.images.push(path),
                (false, false) => *contents.others.entry(ending(&path)).or_default() += 1,
            }
        }
        Ok(contents)
    }
}

/// Content of a folder and its subfolders that is passed over.
#[derive(Default)]
struct PassedOver {
    others: BTreeMap<String, usize>,
    hidden_files: usize,
    hidden_folders: usize,
    without_images: Vec<String>,
    nested: Vec<String>,
    nested_images: usize,
    circular: usize,
}

impl PassedOver {
    fn add(&mut self, contents: &Contents) {
        self.add_inside(contents);
        self.hidden_folders += contents.hidden_folders;
    }

    /// Adds the files of a folder without images, hidden folders included.
    fn add_inside(&mut self, contents: &Contents) {
        for (ending, count) in &contents.others {
            *self.others.entry(ending.clone()).or_default() += count;
        }
        self.hidden_files += contents.hidden_files;
    }

    fn nested(&mut self, name: String, images: usize) {
        if images > 0 {
            self.nested.push(name);
            self.nested_images += images;
        }
    }

    fn described(&self) -> Vec<String> {
        let mut parts: Vec<String> = self
            .others
            .iter()
            .map(|(ending, count)| {
                if ending.is_empty() {
                    format!("{} without an ending", plural(*count, "file"))
                } else {
                    format!("{} .{}", grouped(*count), line(ending))
                }
            })
            .collect();
        for (count, thing) in [
            (self.hidden_files, "hidden file"),
            (self.hidden_folders, "hidden folder"),
            (self.circular, "folder that leads back here"),
        ] {
            if count > 0 {
                parts.push(match count {
                    1 => format!("1 {thing}"),
                    _ if thing.starts_with("folder") => {
                        format!("{} that lead back here", plural(count, "folder"))
                    }
                    _ => plural(count, thing),
                });
            }
        }
        if !self.without_images.is_empty() {
            parts.push(format!(
                "{} without images ({})",
                plural(self.without_images.len(), "folder"),
                some(&self.without_images)
            ));
        }
        if self.nested_images > 0 {
            parts.push(format!(
                "{} in nested folders ({})",
                plural(self.nested_images, "image"),
                some(&self.nested)
            ));
        }
        parts
    }
}

fn ambiguous(root: &Path, images: usize, folders: &[String]) -> DataError {
    let (images, count) = (plural(images, "image"), plural(folders.len(), "folder"));
    DataError::Ambiguous {
        path: root.into(),
        reason: format!(
            "holds {images} and {count} with images ({}), so it may be meant as {images} without classes or as a class for each folder; \
             move the images into a folder of their class or the folders elsewhere, or name one folder",
            some(folders)
        ),
    }
}

fn none(root: &Path, passed: PassedOver) -> DataError {
    let because = match passed.nested.first().and_then(|n| n.split('/').next()) {
        Some(outer) => format!(
            " (its images lie deeper, such as in {}: name the folder `{}`)",
            some(&passed.nested),
            root.join(outer).display()
        ),
        None if passed.described().is_empty() => " (the folder is empty)".into(),
        None => format!(" (passed over: {})", passed.described().join(", ")),
    };
    DataError::Empty {
        selection: format!("folder:{}", root.display()),
        because,
    }
}

/// A notice of classes whose names differ in upper and lower case alone.
fn alike(classes: &[String]) -> Option<String> {
    let mut seen = BTreeMap::new();
    classes.iter().find_map(|class| {
        let twin = seen.insert(class.to_lowercase(), class)?;
        Some(format!(
            "the classes {} differ in upper and lower case alone",
            some(&[twin.clone(), class.clone()])
        ))
    })
}

/// A notice of classes whose names are those of the parts of a data set.
fn parts_of_a_set(classes: &[String]) -> Option<String> {
    let parts = [
        "train",
        "training",
        "val",
        "valid",
        "validation",
        "test",
        "testing",
    ];
    let is_part = |class: &String| parts.contains(&class.to_lowercase().as_str());
    (classes.iter().all(is_part)).then(|| {
        format!(
            "{} are taken for classes; name one of the folders if they are parts of a data set",
            some(classes)
        )
    })
}

/// A notice of two classes that are one folder, by a symbolic link: its images count twice.
fn linked(root: &Path, classes: &[String]) -> Option<String> {
    let mut seen = BTreeMap::new();
    classes.iter().find_map(|class| {
        let place = root.join(class).canonicalize().ok()?;
        let twin = seen.insert(place, class)?;
        Some(format!(
            "the classes {} are one folder, whose images count twice",
            some(&[twin.clone(), class.clone()])
        ))
    })
}

/// Tells whether a folder is `root` or one of its parents, by a symbolic link.
fn leads_back(folder: &Path, root: &Path) -> bool {
    match (folder.canonicalize(), root.canonicalize()) {
        (Ok(folder), Ok(root)) => root.starts_with(folder),
        _ => false,
    }
}

/// The number of images in a folder and below it; symbolic links to folders are not followed, so it ends.
fn images_below(folder: &Path, depth: usize) -> usize {
    let Ok(contents) = Contents::of(folder) else {
        return 0;
    };
    let below: usize = match depth {
        0 => 0,
        _ => (contents.folders.iter().filter(|f| !f.is_symlink()))
            .map(|f| images_below(f, depth - 1))
            .sum(),
    };
    contents.images.len() + below
}

/// Tells whether a file or folder belongs to a system or a tool.
fn is_hidden(path: &Path) -> bool {
    let name = file_name(path);
    let tools = [
        "__macosx",
        "__pycache__",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
    ];
    name.starts_with('.') || tools.contains(&name.to_lowercase().as_str())
}

fn is_image(path: &Path) -> bool {
    ENDINGS.contains(&ending(path).as_str())
}

/// The extension of a name in lower case, without its dot.
fn ending(path: &Path) -> String {
    path.extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase()
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
