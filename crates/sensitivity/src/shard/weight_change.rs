//! The change of the weights as a file, so that a share that goes on does not solve for it again.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, ensure};
use burn::module::ParamId;
use burn::tensor::{Device, TensorData};
use burn_jvp::{DynTensor, ParameterTangents};
use datasway_fs::arrays::{self, Array};
use datasway_sensitivity::learner::{ChangedGroups, CurvatureSolution, WeightChange};

use super::arrays::Reader;
use super::solver_report;

const SOLUTION: &str = "derivative/";
const NOISE: &str = "noise/";

/// Writes a change, completely or not at all: `derivative/ID` and `noise/ID` of each parameter, `[K, …]`, and the solver's report.
///
/// # Errors
/// If the disk is full or not writable.
pub fn write(path: &Path, change: &WeightChange) -> Result<()> {
    let mut arrays = BTreeMap::new();
    let solution = (SOLUTION, &change.solution.solutions);
    let noise = change.noise.iter().map(|noise| (NOISE, noise));
    for (kind, tangents) in std::iter::once(solution).chain(noise) {
        for (id, tangent) in tangents.iter() {
            let array = Array {
                shape: tangent.shape(),
                values: tangent.to_floats().iter::<f32>().collect(),
            };
            arrays.insert(format!("{kind}{}", id.val()), array);
        }
    }
    solver_report::put(&change.solution.report, &mut arrays);
    Ok(arrays::write(path, &arrays)?)
}

/// Reads the change by K groups that [`write()`] wrote.
///
/// # Errors
/// If the file is damaged, or of another number of groups.
pub fn read(path: &Path, groups: &ChangedGroups<'_>, device: &Device) -> Result<WeightChange> {
    let mut arrays = arrays::read(path)?;
    let [solutions, noise] = [SOLUTION, NOISE].map(|kind| tangents(&mut arrays, kind, device));
    let is_of_groups = |tangents: &ParameterTangents| tangents.k() == groups.count();
    ensure!(
        is_of_groups(&solutions) && (noise.is_empty() || is_of_groups(&noise)),
        "{}: is not the change by {} groups: remove the file, and it is solved again",
        path.display(),
        groups.count()
    );
    let report = solver_report::take(&mut Reader::new((path, arrays)))?;
    Ok(WeightChange {
        solution: CurvatureSolution { solutions, report },
        noise: (!noise.is_empty()).then_some(noise),
        masses: groups.masses(),
    })
}

/// Takes the stacks of all parameters out of the arrays.
fn tangents(
    arrays: &mut BTreeMap<String, Array>,
    kind: &str,
    device: &Device,
) -> ParameterTangents {
    let parsed = |name: &str| name.strip_prefix(kind)?.parse::<u64>().ok();
    let names: Vec<(String, u64)> = arrays
        .keys()
        .filter_map(|name| Some((name.clone(), parsed(name)?)))
        .collect();
    let stacks = names.into_iter().filter_map(|(name, id)| {
        let Array { shape, values } = arrays.remove(&name)?;
        let stack = DynTensor::from_floats(TensorData::new(values, shape), device);
        Some((ParamId::from(id), stack))
    });
    stacks.collect()
}
