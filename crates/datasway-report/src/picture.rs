//! A borrowed image and its conversion to 8-bit RGB.

use crate::ReportError;
use image::{Rgb, RgbImage};

/// A borrowed image in CHW layout. Pixels are nominally in [-1, 1]; sensitivities have the same layout without this bound.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `channels · height · width` values, channel by channel, row by row.
    pub values: &'a [f32],
}

impl<'a> Picture<'a> {
    /// A picture of `channels · height · width` values, which must fill the shape.
    ///
    /// # Errors
    /// If they do not, if a side is 0, or if the channels are not 1 or 3.
    pub fn new(
        channels: usize,
        height: usize,
        width: usize,
        values: &'a [f32],
    ) -> Result<Self, ReportError> {
        let picture = Self {
            channels,
            height,
            width,
            values,
        };
        picture.check()?;
        Ok(picture)
    }

    /// Checks a picture that was built field by field.
    ///
    /// # Errors
    /// As [`Picture::new`].
    pub fn check(&self) -> Result<(), ReportError> {
        let Self {
            channels,
            height,
            width,
            values,
        } = *self;
        let filled = values.len() == channels * height * width;
        if (channels == 1 || channels == 3) && height > 0 && width > 0 && filled {
            Ok(())
        } else {
            Err(ReportError::Shape {
                channels,
                height,
                width,
                values: values.len(),
            })
        }
    }

    /// (channels, height, width).
    pub fn shape(&self) -> (usize, usize, usize) {
        (self.channels, self.height, self.width)
    }

    /// Euclidean norm of the values.
    pub fn norm(&self) -> f64 {
        self.values
            .iter()
            .map(|&v| f64::from(v).powi(2))
            .sum::<f64>()
            .sqrt()
    }

    /// Converts to 8-bit RGB: -1 is black, 1 is white, values outside are clipped.
    ///
    /// # Errors
    /// As [`Picture::new`].
    pub fn to_rgb(&self) -> Result<RgbImage, ReportError> {
        self.check()?;
        let plane = self.height * self.width;
        Ok(RgbImage::from_fn(
            self.width as u32,
            self.height as u32,
            |x, y| {
                let pixel = y as usize * self.width + x as usize;
                let value = |c: usize| to_byte(self.values[(c % self.channels) * plane + pixel]);
                Rgb([value(0), value(1), value(2)])
            },
        ))
    }
}

/// Converts [-1, 1] to 0…255, rounded and clipped. NaN is black.
pub fn to_byte(value: f32) -> u8 {
    ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_keep_their_channel_and_clip() {
        let values = [-1.0, 1.0, 0.0, 5.0, -3.0, f32::NAN];
        let image = Picture::new(3, 1, 2, &values).unwrap().to_rgb().unwrap();
        assert_eq!(image.get_pixel(0, 0).0, [0, 128, 0]);
        assert_eq!(image.get_pixel(1, 0).0, [255, 255, 0]);
    }

    #[test]
    fn grey_fills_all_three() {
        let image = Picture::new(1, 1, 1, &[1.0]).unwrap().to_rgb().unwrap();
        assert_eq!(image.get_pixel(0, 0).0, [255, 255, 255]);
    }

    #[test]
    fn a_wrong_shape_is_named() {
        let error = Picture::new(3, 2, 2, &[0.0; 5]).unwrap_err().to_string();
        assert!(
            error.contains("3×2×2") && error.contains("5 values"),
            "{error}"
        );
    }
}
