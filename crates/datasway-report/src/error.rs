//! Errors of rendering and writing reports.

/// Errors of rendering and writing reports.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The values do not fill the shape, or the shape is empty or has a channel count other than 1 or 3.
    #[error(
        "a picture of shape {channels}×{height}×{width} cannot be made from {values} values (1 or 3 channels, none empty)"
    )]
    Shape {
        /// Requested channels.
        channels: usize,
        /// Requested rows.
        height: usize,
        /// Requested columns.
        width: usize,
        /// Number of values.
        values: usize,
    },
    /// Pictures that must have the same size differ.
    #[error(
        "pictures differ in size: expected {expected:?}, found {found:?} (channels, height, width)"
    )]
    Mixed {
        /// The first picture's shape.
        expected: (usize, usize, usize),
        /// The shape that differs.
        found: (usize, usize, usize),
    },
    /// A grid of no pictures.
    #[error("a grid needs at least one picture")]
    Empty,
    /// The drawing library failed.
    #[error("could not draw the plot \"{title}\": {reason}")]
    Plot {
        /// The plot's title.
        title: String,
        /// Error of the drawing library.
        reason: String,
    },
    /// The image library failed to encode an image.
    #[error("could not encode a PNG")]
    Encode(#[from] image::ImageError),
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] datasway_fs::WriteError),
}
