//! The selection language: names of some images of a data set.

use std::fmt;
use std::path::PathBuf;

use crate::load::decode;
use crate::source::whole;
use crate::{DataError, Dataset, LoadOptions, Source, folder, load};

/// Some images, by attribute, class, index or place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// `all`
    All,
    /// `attr:Male&!Smiling`: names, each with whether it must hold.
    Attributes(Vec<(String, bool)>),
    /// `class:8`
    Class(String),
    /// `index:3,17,100-120`: ranges, both ends included.
    Indices(Vec<(usize, usize)>),
    /// `folder:PATH`, cropped as by [`Source::Folder`].
    Folder(PathBuf),
    /// `image:PATH`, cropped as by [`Source::Folder`].
    Image(PathBuf),
}

/// The images of a selection.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one a selection, and a box would burden every caller"
)]
#[derive(Clone, Debug)]
pub enum Selected {
    /// Indices into the data set, ascending and without repeats.
    Indices(Vec<usize>),
    /// Images from elsewhere, of the data set's shape.
    External(Dataset),
}

impl Selection {
    /// Reads a selection.
    ///
    /// # Errors
    /// A text of another form.
    pub fn parse(text: &str) -> Result<Self, DataError> {
        let bad = || {
            DataError::BadSelection {
            selection: text.into(),
            reason: "is not understood; write all, attr:NAME, attr:!NAME, attr:A&B, class:NAME, index:3,17,100-120, folder:PATH or image:PATH".into(),
        }
        };
        if text == "all" {
            return Ok(Self::All);
        }
        let (kind, value) = text.split_once(':').ok_or_else(bad)?;
        if value.is_empty() {
            return Err(bad());
        }
        match kind {
            "attr" => value
                .split('&')
                .map(|term| match term.strip_prefix('!').unwrap_or(term) {
                    "" => Err(bad()),
                    name => Ok((name.to_owned(), !term.starts_with('!'))),
                })
                .collect::<Result<_, _>>()
                .map(Self::Attributes),
            "class" => Ok(Self::Class(value.into())),
            "index" => value
                .split(',')
                .map(|range| {
                    let (a, b) = range.split_once('-').unwrap_or((range, range));
                    match (whole(a), whole(b)) {
                        (Some(a), Some(b)) if a <= b => Ok((a, b)),
                        _ => Err(bad()),
                    }
                })
                .collect::<Result<_, _>>()
                .map(Self::Indices),
            "folder" => Ok(Self::Folder(value.into())),
            "image" => Ok(Self::Image(value.into())),
            _ => Err(bad()),
        }
    }

    /// The canonical form of a selection: unique sorted terms, merged ranges, resolved paths.
    #[must_use]
    pub fn canonical(self) -> Self {
        let resolved = |path: PathBuf| path.canonicalize().unwrap_or(path);
        match self {
            Self::Attributes(mut terms) => {
                terms.sort();
                terms.dedup();
                Self::Attributes(terms)
            }
            Self::Indices(mut ranges) => {
                ranges.sort_unstable();
                let mut merged: Vec<(usize, usize)> = Vec::new();
                for (first, last) in ranges {
                    match merged.last_mut() {
                        Some(before) if first <= before.1.saturating_add(1) => {
                            before.1 = before.1.max(last);
                        }
                        _ => merged.push((first, last)),
                    }
                }
                Self::Indices(merged)
            }
            Self::Folder(path) => Self::Folder(resolved(path)),
            Self::Image(path) => Self::Image(resolved(path)),
            other => other,
        }
    }

    /// The selected images of `data`, or images from elsewhere, decoded to its shape.
    ///
    /// # Errors
    /// An unknown attribute or class, an index out of range, an unreadable path, or no image.
    pub fn resolve(&self, data: &Dataset, options: &LoadOptions) -> Result<Selected, DataError> {
        let options = LoadOptions {
            size: Some(data.shape.height),
            grey: data.shape.channels == 1,
            limit: None,
            ..options.clone()
        };
        let indices = match self {
            Self::All => (0..data.len()).collect(),
            Self::Attributes(terms) => self.with_attributes(terms, data)?,
            Self::Class(name) => self.with_class(name, data)?,
            Self::Indices(ranges) => self.with_indices(ranges, data)?,
            Self::Folder(path) => {
                return load(&Source::Folder(path.clone()), &options).map(Selected::External);
            }
            Self::Image(path) => {
                let listing = folder::files(vec![path.clone()], None);
                let options = LoadOptions {
                    skip_bad: false,
                    ..options
                };
                return decode(&self.to_string(), &listing, &options).map(Selected::External);
            }
        };
        if indices.is_empty() {
            return Err(DataError::Empty {
                selection: self.to_string(),
                because: String::new(),
            });
        }
        Ok(Selected::Indices(indices))
    }

    fn bad(&self, reason: String) -> DataError {
        DataError::BadSelection {
            selection: self.to_string(),
            reason,
        }
    }

    fn with_attributes(
        &self,
        terms: &[(String, bool)],
        data: &Dataset,
    ) -> Result<Vec<usize>, DataError> {
        let Some(attributes) = &data.attributes else {
            return Err(self
                .bad("needs attributes, which this data set lacks; use class: or index:".into()));
        };
        let columns = terms
            .iter()
            .map(|(name, wanted)| {
                let column = attributes.names.iter().position(|n| n == name);
                column
                    .map(|a| (a, *wanted))
                    .ok_or_else(|| DataError::UnknownAttribute {
                        name: name.clone(),
                        nearest: nearest(name, &attributes.names),
                    })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok((0..data.len())
            .filter(|&i| columns.iter().all(|&(a, w)| attributes.values[i][a] == w))
            .collect())
    }

    fn with_class(&self, name: &str, data: &Dataset) -> Result<Vec<usize>, DataError> {
        let Some(classes) = &data.classes else {
            return Err(
                self.bad("needs classes, which this data set lacks; use attr: or index:".into())
            );
        };
        let Some(class) = classes.names.iter().position(|n| n == name) else {
            return Err(self.bad(format!(
                "names no class; the nearest are {}",
                nearest(name, &classes.names)
            )));
        };
        Ok((0..data.len())
            .filter(|&i| classes.labels[i] == class)
            .collect())
    }

    fn with_indices(
        &self,
        ranges: &[(usize, usize)],
        data: &Dataset,
    ) -> Result<Vec<usize>, DataError> {
        if let Some((_, last)) = ranges.iter().find(|r| r.1 >= data.len()) {
            return Err(self.bad(format!(
                "asks for image {last} of {}; count from 0",
                data.len()
            )));
        }
        // Ranges may overlap. Each index is taken once.
        let mut sorted = ranges.to_vec();
        sorted.sort_unstable();
        let (mut indices, mut next) = (Vec::new(), 0);
        for (first, last) in sorted {
            indices.extend(first.max(next)..=last);
            next = next.max(last + 1);
        }
        Ok(indices)
    }
}

/// The three names most like `name`.
fn nearest(name: &str, names: &[String]) -> String {
    let likeness = |n: &str| strsim::jaro_winkler(&n.to_lowercase(), &name.to_lowercase());
    let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
    sorted.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    sorted.truncate(3);
    sorted.join(", ")
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => write!(f, "all"),
            Self::Attributes(terms) => {
                let terms: Vec<_> = terms
                    .iter()
                    .map(|(n, w)| format!("{}{n}", if *w { "" } else { "!" }))
                    .collect();
                write!(f, "attr:{}", terms.join("&"))
            }
            Self::Class(name) => write!(f, "class:{name}"),
            Self::Indices(ranges) => {
                let parts: Vec<_> = ranges
                    .iter()
                    .map(|&(a, b)| {
                        if a == b {
                            a.to_string()
                        } else {
                            format!("{a}-{b}")
                        }
                    })
                    .collect();
                write!(f, "index:{}", parts.join(","))
            }
            Self::Folder(path) => write!(f, "folder:{}", path.display()),
            Self::Image(path) => write!(f, "image:{}", path.display()),
        }
    }
}
