//! The pixels at which a 3×3 convolution has outputs.

/// The step of a 3×3 convolution from one output to the next, and the zeros that its image is extended by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stride {
    /// An output at every pixel; one pixel of zeros around the image.
    One,
    /// An output at every second pixel; one pixel of zeros around the image.
    Two,
    /// An output at every second pixel; one pixel of zeros at the right and at the bottom of the image, which has two pixels at
    /// least. The networks of Ho, Jain and Abbeel (arXiv 2006.11239) are of this kind.
    TwoFromCorner,
}

impl Stride {
    /// Pixels from one output to the next.
    pub(crate) fn step(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two | Self::TwoFromCorner => 2,
        }
    }

    /// Zeros before the first pixel of a row or a column.
    pub(crate) fn zeros_before(self) -> usize {
        match self {
            Self::One | Self::Two => 1,
            Self::TwoFromCorner => 0,
        }
    }

    /// Number of outputs along an axis of so many pixels.
    pub(crate) fn outputs(self, pixels: usize) -> usize {
        (pixels + self.zeros_before() - 2) / self.step() + 1
    }
}
