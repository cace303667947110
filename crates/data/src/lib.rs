//! Image data sets and selections of them.
//!
//! [`load`] turns a [`Source`] into a [`Dataset`]; a [`Selection`] names some of its images.

mod cache;
mod celeba;
mod cifar;
mod dataset;
mod error;
pub mod faces;
mod folder;
mod grey;
mod idx;
mod listing;
mod load;
mod resize;
mod selection;
mod source;

pub use dataset::{Attributes, Classes, Dataset, Shape};
pub use error::DataError;
pub use load::{LoadOptions, load};
pub use selection::{Selected, Selection};
pub use source::Source;
