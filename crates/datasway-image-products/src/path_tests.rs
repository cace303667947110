//! Influences and changes along paths against plain loops in f64.

use std::sync::Arc;

use super::tests::{faces, noise, pixels, points, square_distance};
use super::*;

/// Paths of six evaluations in three groups, from high to low noise, with a path of weight 0.4 at each.
const SIGMAS: [f64; 6] = [40.0, 9.0, 3.0, 1.0, 0.3, 0.02];
const GROUPS: [usize; 3] = [2, 3, 1];
const PATHS: usize = 2;
const FUNCTIONALS: usize = 2;

fn weight(p: usize) -> f64 {
    1.0 - 0.1 * p as f64
}

/// The terms of all points at every row, by plain loops.
struct Plain {
    /// Every image, then every mirror image.
    points: Vec<Vec<f64>>,
    images: usize,
    /// Points of the rows, `[R, d]`.
    x: Vec<f64>,
    /// G, `[K, R, d]`.
    gradients: Vec<f64>,
    dim: usize,
}

impl Plain {
    fn row<'a>(&self, values: &'a [f64], row: usize) -> &'a [f64] {
        &values[row * self.dim..(row + 1) * self.dim]
    }

    /// The plain loops have pixels in f32 and the products whole grey levels, `u·‖G‖` apart for each image.
    fn floor(&self, k: usize, row: usize) -> f64 {
        let gradient = self.row(&self.gradients, k * Self::rows() + row);
        gradient.iter().map(|g| g * g).sum::<f64>().sqrt() / f64::from(1 << 24)
    }

    fn rows() -> usize {
        SIGMAS.len() * PATHS
    }

    /// `−‖x − y‖²/2σ²` of all points.
    fn logs(&self, row: usize) -> Vec<f64> {
        let (x, sigma) = (self.row(&self.x, row), SIGMAS[row / PATHS]);
        let log = |y: &Vec<f64>| -square_distance(x, y) / (2.0 * sigma * sigma);
        self.points.iter().map(log).collect()
    }

    /// q and D of the points themselves.
    fn own(&self, row: usize) -> (f64, Vec<f64>) {
        let logs = self.logs(row);
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = logs.iter().map(|l| (l - top).exp()).sum();
        let mut center = vec![0.0; self.dim];
        for (log, y) in logs.iter().zip(&self.points) {
            let weight = (log - top).exp() / total;
            center.iter_mut().zip(y).for_each(|(c, y)| *c += weight * y);
        }
        (top + total.ln() - (logs.len() as f64).ln(), center)
    }

    /// `w·r_y·⟨G, y − D⟩` of each image, the mean over its copies; the sums over images of r and of the sizes of the copies' terms, and the
    /// largest r.
    fn contributions(&self, k: usize, row: usize, q: f64, center: &[f64]) -> (Vec<f64>, [f64; 3]) {
        let gradient = self.row(&self.gradients, k * Self::rows() + row);
        let copies = (self.points.len() / self.images) as f64;
        let mut terms = vec![0.0; self.images];
        let (mut balance, mut size, mut largest) = (0.0, 0.0, 0.0_f64);
        for (j, (log, y)) in self.logs(row).iter().zip(&self.points).enumerate() {
            let ratio = (log - q).exp();
            let along = gradient.iter().zip(y.iter().zip(center));
            let along: f64 = along.map(|(g, (y, c))| g * (y - c)).sum();
            let term = weight(row / PATHS) * ratio * along / copies;
            terms[j % self.images] += term;
            size += term.abs();
            balance += ratio / copies;
            largest = largest.max(ratio);
        }
        (terms, [balance, size, largest])
    }
}

fn scene(count: usize, size: usize, mirrored: bool) -> (ImageTiles, Plain) {
    let set = faces(count, size);
    let levels: Vec<f64> = SIGMAS.iter().flat_map(|s| [*s; PATHS]).collect();
    let plain = Plain {
        points: pixels(&set, mirrored),
        images: count,
        x: points(&set, &levels),
        gradients: noise(FUNCTIONALS * Plain::rows() * set.shape.dim(), 5),
        dim: set.shape.dim(),
    };
    (ImageTiles::new(Arc::new(set), mirrored), plain)
}

fn rows<'a>(tiles: &'a ImageTiles, plain: &Plain) -> PathRows<'a> {
    let block = PATHS * plain.dim;
    let evaluations = plain.x.chunks_exact(block).enumerate();
    let evaluations = evaluations.map(|(p, points)| PathEvaluation {
        sigma: SIGMAS[p],
        weight: weight(p),
        points: points.to_vec(),
    });
    PathRows::new(tiles, PATHS, evaluations.collect())
}

/// The gradients of the first functionals, by evaluation.
fn gradients(rows: &PathRows<'_>, plain: &Plain, functionals: usize) -> PathGradients {
    let block = PATHS * plain.dim;
    let evaluation = |p: usize| {
        let of = |k: usize| &plain.gradients[(k * SIGMAS.len() + p) * block..][..block];
        (0..functionals).flat_map(of).copied().collect::<Vec<f64>>()
    };
    let evaluations: Vec<Vec<f64>> = (0..SIGMAS.len()).map(evaluation).collect();
    PathGradients::new(rows, functionals, &evaluations)
}

#[track_caller]
fn close(found: &[f64], plain: &[f64], what: &str) {
    assert_eq!(found.len(), plain.len());
    // A single image has no influence.
    let size = plain.iter().fold(1e-3_f64, |top, v| top.max(v.abs()));
    for (found, plain) in found.iter().zip(plain) {
        let error = (found - plain).abs() / size;
        assert!(error < 1e-5, "{what}: {error:e}");
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// Against the images themselves (`own`), or against a given q and D.
fn check(count: usize, size: usize, mirrored: bool, own: bool) {
    let (tiles, plain) = scene(count, size, mirrored);
    let rows = rows(&tiles, &plain);
    let gradients = gradients(&rows, &plain, FUNCTIONALS);
    let places: Vec<usize> = (0..count).collect();
    let r = Plain::rows();
    // A density and a centre that are not quite those of the images.
    let references: Vec<(f64, Vec<f64>)> = (0..r)
        .map(|row| {
            let (q, mut center) = plain.own(row);
            if own {
                return (q, center);
            }
            center.iter_mut().for_each(|c| *c += 0.01);
            (q + 0.2, center)
        })
        .collect();
    let at_center = |k: usize, row: usize| -> f64 {
        let gradient = plain.row(&plain.gradients, k * r + row);
        gradient
            .iter()
            .zip(&references[row].1)
            .map(|(g, c)| g * c)
            .sum()
    };
    let kr = (0..FUNCTIONALS).flat_map(|k| (0..r).map(move |row| (k, row)));
    let at_center: Vec<f64> = kr.map(|(k, row)| at_center(k, row)).collect();
    let reference = Reference {
        log_densities: (!own).then(|| references.iter().map(|(q, _)| *q).collect()),
        at_center: (!own).then(|| at_center.clone()),
    };
    let groups = Groups::of(&GROUPS);
    let mut done = 0;
    let found = path_influences(&rows, &gradients, &reference, &places, &groups, |images| {
        done = images
    });
    assert_eq!(done, count);
    let log_densities: Vec<f64> = references.iter().map(|(q, _)| *q).collect();
    close(&found.log_densities, &log_densities, "q");
    close(&found.at_center, &at_center, "centre");
    for k in 0..FUNCTIONALS {
        for i in 0..PATHS {
            let mut parts = vec![vec![0.0; count]; GROUPS.len()];
            let (mut total, mut rounding) = (vec![0.0; count], 0.0);
            for p in 0..SIGMAS.len() {
                let row = p * PATHS + i;
                let (q, center) = &references[row];
                let (terms, [balance, size, largest]) = plain.contributions(k, row, *q, center);
                let group = [0, 0, 1, 1, 1, 2][p];
                for ((part, total), term) in parts[group].iter_mut().zip(&mut total).zip(&terms) {
                    *part += term;
                    *total += term;
                }
                let strength: f64 = terms.iter().map(|t| t.abs()).sum();
                let floor = plain.floor(k, row);
                rounding += floor * largest;
                let gap = (found.strength[k * r + row] - strength).abs();
                assert!(
                    gap < 1e-5 * size + floor * balance,
                    "strength {p}: {gap:e} of {size:e}"
                );
                close(&[found.balance[row]], &[balance], "balance");
            }
            let row = k * PATHS + i;
            let influence = &found.influence[row * count..(row + 1) * count];
            let size = total.iter().fold(0.0_f64, |top, v| top.max(v.abs()));
            let near = |found: &[f32], plain: &[f64], what: &str| {
                for (found, plain) in wide(found).into_iter().zip(plain) {
                    let gap = (found - plain).abs();
                    assert!(gap <= 1e-5 * size + rounding, "{what}: {gap:e} of {size:e}");
                }
            };
            near(influence, &total, "influence");
            for (s, part) in parts.iter().enumerate() {
                let start = (row * GROUPS.len() + s) * count;
                near(
                    &found.by_group[start..start + count],
                    part,
                    &format!("group {s}"),
                );
            }
        }
    }
    let masses = PathMasses::new(&rows, &places, true);
    check_densities(&plain, &masses);
    check_moments(&rows, &plain, &masses, &references, &places);
}

/// q and D of the images themselves.
fn check_densities(plain: &Plain, masses: &PathMasses) {
    let means = masses.means.as_ref().unwrap();
    for row in 0..Plain::rows() {
        let (q, center) = plain.own(row);
        let gap = (masses.log_densities[row] - q).abs();
        assert!(gap <= 1e-5 * q.abs().max(1.0), "q of row {row}: {gap:e}");
        for (found, plain) in plain.row(means, row).iter().zip(center) {
            let gap = (found - plain).abs();
            assert!(gap <= 1e-5, "D of row {row}: {gap:e}");
        }
    }
}

/// The changes of the denoiser by all images, with the influences on the first functional as masses.
fn check_moments(
    rows: &PathRows<'_>,
    plain: &Plain,
    masses: &PathMasses,
    references: &[(f64, Vec<f64>)],
    places: &[usize],
) {
    let (r, d, m) = (Plain::rows(), plain.dim, places.len());
    let copies = (plain.points.len() / m) as f64;
    let at_center = (0..r).map(|row| {
        let gradient = plain.row(&plain.gradients, row);
        gradient
            .iter()
            .zip(&references[row].1)
            .map(|(g, c)| g * c)
            .sum()
    });
    let reference = Reference {
        log_densities: Some(references.iter().map(|(q, _)| *q).collect()),
        at_center: Some(at_center.collect()),
    };
    let centers: Vec<f64> = references.iter().flat_map(|(_, c)| c.clone()).collect();
    let gradients = gradients(rows, plain, 1);
    let found = path_moments(rows, &gradients, masses, &reference, places, &centers);
    for i in 0..PATHS {
        let (mut influence, mut rounding) = (vec![0.0; m], 0.0);
        for row in (i..r).step_by(PATHS) {
            let (q, center) = &references[row];
            let (terms, [_, _, largest]) = plain.contributions(0, row, *q, center);
            rounding += plain.floor(0, row) * largest;
            influence
                .iter_mut()
                .zip(terms)
                .for_each(|(a, term)| *a += term);
        }
        for row in (i..r).step_by(PATHS) {
            let (q, center) = &references[row];
            let mut moment = vec![0.0; d];
            // The size of what is added up, and of its masses.
            let (mut size, mut masses) = (0.0, 0.0);
            for (j, (log, y)) in plain.logs(row).iter().zip(&plain.points).enumerate() {
                let share = weight(row / PATHS) * (log - q).exp() / copies;
                let mass = influence[j % m] * share;
                for ((moment, y), c) in moment.iter_mut().zip(y).zip(center) {
                    *moment += mass * (y - c);
                }
                size += mass.abs();
                masses += share;
            }
            for (found, plain) in found[row * d..(row + 1) * d].iter().zip(&moment) {
                let (gap, bound) = ((found - plain).abs(), 1e-5 * size + 2.0 * rounding * masses);
                assert!(
                    gap <= bound,
                    "change at {}: {gap:e} of {size:e}",
                    row / PATHS
                );
            }
        }
    }
}

#[test]
fn influences_and_changes_along_paths_are_those_of_plain_loops() {
    for (count, size) in [(700, 9), (130, 8), (1, 8)] {
        for mirrored in [false, true] {
            for own in [true, false] {
                check(count, size, mirrored, own);
            }
        }
    }
}

#[test]
fn influences_do_not_depend_on_the_number_of_threads() {
    let (tiles, plain) = scene(1300, 8, true);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let rows = rows(&tiles, &plain);
            let gradients = gradients(&rows, &plain, FUNCTIONALS);
            let places: Vec<usize> = (0..1300).collect();
            let (own, groups) = (Reference::default(), Groups::of(&[]));
            let found = path_influences(&rows, &gradients, &own, &places, &groups, |_| ());
            (found.influence, found.strength, found.balance)
        })
    };
    assert_eq!(run(1), run(3));
}
