//! The shape of a model's pictures against that of images.

use datasway_diffusion::DiffusionError;

/// Checks that images can be loaded in the shape of a model's pictures: channels, height and width.
///
/// # Errors
/// If they are no pixels, or no squares.
pub fn check_picture_shape(
    model: &str,
    [channels, height, width]: [usize; 3],
) -> Result<(), DiffusionError> {
    if ![1, 3].contains(&channels) {
        return Err(DiffusionError::Invalid(format!(
            "{model}: makes arrays of {channels} channels, such as codes of an autoencoder, whose decoder and its derivatives would be \
             needed too: use a model of pixels, with 1 or 3 channels"
        )));
    }
    if height != width {
        return Err(DiffusionError::Invalid(format!(
            "{model}: has pictures of {height}×{width} pixels, but images are loaded as squares: use a model of squares"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_oblong_pictures_are_refused_by_what_they_are() {
        for (shape, says) in [
            ([4, 8, 8], "autoencoder"),
            ([2, 8, 8], "2 channels"),
            ([3, 8, 16], "8×16"),
        ] {
            let error = check_picture_shape("m", shape).unwrap_err().to_string();
            assert!(error.starts_with("m: ") && error.contains(says), "{error}");
        }
        for channels in [1, 3] {
            check_picture_shape("m", [channels, 8, 8]).unwrap();
        }
    }
}
