//! Inputs of a ranking: the model, the pictures, the directions, and the earlier run to compare with.

use anyhow::Result;
use datasway_cli::memory::ensure_room;
use datasway_sensitivity::{Direction, SensitivityConfig, Through, TrainedModel};

use super::compare::EarlierRun;
use super::{RankArgs, directions};
use crate::picture_arguments::GivenPictures;
use crate::resolution::resolve;
use crate::run_info::RunInfo;
use crate::through_arguments::ThroughArgs;

/// Inputs of the computation.
pub(super) struct Prepared {
    pub(super) model: TrainedModel,
    pub(super) config: SensitivityConfig,
    pub(super) pictures: Option<GivenPictures>,
    pub(super) directions: Vec<Direction>,
}

impl RankArgs {
    /// The model, the pictures and the directions. There must be room for the results of so many samples at a time.
    pub(super) fn prepare(
        &mut self,
        config: SensitivityConfig,
        at_a_time: usize,
    ) -> Result<Prepared> {
        let model = self.model.model()?;
        let mut config = self.model.within_training(config, &model)?;
        let pictures = self.pictures.encode(&model, &mut config)?;
        if pictures.is_none() {
            self.replay.recorded.set_samples(config.samples);
        }
        ensure_room(
            self.result_bytes(config.samples.min(at_a_time), &model),
            "so many sensitivities",
            "ask for fewer --samples or fewer directions at a time",
        )?;
        if self.through.through() == Through::Weights {
            let changes = self.add.len() + self.remove.len();
            let (learner, shapes) = (self.learner(&model)?, model.weight_shapes()?);
            let bytes = learner.weight_change_bytes(&shapes, changes, self.mass.is_some());
            ThroughArgs::ensure_room(&learner, bytes, changes, "fewer directions at a time")?;
        }
        let directions = directions::resolve(&self.add, &self.remove, &config, &model)?;
        let directions = directions::with_mass(directions, self.mass, &model)?;
        Ok(Prepared {
            model,
            config,
            pictures,
            directions,
        })
    }

    /// The earlier run to compare with.
    pub(super) fn earlier_run(
        &self,
        model: &TrainedModel,
        directions: &[Direction],
        config: &SensitivityConfig,
    ) -> Result<Option<EarlierRun>> {
        let Some(folder) = &self.compare else {
            return Ok(None);
        };
        let info = match self.through.through() {
            Through::Data => {
                let sampler = self.model.sampler_info(model);
                RunInfo::new(model, sampler, config, &resolve(model, config)?)
            }
            Through::Weights => self.weights_info(model, config),
        };
        let samples = (model.images.shape.dim(), &model.device);
        EarlierRun::read(folder, &info, directions, config, samples).map(Some)
    }
}
