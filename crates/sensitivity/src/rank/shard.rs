//! `sensitivity --shard`: the batches of one share of a ranking, and all of them put together.

use anyhow::Result;
use datasway_cli::progress_bar;
use datasway_sensitivity::learner::{ChangedGroups, Learner, SolverReport, WeightChange};
use datasway_sensitivity::{
    RankedSensitivities, Sensitivities, SensitivityConfig, Through, TrainedModel, changed_groups,
};

use super::RankArgs;
use super::prepared::Prepared;
use crate::resolution::resolve;
use crate::run_info::RunInfo;
use crate::shard::rank::{Contents, arrays, merged};
use crate::shard::{Shards, Share, SharedRun, batches, solver_report, weight_change};

impl RankArgs {
    /// Computes the batches of a share that are not done, and writes each when it is.
    pub(super) fn compute_share(&self, prepared: &Prepared, share: &Share) -> Result<()> {
        match self.through.through() {
            Through::Data => self.compute_through_data(prepared, share),
            Through::Weights => self.compute_through_weights(prepared, share),
        }
    }

    fn compute_through_data(&self, prepared: &Prepared, share: &Share) -> Result<()> {
        let Prepared {
            model,
            config,
            directions,
            ..
        } = prepared;
        let resolved = resolve(model, config)?;
        let run = SharedRun {
            info: RunInfo::new(model, self.model.sampler_info(model), config, &resolved),
            samples: config.samples,
            parts: resolved.parts().collect(),
        };
        let nothing = || Ok(());
        share.compute(run, &self.replay, nothing, |&(), part| {
            let results = model.ranked_sensitivities(directions.clone(), &part, |_| ())?;
            let RankedSensitivities { sensitivities, .. } = &results;
            Ok(arrays(sensitivities))
        })
    }

    /// Every share solves for the weights by itself: the draws are functions of the seed, so that all have the same solution.
    fn compute_through_weights(&self, prepared: &Prepared, share: &Share) -> Result<()> {
        let Prepared {
            model,
            config,
            directions,
            ..
        } = prepared;
        let images = model.image_points();
        let learner = model.learner(&images, self.learner(model)?)?;
        let groups = changed_groups(directions)?;
        let run = SharedRun {
            info: self.weights_info(model, config),
            samples: config.samples,
            parts: batches(config).collect(),
        };
        let change = || solved(&learner, &groups, prepared, share);
        share.compute(run, &self.replay, change, |change, samples| {
            let device = &model.device;
            let results =
                learner.sensitivities_along(change, config, samples, device, &mut |_| ())?;
            let mut arrays = arrays(&results);
            solver_report::put(&change.solution.report, &mut arrays);
            Ok(arrays)
        })
    }

    /// The results of shards, and the system that was solved for them; none through the data.
    pub(super) fn merged(
        &self,
        shards: &Shards,
        model: &TrainedModel,
        config: &SensitivityConfig,
    ) -> Result<(Sensitivities, Option<SolverReport>)> {
        let through = self.through.through();
        let contents = Contents {
            dim: model.images.shape.dim(),
            directions: self.add.len() + self.remove.len(),
            curvature: config.curvature,
            by_step: config.by_step,
            zero_check: config.zero_check && through == Through::Data,
            draw_noise: self.draw_noise,
            through,
        };
        merged(shards, config, contents)
    }
}

/// The change of the weights, from the folder of the share if it was solved before.
fn solved(
    learner: &Learner<'_>,
    groups: &ChangedGroups<'_>,
    prepared: &Prepared,
    share: &Share,
) -> Result<WeightChange> {
    let Prepared { model, config, .. } = prepared;
    let path = share.solution();
    if path.exists() {
        return weight_change::read(&path, groups, &model.device);
    }
    let bar = progress_bar(
        learner.weight_change_work(groups) as u64,
        "solving for the weights {bar:30} {percent} %  at most {eta} left",
    )?;
    let mut advance = |work| bar.inc(work as u64);
    let change = learner.weight_change(groups, config, &model.device, &mut advance)?;
    bar.finish_and_clear();
    weight_change::write(&path, &change)?;
    Ok(change)
}
