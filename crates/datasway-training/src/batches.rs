//! Training batches from the distribution ρ or a perturbed one.

use burn::tensor::{Device, Tensor, TensorData};
use datasway_data::Dataset;
use datasway_diffusion::DiffusionError;
use datasway_diffusion::random::{RandomStream, generator};
use rand::RngExt;

/// The draws of a run: together with the step they determine a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchDraws {
    /// Seed.
    pub seed: u64,
    /// Images of a batch.
    pub batch: usize,
    /// True if images are mirrored half of the time.
    pub flip: bool,
}

/// The distribution `ρ_η ∝ ρ + ην` from which batches are drawn, with replacement.
///
/// A batch is a function of seed and step. Two perturbations share all images of a batch that neither of them replaces, so two
/// runs have as much noise in common as possible.
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    images: &'a Dataset,
    perturbation: BatchPerturbation<'a>,
}

#[derive(Debug, Clone)]
enum BatchPerturbation<'a> {
    None,
    /// With this probability, an image is drawn from the other set.
    Add {
        images: &'a Dataset,
        probability: f64,
    },
    /// With this probability, an image of the group is rejected and another one is drawn.
    Remove {
        group: Vec<bool>,
        probability: f64,
    },
}

impl<'a> Batches<'a> {
    /// The unperturbed distribution ρ, uniform on the images.
    pub fn new(images: &'a Dataset) -> Self {
        Self {
            images,
            perturbation: BatchPerturbation::None,
        }
    }

    /// The perturbed distribution `ρ + ην` for η = `mass` > 0 and ν uniform on `added`, images of the same shape.
    ///
    /// # Errors
    /// If the mass is not positive, or the shapes differ.
    pub fn adding(
        images: &'a Dataset,
        added: &'a Dataset,
        mass: f64,
    ) -> Result<Self, DiffusionError> {
        if !(mass.is_finite() && mass > 0.0) {
            return Err(DiffusionError::Invalid(format!(
                "the mass to add must be positive, not {mass}"
            )));
        }
        if images.shape != added.shape || added.is_empty() {
            return Err(DiffusionError::Invalid(
                "the added images must be of the training set's shape, and at least one".to_owned(),
            ));
        }
        // Of the total mass 1 + η, η belongs to ν.
        let probability = mass / (1.0 + mass);
        Ok(Self {
            images,
            perturbation: BatchPerturbation::Add {
                images: added,
                probability,
            },
        })
    }

    /// The perturbed distribution `ρ − |η|ν` for |η| = `mass` and ν uniform on the images of these indices.
    ///
    /// # Errors
    /// If the mass is not positive, or larger than the share of the group in ρ, where the measure would be negative.
    pub fn removing(
        images: &'a Dataset,
        indices: &[usize],
        mass: f64,
    ) -> Result<Self, DiffusionError> {
        let mut group = vec![false; images.len()];
        for &index in indices {
            group[index] = true;
        }
        let n = images.len() as f64;
        let share = group.iter().filter(|inside| **inside).count() as f64 / n;
        // At least the mass of one image must remain, or no image is ever drawn.
        if !(mass > 0.0 && mass <= share && (1.0 - mass) * n > 0.5) {
            return Err(DiffusionError::Invalid(format!(
                "the mass to remove must be in (0, {share:.4}], the group's share of the data, and leave something; it is {mass}"
            )));
        }
        // Each image of the group keeps 1/n − |η|/|ν| of its mass 1/n.
        Ok(Self {
            images,
            perturbation: BatchPerturbation::Remove {
                group,
                probability: mass / share,
            },
        })
    }

    /// The images of a step, `[batch, c, h, w]` in `[-1, 1]`.
    pub fn at(&self, draws: BatchDraws, step: u64, device: &Device) -> Tensor<4> {
        let mut pixels = Vec::new();
        let shape = self.images.shape;
        for slot in 0..draws.batch as u64 {
            // Each slot has its own generator, so a rejection changes no other slot.
            let mut rng = generator(draws.seed, RandomStream::Batch, [step, slot]);
            let index = rng.random_range(0..self.images.len());
            let mirrored = draws.flip && rng.random::<bool>();
            let chance = rng.random::<f64>();
            let start = pixels.len();
            match &self.perturbation {
                BatchPerturbation::Add {
                    images,
                    probability,
                } if chance < *probability => {
                    pixels.extend(images.values(rng.random_range(0..images.len())));
                }
                BatchPerturbation::Remove { group, probability } => {
                    let (mut index, mut chance) = (index, chance);
                    while group[index] && chance < *probability {
                        (index, chance) = (rng.random_range(0..group.len()), rng.random());
                    }
                    pixels.extend(self.images.values(index));
                }
                _ => pixels.extend(self.images.values(index)),
            }
            if mirrored {
                for row in pixels[start..].chunks_exact_mut(shape.width) {
                    row.reverse();
                }
            }
        }
        let dims = [draws.batch, shape.channels, shape.height, shape.width];
        Tensor::from_data(TensorData::new(pixels, dims), device)
    }
}
