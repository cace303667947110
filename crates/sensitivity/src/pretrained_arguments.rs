//! Arguments for a model of another library.

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use datasway_data::{Crop, Filter};
use datasway_pretrained::{Pretrained, PretrainedOptions};
use datasway_sensitivity::{ModelOptions, PretrainedData, TrainedModel};

/// What the files of another library do not say about a model and its data.
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

    /// The model of a folder with its training images.
    ///
    /// # Errors
    /// If the folder holds no model that is supported, no data are named, or they are not found.
    pub fn model(
        &self,
        folder: &Path,
        data: Option<&str>,
        options: &ModelOptions,
        loaded: impl FnOnce(&datasway_data::Dataset),
    ) -> Result<TrainedModel> {
        let source = data.ok_or_else(|| {
            anyhow!(
                "{}: a model of another library does not name its training images: name them with --data",
                folder.display()
            )
        })?;
        let loading = PretrainedOptions {
            class: self.class,
            guidance: self.guidance,
            device: options.device.clone(),
            ..PretrainedOptions::default()
        };
        let pretrained = Pretrained::load(folder, &loading)?;
        for note in &pretrained.notes {
            datasway_cli::tell(format!("{}: {note}", folder.display()));
        }
        let data = PretrainedData {
            source: source.to_owned(),
            limit: None,
            skip_bad: false,
            crop: self.crop.unwrap_or_default(),
            filter: self.filter.unwrap_or_default(),
            mirrored: self.flip,
            class: self.class,
        };
        let name = folder.display().to_string();
        Ok(TrainedModel::from_pretrained(
            name, pretrained, &data, options, loaded,
        )?)
    }
}
