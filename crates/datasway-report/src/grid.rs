//! Grids of pictures, enlarged by integer factors.

use crate::{Picture, ReportError, png::png_bytes};
use image::{Rgb, RgbImage};

/// Layout of a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GridStyle {
    /// Pictures per row; 0 for a nearly square grid.
    pub columns: usize,
    /// Integer enlargement; 0 for about 64 pixels per picture.
    pub scale: usize,
    /// Padding between and around pictures in pixels.
    pub padding: usize,
    /// Colour of the padding and of empty places.
    pub background: [u8; 3],
}

impl Default for GridStyle {
    fn default() -> Self {
        Self {
            columns: 0,
            scale: 0,
            padding: 4,
            background: [255, 255, 255],
        }
    }
}

/// All pictures in one image, row by row.
///
/// # Errors
/// If there is no picture, if their shapes differ, or if values do not fill a shape.
pub fn grid(pictures: &[Picture<'_>], style: &GridStyle) -> Result<RgbImage, ReportError> {
    let first = pictures.first().ok_or(ReportError::Empty)?;
    if let Some(odd) = pictures.iter().find(|p| p.shape() != first.shape()) {
        return Err(ReportError::Mixed {
            expected: first.shape(),
            found: odd.shape(),
        });
    }
    let images: Vec<RgbImage> = pictures
        .iter()
        .map(Picture::to_rgb)
        .collect::<Result<_, _>>()?;
    Ok(tile(&images, style))
}

/// Images of one size, of which there is at least one, row by row.
pub fn tile(images: &[RgbImage], style: &GridStyle) -> RgbImage {
    let (width, height) = images[0].dimensions();
    let columns = match style.columns {
        0 => (images.len() as f64).sqrt().ceil() as usize,
        n => n.min(images.len()),
    };
    let scale = match style.scale {
        0 => 64usize.div_ceil(width.max(height).max(1) as usize) as u32,
        n => n as u32,
    };
    let padding = style.padding as u32;
    let (cell_w, cell_h) = (width * scale + padding, height * scale + padding);
    let rows = images.len().div_ceil(columns);
    let mut canvas = RgbImage::from_pixel(
        columns as u32 * cell_w + padding,
        rows as u32 * cell_h + padding,
        Rgb(style.background),
    );
    for (i, image) in images.iter().enumerate() {
        let left = (i % columns) as u32 * cell_w + padding;
        let top = (i / columns) as u32 * cell_h + padding;
        for y in 0..height * scale {
            for x in 0..width * scale {
                let pixel = *image.get_pixel(x / scale, y / scale);
                canvas.put_pixel(left + x, top + y, pixel);
            }
        }
    }
    canvas
}

/// [`grid`] as the bytes of a PNG file.
///
/// # Errors
/// As [`grid`], and if the image cannot be encoded.
pub fn grid_png(pictures: &[Picture<'_>], style: &GridStyle) -> Result<Vec<u8>, ReportError> {
    png_bytes(&grid(pictures, style)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_land_in_their_cells() {
        let (black, white) = ([-1.0; 4], [1.0; 4]);
        let picture = |values| Picture {
            channels: 1,
            height: 2,
            width: 2,
            values,
        };
        let pictures = [picture(&black), picture(&white), picture(&black)];
        let style = GridStyle {
            columns: 2,
            scale: 3,
            padding: 1,
            background: [9, 9, 9],
        };
        let image = grid(&pictures, &style).unwrap();
        assert_eq!(image.dimensions(), (15, 15));
        assert_eq!(image.get_pixel(0, 0).0, [9; 3]);
        assert_eq!(image.get_pixel(6, 6).0, [0; 3]);
        assert_eq!(image.get_pixel(8, 1).0, [255; 3]);
        assert_eq!(
            image.get_pixel(13, 13).0,
            [9; 3],
            "the fourth place is empty"
        );
    }

    #[test]
    fn mixed_sizes_and_no_pictures_are_errors() {
        let values = [0.0; 4];
        let a = Picture {
            channels: 1,
            height: 2,
            width: 2,
            values: &values,
        };
        let b = Picture {
            channels: 1,
            height: 1,
            width: 4,
            values: &values,
        };
        assert!(matches!(
            grid(&[a, b], &GridStyle::default()),
            Err(ReportError::Mixed { .. })
        ));
        assert!(matches!(
            grid(&[], &GridStyle::default()),
            Err(ReportError::Empty)
        ));
    }
}
