//! Resize of a picture to a square image, by the filters that data of PyTorch's users were made with.

mod area;
mod convolution;
mod frame;
mod interpolation;

pub(crate) use frame::{Axis, Frame};

use std::fmt;
use std::str::FromStr;

use image::RgbImage;
use serde::{Deserialize, Serialize};

/// The filter of a resize.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// The mean over the area of each new pixel, rounded once. It does not enlarge.
    #[default]
    Area,
    /// Pillow's `BOX`.
    Box,
    /// Pillow's `BILINEAR`, as torchvision resizes a picture, or a tensor with `antialias=True`.
    Bilinear,
    /// `torch.nn.functional.interpolate` with `mode="bilinear"`, as torchvision resizes a tensor with `antialias=False`.
    BilinearNoAntialias,
    /// Pillow's `BICUBIC`.
    Bicubic,
    /// Pillow's `LANCZOS`.
    Lanczos,
}

impl Filter {
    /// All filters.
    pub const ALL: [Self; 6] = [
        Self::Area,
        Self::Box,
        Self::Bilinear,
        Self::BilinearNoAntialias,
        Self::Bicubic,
        Self::Lanczos,
    ];

    /// Name of the filter, as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Area => "area",
            Self::Box => "box",
            Self::Bilinear => "bilinear",
            Self::BilinearNoAntialias => "bilinear-no-antialias",
            Self::Bicubic => "bicubic",
            Self::Lanczos => "lanczos",
        }
    }

    /// Tells whether the filter makes small pictures larger, as PyTorch's users have it, or refuses them.
    pub(crate) fn enlarges(self) -> bool {
        self != Self::Area
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        (Self::ALL.into_iter().find(|filter| filter.name() == text)).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` is no filter; write one of {names}")
        })
    }
}

/// The picture within a frame: `[channels, size, size]`. A grey image is the luma of the resized picture.
pub(crate) fn resize(image: &RgbImage, frame: &Frame, filter: Filter, grey: bool) -> Vec<u8> {
    let pixels = match filter {
        Filter::Area => return area::resize(image, frame, grey),
        Filter::BilinearNoAntialias => interpolation::resize(image, frame),
        Filter::Box => convolution::resize(image, frame, &convolution::BOX),
        Filter::Bilinear => convolution::resize(image, frame, &convolution::TRIANGLE),
        Filter::Bicubic => convolution::resize(image, frame, &convolution::CUBIC),
        Filter::Lanczos => convolution::resize(image, frame, &convolution::LANCZOS),
    };
    if grey {
        pixels.iter().map(luma).collect()
    } else {
        (0..3)
            .flat_map(|c| pixels.iter().map(move |p| p[c]))
            .collect()
    }
}

/// Pillow's luma of a pixel, 0.299 R + 0.587 G + 0.114 B in units of 2⁻¹⁶.
fn luma(&[red, green, blue]: &[u8; 3]) -> u8 {
    let sum = 19595 * u32::from(red) + 38470 * u32::from(green) + 7471 * u32::from(blue);
    ((sum + 0x8000) >> 16) as u8
}
