//! CelebA's layout: `img_align_celeba/`, `list_attr_celeba.txt`, optional partition and identity files.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use datasway_fs::plural;
use sha2::{Digest, Sha256};

use crate::input::{MOST_TABLE, entries, read};
use crate::listing::{Listing, Square};
use crate::report::Report;
use crate::{Attributes, DataError, picture};

/// The table of attributes.
pub(crate) const TABLE: &str = "list_attr_celeba.txt";
/// The folder of images.
pub(crate) const IMAGES: &str = "img_align_celeba";

/// The face's square: side 148 centred at (89, 121) of 178 x 218, in proportion to `width` x `height`.
pub(crate) fn crop(width: u32, height: u32) -> Square {
    let (w, h) = (f64::from(width), f64::from(height));
    let side = ((w * 148.0 / 178.0).round() as u32).min(height).max(1);
    let start = |centre: f64, limit: u32| {
        ((centre - f64::from(side) / 2.0).round().max(0.0) as u32).min(limit - side)
    };
    (
        start(w / 2.0, width),
        start(h * 121.0 / 218.0, height),
        side,
    )
}

/// Tells whether `width` x `height` has the proportions of 178 x 218, with either side rounded to the nearest pixel.
pub(crate) fn is_aligned(width: u32, height: u32) -> bool {
    let round = |a: u32, b: u32, c: u32| (f64::from(a) * f64::from(b) / f64::from(c)).round();
    round(width, 218, 178) == f64::from(height) || round(height, 178, 218) == f64::from(width)
}

/// Lists the images named by the attribute table under `root`.
pub(crate) fn list(root: &Path) -> Result<Listing, DataError> {
    let path = root.join(TABLE);
    let mut tables = Sha256::new();
    let (names, attributes) = read_attributes(&Table::read(&path, &mut tables)?)?;
    for (optional, valid) in [
        ("list_eval_partition.txt", is_part as fn(&str) -> bool),
        ("identity_CelebA.txt", is_person),
    ] {
        let path = root.join(optional);
        if path.exists() {
            check(&Table::read(&path, &mut tables)?, &names, valid)?;
        }
    }
    let folder = root.join(IMAGES);
    let mut report = Report {
        held: names.len(),
        ..Report::default()
    };
    let listed: HashSet<_> = names.iter().map(|n| folder.join(n)).collect();
    let there = entries(&folder)?;
    let unlisted = there.iter().filter(|p| !listed.contains(*p)).count();
    if unlisted > 0 {
        report.passed_over.push(format!(
            "{} that {TABLE} does not list",
            plural(unlisted, "file")
        ));
    }
    let origins: Vec<_> = names.iter().map(|n| folder.join(n)).collect();
    let paths = origins.clone();
    Ok(Listing {
        names,
        attributes: Some(attributes),
        classes: None,
        by_class: false,
        files: origins.clone(),
        origins,
        tables,
        grey: false,
        report,
        decode: Box::new(move |i| {
            let image = picture::decode(&paths[i]).map_err(|error| match error {
                DataError::Missing(missing) => DataError::MissingImage {
                    beside: namesake(&missing),
                    path: missing,
                    table: path.clone(),
                },
                other => other,
            })?;
            let square = crop(image.width(), image.height());
            Ok((image, square))
        }),
    })
}

/// A file in the folder of a missing one whose name differs in its extension only.
fn namesake(path: &Path) -> Option<PathBuf> {
    ["jpg", "jpeg", "png", "JPG", "PNG", "webp", "bmp"]
        .iter()
        .map(|ending| path.with_extension(ending))
        .find(|other| other.exists())
}

/// A text file of lines that start with an image's name.
struct Table {
    path: PathBuf,
    text: String,
}

impl Table {
    /// Reads a table and adds its content to `tables`.
    fn read(path: &Path, tables: &mut Sha256) -> Result<Self, DataError> {
        let bytes = read(path, MOST_TABLE)?;
        tables.update(Sha256::digest(&bytes));
        let table = |text| Self {
            path: path.into(),
            text,
        };
        let text = String::from_utf8(bytes)
            .map_err(|_| table(String::new()).bad("is not text in UTF-8".into()))?;
        // Some editors write a byte-order mark.
        Ok(table(match text.strip_prefix('\u{feff}') {
            Some(unmarked) => unmarked.to_owned(),
            None => text,
        }))
    }

    fn bad(&self, reason: String) -> DataError {
        DataError::BadAttributes {
            path: self.path.clone(),
            reason,
        }
    }

    /// Fails if a name occurs twice or is not a plain file name.
    fn check_names<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<(), DataError> {
        let mut seen = HashSet::new();
        for name in names {
            if !is_plain(name) {
                return Err(self.bad(format!(
                    "lists `{name}`, which is not the name of a file in {IMAGES}"
                )));
            }
            if !seen.insert(name) {
                return Err(self.bad(format!("lists {name} twice")));
            }
        }
        Ok(())
    }
}

/// Tells whether a name is that of a file in the folder itself.
fn is_plain(name: &str) -> bool {
    !name.contains(['/', '\\', '\0']) && !matches!(name, "." | "..")
}

/// Reads the count, the attribute names, and one line for each image with 1 or -1 for each attribute.
fn read_attributes(table: &Table) -> Result<(Vec<String>, Attributes), DataError> {
    let mut lines = table.text.lines();
    let first = lines.next().unwrap_or_default().trim();
    let count: usize = first
        .parse()
        .map_err(|_| table.bad(format!("starts with `{first}` instead of a count")))?;
    let header: Vec<String> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(Into::into)
        .collect();
    if header.is_empty() {
        return Err(table.bad("names no attribute in its second line".into()));
    }
    let mut columns = HashMap::new();
    for (column, name) in header.iter().enumerate() {
        if name.parse::<f64>().is_ok() {
            return Err(table.bad(format!(
                "has the number {name} in its second line instead of an attribute"
            )));
        }
        if let Some(before) = columns.insert(name, column) {
            return Err(table.bad(format!(
                "has the attribute {name} twice, in columns {} and {}",
                before + 1,
                column + 1
            )));
        }
    }
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for line in lines.filter(|l| !l.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        let row: Option<Vec<bool>> = words
            .map(|w| match w {
                "1" => Some(true),
                "-1" | "0" => Some(false),
                _ => None,
            })
            .collect();
        let row = row.filter(|r| r.len() == header.len()).ok_or_else(|| {
            table.bad(format!(
                "does not give {} values to {name}, each 1 or -1",
                header.len()
            ))
        })?;
        names.push(name.to_owned());
        values.push(row);
    }
    if names.len() != count {
        return Err(table.bad(format!(
            "announces {} and lists {}",
            plural(count, "image"),
            names.len()
        )));
    }
    table.check_names(names.iter().map(String::as_str))?;
    Ok((
        names,
        Attributes {
            names: header,
            values,
        },
    ))
}

/// Fails unless a table has one line for every image, and after each name one valid value.
fn check(table: &Table, names: &[String], valid: fn(&str) -> bool) -> Result<(), DataError> {
    let mut listed = Vec::new();
    for line in table.text.lines().filter(|l| !l.trim().is_empty()) {
        let words: Vec<_> = line.split_whitespace().collect();
        let [name, value] = words[..] else {
            return Err(table.bad(format!(
                "has the line `{line}` instead of a name and a number"
            )));
        };
        if !valid(value) {
            return Err(table.bad(format!(
                "gives {name} the value `{value}`, which it cannot have"
            )));
        }
        listed.push(name);
    }
    table.check_names(listed.iter().copied())?;
    let listed: HashSet<_> = listed.into_iter().collect();
    match names.iter().find(|n| !listed.contains(n.as_str())) {
        Some(name) => Err(table.bad(format!("does not list {name}"))),
        None => Ok(()),
    }
}

/// Tells whether a value is a part of the data set: training, validation or test.
fn is_part(value: &str) -> bool {
    matches!(value, "0" | "1" | "2")
}

/// Tells whether a value is the number of a person.
fn is_person(value: &str) -> bool {
    value.bytes().all(|b| b.is_ascii_digit())
}
