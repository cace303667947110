//! `sensitivity --shard`: the batches of one share of a ranking.

use anyhow::Result;
use datasway_fs::shard::Shard;
use datasway_sensitivity::RankedSensitivities;

use super::RankArgs;
use super::prepared::Prepared;
use crate::resolution::resolve;
use crate::run_info::RunInfo;
use crate::shard::{self, RecordedRun, ShardFolder};

impl RankArgs {
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
            directions,
            ..
        } = prepared;
        let resolved = resolve(model, config)?;
        let info = RunInfo::new(model, self.model.sampler_info(model), config, &resolved);
        self.replay.check_model(&info)?;
        let batches = resolved.parts().count();
        let options = self.replay.recorded.clone();
        folder.begin(&RecordedRun::new(info, options, [config.samples, batches]))?;
        shard::for_each_batch(&resolved, shard, folder, |part| {
            let results = model.ranked_sensitivities(directions.clone(), part, |_| ())?;
            let RankedSensitivities { sensitivities, .. } = &results;
            Ok(shard::rank::arrays(sensitivities))
        })
    }
}
