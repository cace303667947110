//! Estimates of the trace of a denoiser's Jacobian from products with it.

use burn::tensor::{Tensor, TensorData};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::random::{RandomStream, generator};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

/// An estimate of the trace of the denoiser's Jacobian J.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// The exact trace, with one tangent for each of the d entries: for small d.
    Exact,
    /// The mean of `⟨v, J·v⟩` over random probes v, which are drawn anew in each step. It is unbiased.
    Hutchinson {
        /// Distribution of the entries of a probe.
        law: ProbeLaw,
        /// Number of probes.
        probes: usize,
        /// Seed of the probes.
        seed: u64,
        /// Index of the first sample of the batch. The probes of a sample do not depend on its batch.
        first: u64,
    },
    /// Probing of an image's Jacobian, after Tang and Saad 2012 and Stathopoulos et al. 2013 (arXiv 1302.4018).
    ///
    /// There is one probe for each colour of a [`Colouring`], with random signs on the entries of that colour and zero
    /// elsewhere. The sum of `⟨v, J·v⟩` is unbiased. Only pairs of one colour add to its variance `2·Σ S_ij²`,
    /// `S = (J + Jᵀ)/2`. They are far apart in the image, where S is small.
    Probing {
        /// The colours.
        colouring: Colouring,
        /// Seed of the signs, fresh in each step.
        seed: u64,
        /// Index of the first sample of the batch.
        first: u64,
    },
}

/// Distribution of the entries of a probe, with mean 0 and variance 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeLaw {
    /// Random signs (Hutchinson 1989). The variance of the estimate is `2·Σ_{i≠j} S_ij²`, `S = (J + Jᵀ)/2`, the least of
    /// all distributions.
    Rademacher,
    /// Normal numbers (Girard 1987). The diagonal of S adds to the variance, which is `2·‖S‖²`.
    Gaussian,
}

/// Colours of the entries of an image. Two entries share a colour if they have the same channel and their rows and columns
/// differ by multiples of the period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colouring {
    /// Channels, rows and columns of the image.
    pub shape: [usize; 3],
    /// The period p in pixels. There are `channels·p²` colours.
    pub period: usize,
}

impl Colouring {
    /// Number of colours.
    pub fn count(&self) -> usize {
        let [channels, rows, columns] = self.shape;
        channels * self.period.min(rows) * self.period.min(columns)
    }

    /// The colour of each of the d entries of a point.
    pub fn colours(&self) -> Vec<usize> {
        let [channels, rows, columns] = self.shape;
        let (tall, wide) = (self.period.min(rows), self.period.min(columns));
        let mut colours = Vec::with_capacity(channels * rows * columns);
        for channel in 0..channels {
            for row in 0..rows {
                let first = (channel * tall + row % tall) * wide;
                colours.extend((0..columns).map(|column| first + column % wide));
            }
        }
        colours
    }
}

impl Trace {
    /// [`Hutchinson`](Self::Hutchinson) with random signs.
    pub fn rademacher(probes: usize, seed: u64) -> Self {
        Self::Hutchinson {
            law: ProbeLaw::Rademacher,
            probes,
            seed,
            first: 0,
        }
    }

    /// Checks the number of probes and the period.
    ///
    /// # Errors
    /// If one of them is 0.
    pub fn check(&self) -> Result<(), DiffusionError> {
        match self {
            Self::Hutchinson { probes: 0, .. } => Err(DiffusionError::Invalid(
                "the probability-flow density needs at least one probe".to_owned(),
            )),
            Self::Probing { colouring, .. } if colouring.period == 0 => {
                Err(DiffusionError::Invalid(
                    "probing needs colours that repeat: a period of at least 1".to_owned(),
                ))
            }
            _ => Ok(()),
        }
    }

    /// The same estimate for a batch whose first sample has the given index.
    pub fn starting_at(mut self, index: u64) -> Self {
        match &mut self {
            Self::Exact => {}
            Self::Hutchinson { first, .. } | Self::Probing { first, .. } => *first = index,
        }
        self
    }

    /// The tangents v of step k at the points x `[n, d]`, `[P, n, d]`, whose products with J are needed.
    pub fn tangents(&self, x: &Tensor<2>, k: usize) -> Tensor<3> {
        let [n, d] = x.dims();
        let (device, dtype) = (x.device(), x.dtype());
        match *self {
            Self::Exact => Tensor::<2>::eye(d, &device)
                .cast(dtype)
                .unsqueeze_dim::<3>(1)
                .expand([d, n, d]),
            Self::Hutchinson {
                law,
                probes,
                seed,
                first,
            } => {
                let mut values: Vec<f64> = Vec::with_capacity(probes * n * d);
                for probe in 0..probes as u64 {
                    for row in 0..n as u64 {
                        let index = [first + row, k as u64, probe];
                        values.extend(entries(law, seed, index).take(d));
                    }
                }
                Tensor::from_data(TensorData::new(values, [probes, n, d]), (&device, dtype))
            }
            Self::Probing {
                colouring,
                seed,
                first,
            } => {
                let (colours, count) = (colouring.colours(), colouring.count());
                let mut values = vec![0.0; count * n * d];
                for row in 0..n {
                    let index = [first + row as u64, k as u64, 0];
                    let signs = entries(ProbeLaw::Rademacher, seed, index);
                    for (entry, (colour, sign)) in colours.iter().zip(signs).enumerate() {
                        values[(colour * n + row) * d + entry] = sign;
                    }
                }
                Tensor::from_data(TensorData::new(values, [count, n, d]), (&device, dtype))
            }
        }
    }

    /// The trace `[n]`, or a linear function of it, from the term `⟨v, J·v⟩` of each tangent, `[P, n]`.
    pub fn combine(&self, terms: Tensor<2>) -> Tensor<1> {
        match self {
            Self::Exact | Self::Probing { .. } => terms.sum_dim(0),
            Self::Hutchinson { .. } => terms.mean_dim(0),
        }
        .squeeze_dim::<1>(0)
    }
}

/// An endless sequence of random numbers of a distribution.
fn entries(law: ProbeLaw, seed: u64, index: [u64; 3]) -> impl Iterator<Item = f64> {
    let mut rng = generator(seed, RandomStream::Probe, index);
    std::iter::repeat_with(move || match law {
        ProbeLaw::Rademacher if rng.random() => 1.0,
        ProbeLaw::Rademacher => -1.0,
        ProbeLaw::Gaussian => StandardNormal.sample(&mut rng),
    })
}

/// `⟨v, J·v⟩` for each tangent and point, `[P, n]`, from tangents and products `[P, n, d]`.
pub fn terms(tangents: &Tensor<3>, products: Tensor<3>) -> Tensor<2> {
    (tangents.clone() * products).sum_dim(2).squeeze_dim::<2>(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device};

    #[test]
    fn colours_repeat_with_the_period_in_each_channel() {
        let colouring = Colouring {
            shape: [2, 3, 4],
            period: 2,
        };
        assert_eq!(colouring.count(), 8);
        let first = [0, 1, 0, 1, 2, 3, 2, 3, 0, 1, 0, 1];
        let second = first.map(|colour| colour + 4);
        assert_eq!(colouring.colours(), [first, second].concat());
    }

    #[test]
    fn every_entry_is_probed_once() {
        let colouring = Colouring {
            shape: [3, 5, 4],
            period: 3,
        };
        let trace = Trace::Probing {
            colouring,
            seed: 1,
            first: 0,
        };
        let x = Tensor::zeros([2, 60], (&Device::flex(), DType::F64));
        let probes = trace.tangents(&x, 0);
        assert_eq!(probes.dims(), [27, 2, 60]);
        let once = probes.abs().sum_dim(0).into_data();
        assert!(once.iter::<f64>().all(|sum| sum == 1.0));
    }

    #[test]
    fn only_pairs_of_one_colour_are_left_to_chance() {
        // J couples each pixel to its right neighbour, which has another colour: the trace is exact.
        let (n, d) = (3, 16);
        let x = Tensor::<2>::zeros([n, d], (&Device::flex(), DType::F64));
        let trace = |colouring| Trace::Probing {
            colouring,
            seed: 7,
            first: 0,
        };
        let estimate = |period: usize| {
            let colouring = Colouring {
                shape: [1, 4, 4],
                period,
            };
            let v = trace(colouring).tangents(&x, 2);
            let moved = v.clone() * 2.0 + v.clone().roll_dim(1, 2) * 0.5;
            let traces = trace(colouring).combine(terms(&v, moved));
            traces.into_data().iter::<f64>().collect::<Vec<f64>>()
        };
        assert_eq!(estimate(2), [32.0; 3]);
        assert!(estimate(1).iter().any(|trace| *trace != 32.0));
    }

    #[test]
    fn nothing_to_average_is_an_error() {
        let colouring = Colouring {
            shape: [1, 4, 4],
            period: 0,
        };
        let trace = Trace::Probing {
            colouring,
            seed: 0,
            first: 0,
        };
        let error = trace.check().expect_err("refused").to_string();
        assert!(error.contains("a period of at least 1"), "{error}");
    }
}
