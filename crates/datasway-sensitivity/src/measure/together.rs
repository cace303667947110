//! Several measures at the same points. Those over images of one set are evaluated in one pass over the set.
//!
//! The images of the set fall into classes: two images are of one class if they belong to the same measures. The sums of a
//! measure are those of its classes added up, so that ρ and any number of ν that are parts of it cost what ρ alone costs.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor, TensorData};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::denoiser::check_points;

use super::{Empirical, Measure};
use datasway_image_products::{ImageTiles, Part, Rows, Sums, sums_over};

/// The largest number of classes of a pass. Measures that cut a set into more are evaluated one by one.
const MAX_CLASSES: usize = 32;

/// Points of one pass; more are taken in turn, so that memory is bounded.
const MAX_ROWS: usize = 1024;

/// A measure, and what of it is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) measure: &'a dyn Measure,
    /// True if D is asked for beside q.
    pub(crate) denoised: bool,
}

/// A measure at n points, in the precision that it computes in.
#[derive(Debug, Clone)]
pub(crate) struct Evaluated {
    /// q, `[n]`.
    pub(crate) log_density: Tensor<1>,
    /// D, `[n, d]`, if it was asked for.
    pub(crate) denoised: Option<Tensor<2>>,
}

/// The measures at the points x, `[n, d]`.
///
/// # Errors
/// If x does not have the dimension of a measure, or a measure fails.
pub(crate) fn evaluate_together(
    asked: &[Asked<'_>],
    x: &Tensor<2>,
    sigma: f64,
) -> Result<Vec<Evaluated>, DiffusionError> {
    let mut results: Vec<Option<Evaluated>> = vec![None; asked.len()];
    let levels = vec![sigma; x.dims()[0]];
    for group in groups(asked) {
        let members: Vec<(&Empirical, bool)> = (group.iter())
            .filter_map(|&k| Some((asked[k].measure.as_empirical()?, asked[k].denoised)))
            .collect();
        check_points(
            x,
            members[0].0.images().map_or(0, |(points, _)| points.dim()),
        )?;
        for (k, evaluated) in group.iter().zip(over_one_set(&members, x, &levels)?) {
            results[*k] = Some(evaluated);
        }
    }
    let finished = results.into_iter().zip(asked);
    finished
        .map(|(evaluated, asked)| match evaluated {
            Some(evaluated) => Ok(evaluated),
            None if asked.denoised => {
                let (log_density, denoised) = asked.measure.evaluate(x.clone(), sigma)?;
                Ok(Evaluated {
                    log_density,
                    denoised: Some(denoised),
                })
            }
            None => Ok(Evaluated {
                log_density: asked.measure.log_density(x.clone(), sigma)?,
                denoised: None,
            }),
        })
        .collect()
}

/// Images at points x, `[n, d]`, with a noise level each.
///
/// # Errors
/// If x cannot be read from its device.
pub(crate) fn evaluate_images(
    measure: &Empirical,
    x: &Tensor<2>,
    levels: &[f64],
    denoised: bool,
) -> Result<Evaluated, DiffusionError> {
    let mut evaluated = over_one_set(&[(measure, denoised)], x, levels)?;
    Ok(evaluated.swap_remove(0))
}

/// The measures over images, as indices in groups that share a set: at most 64, without repeated images, and with few
/// classes. Others are left out.
fn groups(asked: &[Asked<'_>]) -> Vec<Vec<usize>> {
    // Each with whether others may join: not if an image is repeated.
    let mut groups: Vec<(bool, Vec<usize>)> = Vec::new();
    let images = |k: usize| asked[k].measure.as_empirical().and_then(Empirical::images);
    for k in 0..asked.len() {
        let Some((points, _)) = images(k) else {
            continue;
        };
        let repeated = repeats(points.set());
        let fits = |(open, group): &&mut (bool, Vec<usize>)| {
            let first = images(group[0]).map(|(points, _)| points);
            *open
                && !repeated
                && group.len() < u64::BITS as usize
                && first.is_some_and(|first| {
                    first.set().shares_storage(points.set())
                        && first.is_mirrored() == points.is_mirrored()
                })
        };
        match groups.iter_mut().find(fits) {
            Some((_, group)) => group.push(k),
            None => groups.push((!repeated, vec![k])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// True if an image is more than once in a set.
fn repeats(set: &datasway_data::Dataset) -> bool {
    let mut seen = vec![false; set.stored()];
    (0..set.len()).any(|i| std::mem::replace(&mut seen[set.place(i)], true))
}

/// Measures over images of one set at the points x, `[n, d]`, with a noise level each.
fn over_one_set(
    members: &[(&Empirical, bool)],
    x: &Tensor<2>,
    levels: &[f64],
) -> Result<Vec<Evaluated>, DiffusionError> {
    let Some((_, tiles)) = members[0].0.images() else {
        return Ok(Vec::new());
    };
    let values = wide_values(x)?;
    let parts = Parts::of(members);
    let mut numbers = vec![(Vec::new(), Vec::new()); members.len()];
    for (points, levels) in values
        .chunks(MAX_ROWS * tiles.dim())
        .zip(levels.chunks(MAX_ROWS))
    {
        let rows = Rows::new(tiles, points.to_vec(), levels);
        for (m, sums) in parts.sums(tiles, &rows, members).into_iter().enumerate() {
            numbers[m].0.extend(sums.logs());
            if members[m].1 {
                numbers[m].1.extend(sums.means(tiles));
            }
        }
    }
    let n = levels.len();
    let on = |measure: &Empirical| (x.device(), measure.precision());
    let evaluated = members
        .iter()
        .zip(numbers)
        .map(|((measure, denoised), (logs, means))| {
            // `p = Σ_j w_j·N(x; y_j, σ²)` with equal weights.
            let count = measure
                .images()
                .map_or(0, |(points, _)| points.set().len() * tiles.copies());
            let q = logs
                .into_iter()
                .map(|log| log - (count as f64).ln())
                .collect();
            Evaluated {
                log_density: tensor(q, [n], on(measure)),
                denoised: denoised.then(|| tensor(means, [n, tiles.dim()], on(measure))),
            }
        });
    Ok(evaluated.collect())
}

/// The classes of the images of some measures.
struct Parts {
    parts: Vec<Part>,
    /// Indices of the parts that each measure consists of.
    of_measures: Vec<Vec<usize>>,
}

impl Parts {
    fn of(members: &[(&Empirical, bool)]) -> Self {
        let places = |measure: &Empirical| -> Vec<usize> {
            let set = measure.images().map(|(points, _)| points.set());
            set.map_or_else(Vec::new, |set| {
                (0..set.len()).map(|i| set.place(i)).collect()
            })
        };
        let alone = || Self {
            parts: (members.iter())
                .map(|(measure, moments)| Part {
                    places: places(measure),
                    moments: *moments,
                })
                .collect(),
            of_measures: (0..members.len()).map(|m| vec![m]).collect(),
        };
        if members.len() == 1 {
            return alone();
        }
        // Bit m of the number of an image: it belongs to measure m.
        let mut belongs: Vec<u64> = Vec::new();
        for (m, (measure, _)) in members.iter().enumerate() {
            for place in places(measure) {
                if place >= belongs.len() {
                    belongs.resize(place + 1, 0);
                }
                belongs[place] |= 1 << m;
            }
        }
        let mut classes: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (place, bits) in belongs
            .into_iter()
            .enumerate()
            .filter(|(_, bits)| *bits != 0)
        {
            classes.entry(bits).or_default().push(place);
        }
        if classes.len() > MAX_CLASSES {
            return alone();
        }
        let has = |bits: u64, m: usize| bits & (1 << m) != 0;
        let bits: Vec<u64> = classes.keys().copied().collect();
        let of_measure = |m: usize| (0..bits.len()).filter(|&p| has(bits[p], m)).collect();
        let asked = |bits: u64| (0..members.len()).any(|m| members[m].1 && has(bits, m));
        Self {
            of_measures: (0..members.len()).map(of_measure).collect(),
            parts: (classes.into_iter())
                .map(|(bits, places)| Part {
                    places,
                    moments: asked(bits),
                })
                .collect(),
        }
    }

    /// The sums of every measure.
    fn sums(&self, tiles: &ImageTiles, rows: &Rows, members: &[(&Empirical, bool)]) -> Vec<Sums> {
        let sums = sums_over(tiles, rows, &self.parts);
        let measures = self.of_measures.iter().zip(members);
        measures
            .map(|(parts, (_, moments))| {
                let mut total = sums[parts[0]].only(*moments);
                parts[1..]
                    .iter()
                    .for_each(|&p| total.add(&sums[p].only(*moments)));
                total
            })
            .collect()
    }
}

/// The entries of a tensor in f64, the last dimension fastest.
pub(crate) fn wide_values<const D: usize>(tensor: &Tensor<D>) -> Result<Vec<f64>, DiffusionError> {
    let data = tensor.clone().into_data();
    let wide = match data.dtype() {
        DType::F64 => data.try_to_vec::<f64>(),
        DType::F32 => (data.try_to_vec::<f32>()).map(|v| v.into_iter().map(f64::from).collect()),
        _ => Ok(data.iter::<f64>().collect()),
    };
    wide.map_err(|error| {
        DiffusionError::Unsupported(format!("a tensor could not be read back: {error:?}"))
    })
}

fn tensor<const D: usize>(
    values: Vec<f64>,
    shape: [usize; D],
    (device, dtype): (Device, DType),
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), (&device, dtype))
}
