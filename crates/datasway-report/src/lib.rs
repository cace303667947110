//! Building blocks of reports: picture grids, plots and self-contained HTML pages.
//!
//! The crate takes plain slices and knows nothing of diffusion models or of Burn. Every file is complete or absent
//! ([`datasway_fs`]). A page needs no network, no script and no second file.

pub mod arrows;
pub mod document;
pub mod error;
mod exaggerate;
pub mod grid;
pub mod heat;
pub mod influence_page;
pub mod page;
pub mod picture;
pub mod plot;
pub mod png;
pub mod section;
pub mod strip;
mod words;

pub use arrows::{Arrows, arrow_plot};
pub use document::document;
pub use error::ReportError;
pub use grid::{GridStyle, grid, grid_png};
pub use heat::{HeatMap, heat_map};
pub use influence_page::{FunctionalSection, InfluenceCard, InfluencePage, PushedBy};
pub use page::{Card, DirectionSection, STYLE, SensitivityPage, facts};
pub use picture::Picture;
pub use plot::{Axes, Corner, Curve, histogram, line_plot, log_ratio_plot, scatter};
pub use png::write_png;
pub use section::{Figure, Section, Table};
pub use strip::strip_png;
