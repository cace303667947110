//! The training images of a class.

use datasway_data::Dataset;
use datasway_diffusion::DiffusionError;

/// The images of a class, if the data have the classes of the model.
///
/// # Errors
/// If the data are of another number of classes, or have no image of this class.
pub fn images_of_class(
    model: &str,
    images: Dataset,
    classes: usize,
    class: Option<usize>,
) -> Result<Dataset, DiffusionError> {
    let (Some(class), Some(labels)) = (class, &images.classes) else {
        return Ok(images);
    };
    // A model whose classes are any numbers says nothing about those of the data.
    if classes == 0 {
        return Ok(images);
    }
    let found = labels.names.len();
    if found != classes {
        return Err(DiffusionError::Invalid(format!(
            "{model}: has {classes} classes, but {} has {found}: name data with the classes that it was trained on, or the images of \
             one class alone",
            images.name
        )));
    }
    let of_class = (0..images.len()).filter(|&i| labels.labels[i] == class);
    let indices: Vec<usize> = of_class.collect();
    if indices.is_empty() {
        return Err(DiffusionError::Invalid(format!(
            "{}: has no image of the class {}: choose another class or other data",
            images.name, labels.names[class]
        )));
    }
    Ok(images.subset(&indices))
}
