//! Arguments for a model of another library.

use std::path::Path;

use anyhow::{Error, Result, anyhow, ensure};
use burn::tensor::{DType, Device};
use clap::Args;
use datasway_data::{Crop, DataError, Dataset, Filter};
use datasway_fs::plural;
use datasway_pretrained::{Pretrained, PretrainedOptions};
use datasway_sensitivity::{ModelOptions, PretrainedData, SensitivityError, Sidecar, TrainedModel};

/// Properties of a model and its data that the files of another library do not state.
#[derive(Args)]
pub struct PretrainedArgs {
    /// The class of a model with classes: its number, from 0
    #[arg(long, value_name = "NUMBER")]
    class: Option<usize>,
    /// The weight of classifier-free guidance, for a model with classes and a null label
    #[arg(long, value_name = "WEIGHT", requires = "class")]
    guidance: Option<f64>,
    /// A model of another library was trained on mirror images too
    #[arg(long)]
    flip: bool,
    /// The part of a picture that a model of another library was trained on: format, square, center, stretch or none [default: format]
    #[arg(long)]
    crop: Option<Crop>,
    /// The filter that its training images were resized with: area, box, bilinear, bilinear-no-antialias, bicubic or lanczos
    /// [default: area]
    #[arg(long)]
    filter: Option<Filter>,
}

impl PretrainedArgs {
    /// Checks that no argument is given for a model of `train`, whose file says all this.
    ///
    /// # Errors
    /// If one is.
    pub fn check_unused(&self) -> Result<()> {
        for (option, is_given) in [
            ("--class", self.class.is_some()),
            ("--flip", self.flip),
            ("--crop", self.crop.is_some()),
            ("--filter", self.filter.is_some()),
        ] {
            ensure!(
                !is_given,
                "{option} is for a model of another library, which --checkpoint names by its folder: leave it out"
            );
        }
        Ok(())
    }

    /// The sidecar of a folder with the arguments in the place of what it says.
    ///
    /// # Errors
    /// If it cannot be read, or no data are named.
    pub fn sidecar(&self, folder: &Path, data: Option<&str>) -> Result<Sidecar> {
        let saved = Sidecar::read(folder)?.unwrap_or_default();
        let given = self.crop.is_some() || self.filter.is_some() || self.class.is_some();
        let source = data.map(str::to_owned).or_else(|| saved.data.clone());
        let source = source.ok_or_else(|| {
            anyhow!(
                "{}: a model of another library does not name its training images: name them with --data",
                folder.display()
            )
        })?;
        Ok(Sidecar {
            data: Some(source),
            crop: self.crop.unwrap_or(saved.crop),
            filter: self.filter.unwrap_or(saved.filter),
            flip: self.flip || saved.flip,
            class: self.class.or(saved.class),
            guidance: self.guidance.or(saved.guidance),
            // Images that the arguments name may be others.
            data_fingerprint: saved.data_fingerprint.filter(|_| data.is_none() && !given),
            ..saved
        })
    }

    /// The model of a folder with its training images.
    ///
    /// # Errors
    /// If the folder holds no model that is supported, no data are named, they are not found, or the sidecar is of others.
    pub fn model(
        &self,
        folder: &Path,
        data: Option<&str>,
        options: &ModelOptions,
        loaded: impl FnOnce(&datasway_data::Dataset),
    ) -> Result<TrainedModel> {
        let (model, _) = self.model_with_sidecar(folder, data, options, loaded)?;
        Ok(model)
    }

    /// The model of a folder with its training images, and a sidecar that names both.
    ///
    /// # Errors
    /// As [`model`](Self::model).
    pub fn model_with_sidecar(
        &self,
        folder: &Path,
        data: Option<&str>,
        options: &ModelOptions,
        loaded: impl FnOnce(&datasway_data::Dataset),
    ) -> Result<(TrainedModel, Sidecar)> {
        let sidecar = self.sidecar(folder, data)?;
        let loading = loading(&sidecar, &options.device, DType::F32);
        let pretrained = Pretrained::load(folder, &loading)?;
        sidecar.check(folder, None, &pretrained.fingerprint)?;
        let data = PretrainedData {
            source: sidecar.data.clone().unwrap_or_default(),
            limit: sidecar.limit,
            skip_bad: sidecar.skip_bad,
            crop: sidecar.crop,
            filter: sidecar.filter,
            mirrored: sidecar.flip,
            class: sidecar.class,
            training: sidecar.training.clone(),
        };
        let (name, fingerprint) = (folder.display().to_string(), pretrained.fingerprint.clone());
        let (pixels, notes) = (pretrained.pixels, pretrained.notes.clone());
        let has_classes = pretrained.classes > 0;
        let model = TrainedModel::from_pretrained(name, pretrained, &data, options, loaded);
        let model = model.map_err(advised)?;
        let class = sidecar
            .class
            .map(|class| class_note(class, &model.images, has_classes));
        for note in class.into_iter().chain(notes) {
            datasway_cli::tell(format!("{}: {note}", folder.display()));
        }
        sidecar.check(folder, Some(&model.images.fingerprint), &fingerprint)?;
        let sidecar = Sidecar {
            data_fingerprint: Some(model.images.fingerprint.clone()),
            model_fingerprint: Some(fingerprint),
            pixels: Some(pixels),
            ..sidecar
        };
        Ok((model, sidecar))
    }
}

/// An error of the training images, with the argument that helps.
fn advised(error: SensitivityError) -> Error {
    match error {
        SensitivityError::Data(DataError::TooSmall { .. }) => anyhow!(
            "{error}, or enlarge it as the model's training did with --filter bilinear, bicubic or lanczos"
        ),
        _ => error.into(),
    }
}

/// The images that stand for the training images of a class. `has_classes` is true of a model with a known number of them.
fn class_note(class: usize, images: &Dataset, has_classes: bool) -> String {
    let count = images.len();
    match &images.classes {
        Some(classes) if has_classes => format!(
            "the model is that of class {class}, and its data are the {} of {}",
            plural(count, "image"),
            classes.names[class]
        ),
        _ => format!(
            "the model is that of class {class}, and its data, {}, are taken as those of this class, because they have no classes of the \
             model",
            plural(count, "image")
        ),
    }
}

/// The options of loading a model with a sidecar, in a precision.
pub fn loading(sidecar: &Sidecar, device: &Device, dtype: DType) -> PretrainedOptions {
    PretrainedOptions {
        class: sidecar.class,
        guidance: sidecar.guidance,
        scheduler: sidecar.scheduler.clone(),
        pixels: sidecar.pixels,
        device: device.clone(),
        dtype,
    }
}
