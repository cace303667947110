//! From a source to decoded pixels.

use std::path::PathBuf;

use indicatif::{ParallelProgressIterator, ProgressBar, ProgressStyle};
use rayon::prelude::*;

use crate::dataset::Pixels;
use crate::listing::Listing;
use crate::{DataError, Dataset, Shape, Source, cache, resize};

/// How a source is decoded.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Side of the square images in pixels; the first image's crop if absent (64 for procedural faces).
    pub size: Option<usize>,
    /// One channel instead of three.
    pub grey: bool,
    /// At most this many images, the first ones.
    pub limit: Option<usize>,
    /// Leave out images that are listed but missing, unreadable, truncated, not images or too small, and
    /// count them in [`Dataset::skipped`]; the first of them is an error otherwise.
    pub skip_bad: bool,
    /// Where decoded sets are kept; nothing is kept if absent.
    pub cache_dir: Option<PathBuf>,
    /// Show a progress bar on stderr.
    pub progress: bool,
}

/// Decodes `source`, or maps it from the cache.
///
/// # Errors
/// A missing folder or table, a table or binary file that does not hold what it announces, or no image
/// at all; without `skip_bad`, also the first image that is missing, bad or too small.
pub fn load(source: &Source, options: &LoadOptions) -> Result<Dataset, DataError> {
    let listing = source.list(options.size)?;
    let Some(folder) = &options.cache_dir else {
        return decode(&source.to_string(), &listing, options);
    };
    let path = cache::path(folder, &source.to_string(), &listing, options);
    if let Some(found) = cache::open(&path) {
        return Ok(found);
    }
    let decoded = decode(&source.to_string(), &listing, options)?;
    cache::write(&path, &decoded)?;
    Ok(decoded)
}

/// Decodes a listing in parallel.
pub(crate) fn decode(
    name: &str,
    listing: &Listing,
    options: &LoadOptions,
) -> Result<Dataset, DataError> {
    let count = listing.names.len().min(options.limit.unwrap_or(usize::MAX));
    let size = match options.size {
        Some(size) => Some(size),
        None => (0..count)
            .find_map(|i| (listing.decode)(i).ok())
            .map(|(_, square)| square.2 as usize),
    };
    let grey = options.grey || listing.grey;
    let one = |i: usize| {
        let (image, square) = (listing.decode)(i)?;
        let want = size.unwrap_or(square.2 as usize);
        if (square.2 as usize) < want {
            return Err(DataError::TooSmall {
                path: listing.origins[i].clone(),
                have: square.2 as usize,
                want,
            });
        }
        Ok(resize::area(&image, square, want, grey))
    };
    let bar = bar(count, options.progress);
    let decoded: Vec<_> = (0..count)
        .into_par_iter()
        .progress_with(bar)
        .map(one)
        .collect();
    let (mut kept, mut pixels, mut first_skipped) = (Vec::new(), Vec::new(), None);
    for (i, result) in decoded.into_iter().enumerate() {
        match result {
            Ok(bytes) => {
                kept.push(i);
                pixels.extend(bytes);
            }
            Err(error) if options.skip_bad => {
                first_skipped.get_or_insert_with(|| error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
    let Some(size) = size.filter(|&s| s > 0 && !kept.is_empty()) else {
        return Err(DataError::Empty(name.into()));
    };
    let mut dataset = Dataset {
        name: name.into(),
        shape: Shape {
            channels: if grey { 1 } else { 3 },
            height: size,
            width: size,
        },
        names: kept.iter().map(|&i| listing.names[i].clone()).collect(),
        attributes: listing.attributes.as_ref().map(|a| a.subset(&kept)),
        classes: listing.classes.as_ref().map(|c| c.subset(&kept)),
        fingerprint: String::new(),
        skipped: count - kept.len(),
        first_skipped,
        from_cache: false,
        pixels: Pixels::Owned(pixels),
    };
    dataset.fingerprint = dataset.content_hash();
    Ok(dataset)
}

fn bar(count: usize, show: bool) -> ProgressBar {
    if !show {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("decoding {bar:30} {pos}/{len} left {eta}");
    ProgressBar::new(count as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
