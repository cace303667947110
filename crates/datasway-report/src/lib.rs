//! Building blocks of reports: picture grids, plots and self-contained HTML pages.
//!
//! The crate takes plain slices and depends neither on diffusion models nor on Burn. Every file is complete or absent
//! ([`datasway_fs`]). A page needs no network, no script and no second file.

pub mod arrows;
pub mod document;
pub mod error;
pub mod exaggerate;
pub mod grid;
pub mod heat;
pub mod picture;
pub mod plot;
pub mod png;
pub mod section;
mod words;

pub use arrows::{Arrows, arrow_plot};
pub use document::{STYLE, document, facts};
pub use error::ReportError;
pub use grid::{GridStyle, grid, grid_png, tile};
pub use heat::{HeatMap, heat_map};
pub use picture::Picture;
pub use plot::{Axes, Corner, Curve, histogram, line_plot, scatter};
pub use png::{data_uri, png_bytes, write_png};
pub use section::{Figure, Section, Table};
