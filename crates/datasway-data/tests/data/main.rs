//! Tests of loading, caching and selecting images.

mod cache;
mod celeba;
mod faces;
mod folders;
mod formats;
mod images;
mod real;
mod resize;
mod selections;
mod sources;
