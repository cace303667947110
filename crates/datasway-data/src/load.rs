//! Loading of a source: listing, decoding in parallel, cache.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use rayon::prelude::*;

use crate::dataset::Pixels;
use crate::limits::MOST_SIDE;
use crate::listing::{Listing, Square};
use crate::resize::resize;
use crate::{Crop, DataError, Dataset, Filter, Shape, Source, cache, memory};

/// Bytes that are decoded between two checks for failures.
const PORTION: usize = 64 << 20;

/// Begins to show how far the decoding of so many images is, and returns what takes the number of images that were decoded since.
pub type DecodingProgress = fn(usize) -> Box<dyn Fn(usize) + Send + Sync>;

/// Options of [`load`].
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Side of the square images in pixels; the first image's crop if absent (64 for procedural faces).
    pub size: Option<usize>,
    /// One channel instead of three.
    pub grey: bool,
    /// The part of a picture that becomes an image. The default is the square of the format.
    pub crop: Crop,
    /// The filter of the resize. The default averages areas.
    pub filter: Filter,
    /// At most this many images: the first ones, or of a folder of classes an even share of each class.
    pub limit: Option<usize>,
    /// Leave out images that are listed but missing, unreadable, truncated, not images or too small, and
    /// count them in [`Dataset::skipped`]; the first of them is an error otherwise.
    pub skip_bad: bool,
    /// Folder of the cache, or `None` for no cache.
    pub cache_dir: Option<PathBuf>,
    /// Shows how far the decoding is; nothing if absent.
    pub progress: Option<DecodingProgress>,
}

/// Decodes `source`, or maps it from the cache.
///
/// A cache that cannot be written is a notice of the report, not an error.
///
/// # Errors
/// A missing folder or table, a table or binary file that does not hold what it announces, no image at all, or more pixels than
/// memory holds; without `skip_bad`, also the first image that is missing, bad or too small.
pub fn load(source: &Source, options: &LoadOptions) -> Result<Dataset, DataError> {
    check_size(options.size)?;
    let listing = source.list(options)?;
    let name = source.to_string();
    let Some(folder) = &options.cache_dir else {
        return decode(&name, &listing, options);
    };
    let key = cache::key(&name, &listing, options)?;
    let path = cache::path(folder, &key);
    if let Some(mut found) = cache::open(&path, &key) {
        // Other content may have changed even if no image has.
        found.report = listing.report;
        return Ok(found);
    }
    let mut decoded = decode(&name, &listing, options)?;
    match cache::write(&path, &key, &decoded) {
        Ok(()) => decoded.cache_dir = Some(folder.clone()),
        Err(error) => {
            let notice = format!("decoded images are not kept for the next start: {error}");
            decoded.report.notices.push(notice);
        }
    }
    Ok(decoded)
}

fn check_size(size: Option<usize>) -> Result<(), DataError> {
    match size {
        Some(size) if !(1..=MOST_SIDE).contains(&size) => Err(DataError::BadSize(size)),
        _ => Ok(()),
    }
}

/// Decodes a listing in parallel.
pub(crate) fn decode(
    name: &str,
    listing: &Listing,
    options: &LoadOptions,
) -> Result<Dataset, DataError> {
    check_size(options.size)?;
    let chosen = listing.within(options.limit);
    let size = match options.size {
        Some(size) => Some(size),
        None => chosen
            .iter()
            .find_map(|&i| (listing.decode)(i).ok())
            .map(|(image, square)| options.crop.side(image.dimensions(), square) as usize),
    };
    let grey = options.grey || listing.grey;
    let channels = if grey { 1 } else { 3 };
    let needed = memory::needed(name, chosen.len(), channels, size.unwrap_or(1))?;
    let decode = |i: usize| {
        let (image, square) = (listing.decode)(i)?;
        let side = options.crop.side(image.dimensions(), square) as usize;
        image_of(&image, square, size.unwrap_or(side), grey, options)
            .map_err(|problem| problem.of_file(&listing.origins[i]))
    };
    let shown = options.progress.map(|begin| begin(chosen.len()));
    let portion = (PORTION / (needed / chosen.len().max(1)).max(1)).clamp(16, 4096);
    let (mut kept, mut pixels, mut first_skipped) = (Vec::new(), Vec::new(), None);
    pixels
        .try_reserve_exact(needed)
        .map_err(|_| DataError::TooLarge {
            name: name.into(),
            needed: format!("{needed} bytes"),
            side: size.unwrap_or(1),
            limit: "the system does not give that".into(),
        })?;
    for portion in chosen.chunks(portion) {
        let decoded: Vec<_> = portion
            .par_iter()
            .map(|&i| (i, decode(i)))
            .inspect(|_| shown.iter().for_each(|add| add(1)))
            .collect();
        for (i, result) in decoded {
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
    }
    let skipped = chosen.len() - kept.len();
    let Some(size) = size.filter(|_| !kept.is_empty()) else {
        return Err(DataError::Empty {
            selection: name.into(),
            because: first_skipped.map_or(String::new(), |first| {
                format!(" ({skipped} bad ones are left out, the first: {first})")
            }),
        });
    };
    let mut dataset = Dataset {
        name: name.into(),
        shape: Shape {
            channels,
            height: size,
            width: size,
        },
        names: kept.iter().map(|&i| listing.names[i].clone()).collect(),
        attributes: listing.attributes.as_ref().map(|a| a.subset(&kept)),
        classes: listing.classes.as_ref().map(|c| c.subset(&kept)),
        fingerprint: String::new(),
        skipped,
        first_skipped,
        from_cache: false,
        report: listing.report.clone(),
        pixels: Pixels::Owned(Arc::new(pixels)),
        cache_dir: None,
        places: None,
    };
    dataset.fingerprint = dataset.content_hash();
    Ok(dataset)
}

/// A picture that gives no image of the size.
enum Unfit {
    /// The crop has fewer pixels, and the filter does not enlarge.
    TooSmall { have: usize, want: usize },
    /// The crop does not resize, and the picture is another.
    OtherSize {
        width: u32,
        height: u32,
        want: usize,
    },
}

impl Unfit {
    fn of_file(self, path: &Path) -> DataError {
        let path = path.into();
        match self {
            Self::TooSmall { have, want } => DataError::TooSmall { path, have, want },
            Self::OtherSize {
                width,
                height,
                want,
            } => DataError::OtherSize {
                path,
                width,
                height,
                want,
            },
        }
    }
}

/// The image of `want` pixels a side that a picture gives: `[channels, want, want]`. `square` is that of the format.
fn image_of(
    picture: &RgbImage,
    square: Square,
    want: usize,
    grey: bool,
    options: &LoadOptions,
) -> Result<Vec<u8>, Unfit> {
    let (width, height) = picture.dimensions();
    let other_size = Unfit::OtherSize {
        width,
        height,
        want,
    };
    let frame = options.crop.frame((width, height), square, want);
    let frame = frame.ok_or(other_size)?;
    let have = options.crop.side((width, height), square) as usize;
    if have == 0 || frame.enlarges() && !options.filter.enlarges() {
        return Err(Unfit::TooSmall { have, want });
    }
    Ok(resize(picture, &frame, options.filter, grey))
}
