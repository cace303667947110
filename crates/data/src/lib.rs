//! Image data sets and selections of them.
