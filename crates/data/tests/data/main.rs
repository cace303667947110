//! What the data sets promise.

mod cache;
mod celeba;
mod faces;
mod formats;
mod images;
mod real;
mod selections;
