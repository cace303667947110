//! Grids of pictures in a PNG file.

use burn::tensor::Tensor;
use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

/// Edge of a pixel in the file.
const ZOOM: usize = 3;

/// Writes `groups` of square pictures `[n, side·side]` in [−1, 1] below each other, `columns` pictures in a row and a
/// white line between groups.
pub fn write(path: &Path, groups: &[Tensor<2>], columns: usize) -> Result<(), Box<dyn Error>> {
    let mut bytes = Vec::new();
    let mut width = 0;
    for (index, group) in groups.iter().enumerate() {
        let [n, pixels] = group.dims();
        let side = pixels.isqrt();
        width = columns * side * ZOOM;
        if index > 0 {
            bytes.extend(std::iter::repeat_n(255, 2 * ZOOM * width));
        }
        let values: Vec<f32> = group.to_data().iter::<f32>().collect();
        for y in 0..n / columns * side * ZOOM {
            let (row, y) = (y / (side * ZOOM), y / ZOOM % side);
            bytes.extend((0..width).map(|x| {
                let (column, x) = (x / (side * ZOOM), x / ZOOM % side);
                let value = values[((row * columns + column) * side + y) * side + x];
                ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8
            }));
        }
    }
    let height = bytes.len() / width;
    let file = BufWriter::new(File::create(path)?);
    let mut encoder = png::Encoder::new(file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header()?.write_image_data(&bytes)?;
    Ok(())
}
