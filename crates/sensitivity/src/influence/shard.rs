//! `sensitivity influence --shard`: the batches of one share of the samples, and all of them put together.

use anyhow::{Context, Result};
use datasway_sensitivity::influence::{
    Functional, Influences, WeightInfluenceSolver, compute_with_candidates,
};
use datasway_sensitivity::learner::SolverReport;
use datasway_sensitivity::measure::ImagePoints;
use datasway_sensitivity::{ResolvedConfig, SensitivityConfig, Through, TrainedModel};

use super::{InfluenceArgs, Prepared, functional_spec};
use crate::resolution::resolve;
use crate::run_info::RunInfo;
use crate::shard::influence::{Sizes, arrays, merged};
use crate::shard::{Share, SharedRun, solver_report};

impl InfluenceArgs {
    /// Computes the batches of a share that are not done, and writes each when it is.
    pub(super) fn compute_share(&self, prepared: &Prepared, share: &Share) -> Result<()> {
        let Prepared { model, config, .. } = prepared;
        let functionals = self.functionals.iter();
        let functionals = functionals
            .map(|text| functional_spec::parse(text, config.samples, model))
            .collect::<Result<Vec<_>>>()?;
        let resolved = resolve(model, config)?;
        let through = self.through.through();
        let info = RunInfo::new(model, self.model.sampler_info(model), config, &resolved);
        let run = SharedRun {
            info: info.with_through(through),
            samples: config.samples,
            parts: resolved.parts().collect(),
        };
        match through {
            Through::Data => self.compute_through_data(prepared, &functionals, run, share),
            Through::Weights => self.compute_through_weights(prepared, &functionals, run, share),
        }
    }

    fn compute_through_data(
        &self,
        prepared: &Prepared,
        functionals: &[Box<dyn Functional>],
        run: SharedRun<ResolvedConfig>,
        share: &Share,
    ) -> Result<()> {
        let Prepared {
            model, candidates, ..
        } = prepared;
        let images = || Ok(model.image_points());
        share.compute(run, &self.replay, images, |images, part| {
            let results = compute_with_candidates(
                model.score_model.denoiser(),
                images,
                candidates.as_ref(),
                functionals,
                &part,
                self.top,
                |_| (),
            )?;
            Ok(arrays(&results))
        })
    }

    fn compute_through_weights(
        &self,
        prepared: &Prepared,
        functionals: &[Box<dyn Functional>],
        run: SharedRun<ResolvedConfig>,
        share: &Share,
    ) -> Result<()> {
        let Prepared {
            model, candidates, ..
        } = prepared;
        let images = model.image_points();
        let learner = model.learner(&images, self.learner(model)?)?;
        let solver = || {
            let candidates = candidates.as_ref();
            let progress = &mut |_| ();
            let solver =
                WeightInfluenceSolver::new(&learner, &images, candidates, functionals, progress)?;
            Ok(solver)
        };
        share.compute(run, &self.replay, solver, |solver, part| {
            let (results, report) = solver.compute(&part, self.top, &mut |_| ())?;
            let mut arrays = arrays(&results);
            solver_report::put(&report, &mut arrays);
            Ok(arrays)
        })
    }

    /// The results of the shards that are merged, and the systems that were solved for them; none through the data.
    pub(super) fn merged(
        &self,
        model: &TrainedModel,
        config: &SensitivityConfig,
        functionals: &[Box<dyn Functional>],
        candidates: Option<&ImagePoints>,
    ) -> Result<(Influences, Option<SolverReport>)> {
        let shards = self.shard.merged.as_ref().context("shards to merge")?;
        let names: Vec<String> = functionals.iter().map(|f| f.name().to_owned()).collect();
        let sizes = Sizes {
            dim: model.images.shape.dim(),
            images: model.images.len(),
            candidates: candidates.map(|candidates| candidates.set().len()),
            functionals: &names,
            through: self.through.through(),
        };
        merged(shards, config, sizes)
    }
}
