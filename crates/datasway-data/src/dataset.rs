//! Decoded images in memory or mapped from the cache.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::input;
use crate::report::Report;

/// Largest text that is kept about a set, in bytes.
const MOST_KEPT: u64 = 1 << 12;

/// The shape of one image: `[channels, height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Rows, in pixels.
    pub height: usize,
    /// Columns, in pixels.
    pub width: usize,
}

impl Shape {
    /// Numbers in one image.
    pub fn dim(&self) -> usize {
        self.channels * self.height * self.width
    }
}

/// Binary attributes of every image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// The attributes' names.
    pub names: Vec<String>,
    /// `values[i][a]`: whether image `i` has attribute `a`.
    pub values: Vec<Vec<bool>>,
}

/// One class of every image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Classes {
    /// The classes' names.
    pub names: Vec<String>,
    /// `labels[i]`: the index into `names` of image `i`.
    pub labels: Vec<usize>,
}

/// Pixel storage: owned, or memory-mapped from the cache.
#[derive(Clone)]
pub(crate) enum Pixels {
    Owned(Arc<Vec<u8>>),
    Mapped { map: Arc<Mmap>, offset: usize },
}

impl Pixels {
    /// The bytes of every image of the storage.
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Mapped { map, offset } => &map[*offset..],
        }
    }
}

impl fmt::Debug for Pixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owned(_) => "in memory",
            Self::Mapped { .. } => "mapped from the cache",
        })
    }
}

/// Images of one shape with their names and labels.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The source, as written.
    pub name: String,
    /// The shape of every image.
    pub shape: Shape,
    /// One name for each image: its file name if it has one.
    pub names: Vec<String>,
    /// Attributes, if the source has them.
    pub attributes: Option<Attributes>,
    /// Classes, if the source has them.
    pub classes: Option<Classes>,
    /// SHA-256 (hex) of pixels, names and labels: the content alone, the same on every machine.
    pub fingerprint: String,
    /// Images left out because of [`skip_bad`](crate::LoadOptions::skip_bad): missing, unreadable, not images or too small.
    pub skipped: usize,
    /// The error of the first of them, with its file.
    pub first_skipped: Option<String>,
    /// True if the images were mapped from the cache instead of decoded.
    pub from_cache: bool,
    /// Other content of the source.
    pub report: Report,
    pub(crate) pixels: Pixels,
    /// Folder of the cache, if the set is in one.
    pub(crate) cache_dir: Option<PathBuf>,
    /// Places of the images in the storage; none if they are all of it, in its order.
    pub(crate) places: Option<Arc<Vec<usize>>>,
}

impl Dataset {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// True if there is no image.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Every image's bytes, `[n, channels, height, width]`, in as many pieces as the storage has.
    pub(crate) fn bytes(&self) -> Vec<&[u8]> {
        match self.places {
            None => vec![self.pixels.bytes()],
            Some(_) => (0..self.len()).map(|i| self.image(i)).collect(),
        }
    }

    /// Image `i` as bytes, `[channels, height, width]`. Panics if `i` is out of range.
    pub fn image(&self, i: usize) -> &[u8] {
        self.stored_image(self.place(i))
    }

    /// The place of image `i` in the storage of the pixels, which a data set shares with its [subsets](Self::subset). Panics
    /// if `i` is out of range.
    pub fn place(&self, i: usize) -> usize {
        match &self.places {
            None => i,
            Some(places) => places[i],
        }
    }

    /// Number of images in the storage.
    pub fn stored(&self) -> usize {
        self.pixels.bytes().len() / self.shape.dim().max(1)
    }

    /// The image at a place of the storage, as bytes. Panics if there is no such place.
    pub fn stored_image(&self, place: usize) -> &[u8] {
        let dim = self.shape.dim();
        &self.pixels.bytes()[place * dim..(place + 1) * dim]
    }

    /// True if the pixels of both are in one storage, so that equal places have equal pixels.
    pub fn shares_storage(&self, other: &Self) -> bool {
        self.shape == other.shape
            && std::ptr::eq(
                self.pixels.bytes().as_ptr_range().start,
                other.pixels.bytes().as_ptr_range().start,
            )
    }

    /// Image `i` as values `v / 127.5 - 1` in [-1, 1]. Panics if `i` is out of range.
    pub fn values(&self, i: usize) -> impl Iterator<Item = f32> + '_ {
        self.image(i).iter().map(|&v| f32::from(v) / 127.5 - 1.0)
    }

    /// Replaces `out` by the images `indices`, `[n, channels, height, width]`, values `v / 127.5 - 1` in [-1, 1].
    pub fn fill(&self, indices: &[usize], out: &mut Vec<f32>) {
        out.clear();
        out.reserve(indices.len() * self.shape.dim());
        for &i in indices {
            out.extend(self.values(i));
        }
    }

    /// A data set of the images `indices`, in that order. The pixels stay where they are.
    pub fn subset(&self, indices: &[usize]) -> Dataset {
        let mut subset = Dataset {
            name: self.name.clone(),
            shape: self.shape,
            names: indices.iter().map(|&i| self.names[i].clone()).collect(),
            attributes: self.attributes.as_ref().map(|a| a.subset(indices)),
            classes: self.classes.as_ref().map(|c| c.subset(indices)),
            fingerprint: String::new(),
            skipped: 0,
            first_skipped: None,
            from_cache: false,
            report: Report::default(),
            pixels: self.pixels.clone(),
            cache_dir: None,
            places: Some(Arc::new(indices.iter().map(|&i| self.place(i)).collect())),
        };
        subset.fingerprint = subset.content_hash();
        subset
    }

    /// A text that was [kept](Self::keep) about images of this fingerprint; none if there is no such text or no cache.
    pub fn kept(&self, name: &str) -> Option<String> {
        let bytes = input::read(&self.kept_path(name)?, MOST_KEPT).ok()?;
        String::from_utf8(bytes).ok()
    }

    /// Keeps a text that follows from the images, such as a number that takes long to compute, beside them in the cache. A set
    /// without a cache keeps nothing, and neither does a cache that cannot be written.
    pub fn keep(&self, name: &str, text: &str) {
        if let Some(path) = self.kept_path(name) {
            // The text is computed again at the next start.
            let _ = datasway_fs::write(&path, text.as_bytes());
        }
    }

    fn kept_path(&self, name: &str) -> Option<PathBuf> {
        let folder = self.cache_dir.as_ref()?;
        Some(folder.join(format!("{}.{name}", self.fingerprint)))
    }

    /// SHA-256 (hex) of shape, names, labels and pixels.
    pub(crate) fn content_hash(&self) -> String {
        let labels = serde_json::json!([self.shape, self.names, self.attributes, self.classes]);
        let mut hash = Sha256::new().chain_update(labels.to_string());
        self.bytes().iter().for_each(|piece| hash.update(piece));
        hex(hash)
    }
}

impl Attributes {
    pub(crate) fn subset(&self, indices: &[usize]) -> Self {
        Self {
            names: self.names.clone(),
            values: indices.iter().map(|&i| self.values[i].clone()).collect(),
        }
    }
}

impl Classes {
    pub(crate) fn subset(&self, indices: &[usize]) -> Self {
        Self {
            names: self.names.clone(),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
        }
    }
}

/// A digest in hexadecimal.
pub(crate) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
