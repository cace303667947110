//! Decoded sets on disk: header length and CRC-32 of all that follows (u64 each, little-endian), JSON header, pixels.
//!
//! A cache is known by its key: the settings, the content of every table and the state of every image file. On Unix that state
//! includes the time of the last change (ctime), which the system sets itself on every write, rename or change of the other times,
//! so an edited file cannot pass for the old one and need not be read. Elsewhere the files' content is in the key.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Crc;
use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::dataset::{Pixels, hex};
use crate::input::io;
use crate::listing::Listing;
use crate::report::Report;
use crate::{Attributes, Classes, DataError, Dataset, LoadOptions, Shape};

/// Version of a cache file. Raise it whenever the file's form, the decoding or the drawing of procedural faces changes.
const VERSION: u32 = 5;

/// Bytes before the header.
const PRELUDE: usize = 16;

#[derive(Serialize, Deserialize)]
struct CacheHeader {
    key: String,
    name: String,
    shape: Shape,
    names: Vec<String>,
    attributes: Option<Attributes>,
    classes: Option<Classes>,
    fingerprint: String,
    skipped: usize,
    first_skipped: Option<String>,
}

impl CacheHeader {
    /// Tells whether its parts fit each other and `pixels` bytes.
    fn fits(&self, pixels: usize) -> bool {
        let (n, shape) = (self.names.len(), self.shape);
        let attributes = self.attributes.as_ref().is_none_or(|a| {
            a.values.len() == n && a.values.iter().all(|row| row.len() == a.names.len())
        });
        let classes = self.classes.as_ref().is_none_or(|c| {
            c.labels.len() == n && c.labels.iter().all(|&label| label < c.names.len())
        });
        let expected = [shape.channels, shape.height, shape.width]
            .iter()
            .try_fold(n, |product, &factor| product.checked_mul(factor));
        matches!(shape.channels, 1 | 3)
            && shape.height == shape.width
            && n > 0
            && expected == Some(pixels)
            && attributes
            && classes
    }
}

/// The key of these settings and the present state of the source.
///
/// # Errors
/// If a file cannot be read, where files are identified by their content.
pub(crate) fn key(
    source: &str,
    listing: &Listing,
    options: &LoadOptions,
) -> Result<String, DataError> {
    let mut hash = Sha256::new().chain_update(format!(
        "{VERSION} {source} {:?} {} {:?} {}",
        options.size, options.grey, options.limit, options.skip_bad
    ));
    // The default has the keys that it had before there was another choice.
    if (options.crop, options.filter) != Default::default() {
        hash.update(format!(" {} {}", options.crop, options.filter));
    }
    hash.update(listing.tables.clone().finalize());
    let mut states = State::default();
    for file in &listing.files {
        hash.update(format!("{file:?} "));
        states.add(file, &mut hash)?;
    }
    states.settle();
    Ok(hex(hash))
}

/// The states of files by their metadata.
#[cfg(unix)]
#[derive(Default)]
struct State {
    /// The latest change of any, in seconds and nanoseconds.
    latest: (i64, i64),
}

#[cfg(unix)]
impl State {
    fn add(&mut self, file: &Path, hash: &mut Sha256) -> Result<(), DataError> {
        use std::os::unix::fs::MetadataExt;
        let state = std::fs::metadata(file).ok().map(|m| {
            let change = (m.ctime(), m.ctime_nsec());
            self.latest = self.latest.max(change);
            (m.dev(), m.ino(), m.len(), m.mtime(), m.mtime_nsec(), change)
        });
        hash.update(format!("{state:?}"));
        Ok(())
    }

    /// Waits until a further change would get another time: the system's clock for files advances in steps.
    fn settle(&self) {
        use std::time::{Duration, SystemTime};
        const STEP: Duration = Duration::from_millis(20);
        let Ok(seconds) = u64::try_from(self.latest.0) else {
            return;
        };
        let latest = Duration::new(seconds, self.latest.1 as u32);
        let age = SystemTime::UNIX_EPOCH
            .checked_add(latest)
            .and_then(|latest| latest.elapsed().ok());
        if age.is_some_and(|age| age < STEP) {
            std::thread::sleep(STEP);
        }
    }
}

/// The states of files by their content.
#[cfg(not(unix))]
#[derive(Default)]
struct State;

#[cfg(not(unix))]
impl State {
    fn add(&mut self, file: &Path, hash: &mut Sha256) -> Result<(), DataError> {
        match crate::input::read(file, crate::input::MOST_IMAGE) {
            Ok(bytes) => hash.update(Sha256::digest(bytes)),
            Err(error) => hash.update(error.to_string()),
        }
        Ok(())
    }

    fn settle(&self) {}
}

/// The cache file of a key.
pub(crate) fn path(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("{key}.pixels"))
}

/// Maps the cache file of a key, without the report. Returns `None` if it is absent, truncated, damaged or has another key.
pub(crate) fn open(path: &Path, key: &str) -> Option<Dataset> {
    if !path.is_file() {
        return None;
    }
    let file = File::open(path).ok()?;
    // SAFETY: cache files are replaced by renaming, never written in place.
    let map = unsafe { Mmap::map(&file) }.ok()?;
    let number = |offset: usize| {
        Some(u64::from_le_bytes(
            map.get(offset..offset + 8)?.try_into().ok()?,
        ))
    };
    let offset = usize::try_from(number(0)?).ok()?.checked_add(PRELUDE)?;
    let header = map.get(PRELUDE..offset)?;
    if number(8)? != checksum(&[&map[PRELUDE..]]) {
        return None;
    }
    let header: CacheHeader = serde_json::from_slice(header).ok()?;
    if header.key != key || !header.fits(map.len() - offset) {
        return None;
    }
    Some(Dataset {
        name: header.name,
        shape: header.shape,
        names: header.names,
        attributes: header.attributes,
        classes: header.classes,
        fingerprint: header.fingerprint,
        skipped: header.skipped,
        first_skipped: header.first_skipped,
        from_cache: true,
        report: Report::default(),
        pixels: Pixels::Mapped {
            map: Arc::new(map),
            offset,
        },
        cache_dir: path.parent().map(Path::to_path_buf),
        places: None,
    })
}

/// Writes a cache file whole or not at all.
pub(crate) fn write(path: &Path, key: &str, data: &Dataset) -> Result<(), DataError> {
    let header = CacheHeader {
        key: key.to_owned(),
        name: data.name.clone(),
        shape: data.shape,
        names: data.names.clone(),
        attributes: data.attributes.clone(),
        classes: data.classes.clone(),
        fingerprint: data.fingerprint.clone(),
        skipped: data.skipped,
        first_skipped: data.first_skipped.clone(),
    };
    let folder = datasway_fs::folder_of(path);
    std::fs::create_dir_all(folder).map_err(|reason| DataError::Io {
        path: folder.into(),
        reason,
    })?;
    let save = |file: &mut File| {
        let header = serde_json::to_vec(&header)?;
        let pixels = data.bytes();
        let parts: Vec<&[u8]> = std::iter::once(&header[..]).chain(pixels.clone()).collect();
        let sum = checksum(&parts);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&sum.to_le_bytes())?;
        file.write_all(&header)?;
        pixels.iter().try_for_each(|piece| file.write_all(piece))
    };
    datasway_fs::write_with(path, save).map_err(|e| io(path, e.reason))
}

/// CRC-32 of the parts, one after the other.
fn checksum(parts: &[&[u8]]) -> u64 {
    let mut crc = Crc::new();
    parts.iter().for_each(|slice| crc.update(slice));
    crc.sum().into()
}
