//! Crops: the part of a picture that becomes a square image.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::listing::{Square, centre};
use crate::resize::{Axis, Frame};

/// The part of a picture that becomes a square image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Crop {
    /// The square of the format, then resized: the face of CelebA's aligned pictures, the largest centred square of others.
    #[default]
    Format,
    /// The largest centred square, then resized.
    Square,
    /// The shorter side is resized, then the centre is cut out: torchvision's `Resize(size)` and `CenterCrop(size)`.
    Center,
    /// The whole picture resized to a square: torchvision's `Resize((size, size))`.
    Stretch,
    /// Nothing: a picture that is no square of the size is an error.
    None,
}

impl Crop {
    /// All crops.
    pub const ALL: [Self; 5] = [
        Self::Format,
        Self::Square,
        Self::Center,
        Self::Stretch,
        Self::None,
    ];

    /// Name of the crop, as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Square => "square",
            Self::Center => "center",
            Self::Stretch => "stretch",
            Self::None => "none",
        }
    }

    /// The side of the image that a `width` x `height` picture gives without enlargement; `square` is that of the format.
    pub(crate) fn side(self, (width, height): (u32, u32), square: Square) -> u32 {
        match self {
            Self::Format => square.2,
            Self::Square | Self::Center | Self::Stretch | Self::None => width.min(height),
        }
    }

    /// The axes of the resize of a `width` x `height` picture to an image of `size` pixels a side; `square` is that of the
    /// format. `None` if the picture would have to be resized and the crop does not.
    pub(crate) fn frame(
        self,
        (width, height): (u32, u32),
        square: Square,
        size: usize,
    ) -> Option<Frame> {
        let cut = |(x, y, side): Square| Frame {
            columns: Axis::whole(x, side, size),
            rows: Axis::whole(y, side, size),
            size,
        };
        let is_image = (width as usize, height as usize) == (size, size);
        match self {
            Self::Format => Some(cut(square)),
            Self::Square => Some(cut(centre(width, height))),
            Self::Center => Some(Frame {
                columns: centred(width, width.min(height), size),
                rows: centred(height, width.min(height), size),
                size,
            }),
            Self::Stretch => Some(Frame {
                columns: Axis::whole(0, width, size),
                rows: Axis::whole(0, height, size),
                size,
            }),
            Self::None => is_image.then(|| cut((0, 0, width))),
        }
    }
}

/// The axis of a side whose picture's `shorter` side is resized to `size` pixels, of which the `size` centred ones are kept.
fn centred(side: u32, shorter: u32, size: usize) -> Axis {
    let output = (size as u64 * u64::from(side) / u64::from(shorter.max(1))) as usize;
    Axis {
        start: 0,
        input: side,
        output,
        // Python's `round`.
        first: ((output - size) as f64 / 2.0).round_ties_even() as usize,
    }
}

impl fmt::Display for Crop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Crop {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        (Self::ALL.into_iter().find(|crop| crop.name() == text)).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` is no crop; write one of {names}")
        })
    }
}
