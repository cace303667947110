//! Decoded sets on disk: header length and CRC-32 of all that follows (u64 each, little-endian), JSON header, pixels.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Crc;
use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::dataset::{Pixels, hex};
use crate::listing::{Listing, io};
use crate::{Attributes, Classes, DataError, Dataset, LoadOptions, Shape};

/// To be raised whenever the file's form, the decoding or the drawing of procedural faces changes.
const VERSION: u32 = 4;

/// Bytes before the header.
const PRELUDE: usize = 16;

#[derive(Serialize, Deserialize)]
struct Header {
    name: String,
    shape: Shape,
    names: Vec<String>,
    attributes: Option<Attributes>,
    classes: Option<Classes>,
    fingerprint: String,
    skipped: usize,
    first_skipped: Option<String>,
}

/// The cache file for these settings and the present state of the source files.
pub(crate) fn path(
    folder: &Path,
    source: &str,
    listing: &Listing,
    options: &LoadOptions,
) -> PathBuf {
    let mut hash = Sha256::new().chain_update(format!(
        "{VERSION} {source} {:?} {} {:?} {}",
        options.size, options.grey, options.limit, options.skip_bad
    ));
    for file in &listing.files {
        let state = std::fs::metadata(file)
            .ok()
            .map(|m| (m.len(), m.modified().ok()));
        hash.update(format!("{file:?} {state:?}"));
    }
    folder.join(format!("{}.pixels", hex(hash)))
}

/// Maps a cache file; `None` if it is absent, truncated or damaged.
pub(crate) fn open(path: &Path) -> Option<Dataset> {
    let file = File::open(path).ok()?;
    // SAFETY: cache files are replaced by renaming, never written in place.
    let map = unsafe { Mmap::map(&file) }.ok()?;
    let number = |at: usize| Some(u64::from_le_bytes(map.get(at..at + 8)?.try_into().ok()?));
    let offset = usize::try_from(number(0)?).ok()?.checked_add(PRELUDE)?;
    let header = map.get(PRELUDE..offset)?;
    if number(8)? != checksum(&[&map[PRELUDE..]]) {
        return None;
    }
    let header: Header = serde_json::from_slice(header).ok()?;
    if map.len() - offset != header.names.len().checked_mul(header.shape.dim())? {
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
        pixels: Pixels::Mapped {
            map: Arc::new(map),
            offset,
        },
    })
}

/// Writes a cache file whole or not at all.
pub(crate) fn write(path: &Path, data: &Dataset) -> Result<(), DataError> {
    let header = Header {
        name: data.name.clone(),
        shape: data.shape,
        names: data.names.clone(),
        attributes: data.attributes.clone(),
        classes: data.classes.clone(),
        fingerprint: data.fingerprint.clone(),
        skipped: data.skipped,
        first_skipped: data.first_skipped.clone(),
    };
    std::fs::create_dir_all(files::folder_of(path)).map_err(|e| io(path, e))?;
    let save = |file: &mut File| {
        let header = serde_json::to_vec(&header)?;
        let sum = checksum(&[&header, data.bytes()]);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&sum.to_le_bytes())?;
        file.write_all(&header)?;
        file.write_all(data.bytes())
    };
    files::write_with(path, save).map_err(|e| io(path, e.reason))
}

/// CRC-32 of the parts, one after the other.
fn checksum(parts: &[&[u8]]) -> u64 {
    let mut crc = Crc::new();
    parts.iter().for_each(|part| crc.update(part));
    crc.sum().into()
}
