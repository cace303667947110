//! The shape of a convolution, and its division into tiles and quads.

/// Number of entries of a transformed tile.
pub(super) const ENTRIES: usize = 16;
/// Number of tiles side by side that are loaded together.
pub(super) const QUAD: usize = 4;

/// Shape of a convolution: images `[n, i, h, w]` to `[n, o, h, w]`, or to fewer pixels with stride 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    /// Number of images.
    pub images: usize,
    /// Number of channels in.
    pub inputs: usize,
    /// Number of channels out.
    pub outputs: usize,
    /// Number of rows.
    pub height: usize,
    /// Number of columns.
    pub width: usize,
}

impl ConvShape {
    /// Number of pixels of an image.
    pub(super) fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Number of quads in a row of tiles.
    pub(super) fn across(&self) -> usize {
        self.width.div_ceil(2 * QUAD)
    }

    /// Number of quads of an image.
    pub(super) fn quads(&self) -> usize {
        self.height.div_ceil(2) * self.across()
    }

    /// Length of a row with its border.
    pub(super) fn pitch(&self) -> usize {
        2 * QUAD * self.across() + 2
    }

    /// Number of entries of one channel with its border.
    pub(super) fn plane(&self) -> usize {
        (self.height.next_multiple_of(2) + 2) * self.pitch()
    }

    /// Row and column of the first output of a quad.
    pub(super) fn corner(&self, quad: usize) -> (usize, usize) {
        let within = quad % self.quads();
        (
            within / self.across() * 2,
            within % self.across() * 2 * QUAD,
        )
    }

    /// Position of the first input of a quad in images of `channels` channels with their border.
    pub(super) fn start(&self, quad: usize, channels: usize) -> usize {
        let (row, column) = self.corner(quad);
        quad / self.quads() * channels * self.plane() + row * self.pitch() + column
    }
}
