//! Image data sets and selections of them.
//!
//! [`load`] turns a [`Source`] into a [`Dataset`]; a [`Selection`] names some of its images.

mod cache;
mod celeba;
mod cifar;
mod crop;
mod dataset;
mod error;
mod exif;
pub mod faces;
mod folder;
mod grey;
mod idx;
mod input;
mod jpeg;
mod limits;
mod listing;
mod load;
mod memory;
mod moments;
mod picture;
mod report;
mod resize;
mod selection;
mod source;
mod summary;
mod words;

pub use crop::Crop;
pub use dataset::{Attributes, Classes, Dataset, Shape};
pub use error::DataError;
pub use load::{DecodingProgress, LoadOptions, load};
pub use moments::PixelMoments;
pub use picture::mask;
pub use report::Report;
pub use resize::Filter;
pub use selection::{Selected, Selection};
pub use source::Source;
