//! `sensitivity influence --shard`: the batches of one share of the samples, and all of them put together.

use anyhow::{Context, Result};
use datasway_fs::shard::Shard;
use datasway_sensitivity::ResolvedConfig;
use datasway_sensitivity::influence::{Functional, Influences, compute_with_candidates};
use datasway_sensitivity::measure::ImagePoints;

use super::{InfluenceArgs, Prepared, functional_spec};
use crate::resolution::resolve;
use crate::run_info::RunInfo;
use crate::shard::influence::{Sizes, arrays, merged};
use crate::shard::{RecordedRun, ShardFolder, for_each_batch};

impl InfluenceArgs {
    /// Computes the batches of a share that are not done, and writes each when it is.
    pub(super) fn compute_shard(
        &self,
        prepared: &Prepared,
        folder: &ShardFolder,
        shard: Shard,
    ) -> Result<()> {
        let Prepared {
            model,
            config,
            candidates,
            ..
        } = prepared;
        let functionals = self.functionals.iter();
        let functionals = functionals
            .map(|text| functional_spec::parse(text, config.samples, model))
            .collect::<Result<Vec<_>>>()?;
        let resolved = resolve(model, config)?;
        let info = RunInfo::new(model, self.model.sampler_info(model), config, &resolved);
        self.replay.check_model(&info)?;
        let batches = resolved.parts().count();
        let options = self.replay.recorded.clone();
        folder.begin(&RecordedRun::new(info, options, [config.samples, batches]))?;
        let images = model.image_points();
        for_each_batch(&resolved, shard, folder, |part| {
            let results = compute_with_candidates(
                model.score_model.denoiser(),
                &images,
                candidates.as_ref(),
                &functionals,
                part,
                self.top,
                |_| (),
            )?;
            Ok(arrays(&results))
        })
    }

    /// The results of the shards that are merged, for m training images of d entries.
    pub(super) fn merged(
        &self,
        config: &ResolvedConfig,
        functionals: &[Box<dyn Functional>],
        candidates: Option<&ImagePoints>,
        [m, d]: [usize; 2],
    ) -> Result<Influences> {
        let shards = self.shard.merged.as_ref().context("shards to merge")?;
        let names: Vec<String> = functionals.iter().map(|f| f.name().to_owned()).collect();
        let sizes = Sizes {
            dim: d,
            images: m,
            candidates: candidates.map(|candidates| candidates.set().len()),
            functionals: &names,
        };
        merged(shards, config, sizes)
    }
}
