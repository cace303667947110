//! The four preconditionings, as coefficients and ranges of noise levels.

use std::f64::consts::FRAC_PI_2;
use std::fmt::Debug;
use std::ops::RangeInclusive;

use datasway_diffusion::parameterization::Parameterization;
use datasway_diffusion::precondition::Precondition;
use datasway_diffusion::range;

use super::config::{EdmWrapper, IddpmWrapper, VeWrapper, VpWrapper, Wrapper};

/// The coefficients of `D = c_skip·x + c_out·F(c_in·x, c_noise)` of a wrapper.
#[derive(Debug, Clone, PartialEq)]
pub enum EdmParameterization {
    /// Variance preserving, with the noise schedule `σ(t)² = exp(β_d·t²/2 + β_min·t) − 1`.
    Vp {
        /// Extent of the schedule.
        beta_d: f64,
        /// First slope of the schedule.
        beta_min: f64,
        /// Number of time steps.
        steps: usize,
    },
    /// Variance exploding.
    Ve,
    /// Improved DDPM, whose network knows the noise levels of a table only.
    Iddpm {
        /// The noise levels `u`, falling to 0.
        levels: Vec<f64>,
    },
    /// EDM.
    Edm(Precondition),
}

impl Parameterization for EdmParameterization {
    fn c_skip(&self, sigma: f64) -> f64 {
        match self {
            Self::Vp { .. } | Self::Ve | Self::Iddpm { .. } => 1.0,
            Self::Edm(edm) => edm.c_skip(sigma),
        }
    }

    /// VP and iDDPM predict the noise, VE its negative.
    fn c_out(&self, sigma: f64) -> f64 {
        match self {
            Self::Vp { .. } | Self::Iddpm { .. } => -sigma,
            Self::Ve => sigma,
            Self::Edm(edm) => edm.c_out(sigma),
        }
    }

    /// `1/√(σ² + 1)` for VP and iDDPM.
    fn c_in(&self, sigma: f64) -> f64 {
        match self {
            Self::Vp { .. } | Self::Iddpm { .. } => (sigma.powi(2) + 1.0).sqrt().recip(),
            Self::Ve => 1.0,
            Self::Edm(edm) => edm.c_in(sigma),
        }
    }

    /// VP: `(M − 1)·t(σ)`. VE: `ln(σ/2)`. iDDPM: `M − 1 − argmin_j |u_j − σ|`. EDM: `ln(σ)/4`.
    fn c_noise(&self, sigma: f64) -> f64 {
        match self {
            Self::Vp {
                beta_d,
                beta_min,
                steps,
            } => {
                // t = (√(β_min² + 2·β_d·ln(1 + σ²)) − β_min)/β_d
                let root = (beta_min.powi(2) + 2.0 * beta_d * sigma.powi(2).ln_1p()).sqrt();
                (steps - 1) as f64 * (root - beta_min) / beta_d
            }
            Self::Ve => (sigma / 2.0).ln(),
            Self::Iddpm { levels } => {
                let distances = levels.iter().map(|level| (level - sigma).abs()).enumerate();
                let nearest = distances.min_by(|a, b| a.1.total_cmp(&b.1));
                let (index, _) = nearest.expect("a table has two levels at least");
                levels.len() as f64 - 2.0 - index as f64
            }
            Self::Edm(edm) => edm.c_noise(sigma),
        }
    }
}

/// The table of noise levels of `iDDPMPrecond`, `[M + 1]`.
///
/// `u_M = 0`, `u_{j−1}² = (u_j² + 1)/max(ᾱ_{j−1}/ᾱ_j, C_1) − 1` with `ᾱ_j = sin²(π/2·j/M/(C_2 + 1))`.
pub fn iddpm_levels(c_1: f64, c_2: f64, steps: usize) -> Vec<f64> {
    let alpha_bar = |j: usize| {
        let angle = FRAC_PI_2 * j as f64 / steps as f64 / (c_2 + 1.0);
        angle.sin().powi(2)
    };
    let mut levels = vec![0.0_f64; steps + 1];
    for j in (1..=steps).rev() {
        let ratio = (alpha_bar(j - 1) / alpha_bar(j)).max(c_1);
        levels[j - 1] = ((levels[j].powi(2) + 1.0) / ratio - 1.0).sqrt();
    }
    levels
}

/// Coefficients of a wrapper with its range of noise levels, smallest and largest. The largest may be infinite.
#[derive(Debug, Clone)]
pub struct Preconditioning {
    /// The coefficients. Those of iDDPM have the table that the arguments give.
    pub parameterization: EdmParameterization,
    /// The noise levels.
    pub sigmas: [f64; 2],
}

impl Preconditioning {
    /// The preconditioning of a wrapper.
    ///
    /// # Errors
    /// A clause that names the argument.
    pub fn new(wrapper: &Wrapper) -> Result<Self, String> {
        let preconditioning = match wrapper {
            Wrapper::Vp(vp) => Self::vp(vp),
            Wrapper::Ve(ve) => Self::ve(ve),
            Wrapper::Iddpm(iddpm) => Self::iddpm(iddpm),
            Wrapper::Edm(edm) => Self::edm(edm),
        }?;
        let [smallest, largest] = preconditioning.sigmas;
        if smallest >= 0.0 && smallest < largest {
            return Ok(preconditioning);
        }
        Err(format!(
            "the wrapper's arguments give noise levels from {smallest} to {largest}, which is no range"
        ))
    }

    fn vp(vp: &VpWrapper) -> Result<Self, String> {
        check("beta_d", vp.beta_d, 1e-6..=1e3)?;
        check("beta_min", vp.beta_min, 0.0..=1e3)?;
        check("M", vp.steps, 2..=100_000)?;
        check("epsilon_t", vp.epsilon_t, 1e-12..=1.0)?;
        let sigma = |t: f64| {
            let exponent = 0.5 * vp.beta_d * t.powi(2) + vp.beta_min * t;
            exponent.exp_m1().sqrt()
        };
        let sigmas = [sigma(vp.epsilon_t), sigma(1.0)];
        check("largest noise level", sigmas[1], 0.0..=1e30)?;
        Ok(Self {
            parameterization: EdmParameterization::Vp {
                beta_d: vp.beta_d,
                beta_min: vp.beta_min,
                steps: vp.steps,
            },
            sigmas,
        })
    }

    fn ve(ve: &VeWrapper) -> Result<Self, String> {
        Ok(Self {
            parameterization: EdmParameterization::Ve,
            sigmas: [ve.sigma_min, ve.sigma_max.unwrap_or(f64::INFINITY)],
        })
    }

    fn iddpm(iddpm: &IddpmWrapper) -> Result<Self, String> {
        check("C_1", iddpm.c_1, 1e-9..=1.0)?;
        check("C_2", iddpm.c_2, 1e-9..=1e3)?;
        check("M", iddpm.steps, 2..=100_000)?;
        let levels = iddpm_levels(iddpm.c_1, iddpm.c_2, iddpm.steps);
        check("largest noise level", levels[0], 0.0..=1e30)?;
        Ok(Self {
            sigmas: [levels[iddpm.steps - 1], levels[0]],
            parameterization: EdmParameterization::Iddpm { levels },
        })
    }

    fn edm(edm: &EdmWrapper) -> Result<Self, String> {
        let precondition = Precondition::new(edm.sigma_data);
        let precondition = precondition.map_err(|error| format!("wrapper.{error}"))?;
        Ok(Self {
            parameterization: EdmParameterization::Edm(precondition),
            sigmas: [edm.sigma_min, edm.sigma_max.unwrap_or(f64::INFINITY)],
        })
    }

    /// Takes the table of the file in the place of that of the arguments. The network was trained with the former, which was computed
    /// in single precision.
    ///
    /// # Errors
    /// A clause, if the two differ by more than rounding.
    pub fn with_table(mut self, table: Vec<f64>) -> Result<Self, String> {
        let EdmParameterization::Iddpm { levels } = &mut self.parameterization else {
            return Ok(self);
        };
        // The recursion loses 3 digits of the 7 of single precision at the lowest noise levels.
        let alike = |(a, b): (&f64, &f64)| (a - b).abs() <= 0.02 * b + 1e-3;
        if levels.len() != table.len() || !table.iter().zip(levels.iter()).all(alike) {
            return Err("the noise levels u are not those of wrapper.C_1, C_2 and M".to_owned());
        }
        self.sigmas = [table[table.len() - 2], table[0]];
        *levels = table;
        Ok(self)
    }
}

fn check<T: PartialOrd + Debug>(
    name: &str,
    value: T,
    allowed: RangeInclusive<T>,
) -> Result<(), String> {
    let checked = range::check(&format!("wrapper.{name}"), value, allowed);
    checked.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_levels_of_iddpm_are_those_of_the_paper() {
        let levels = iddpm_levels(0.001, 0.008, 1000);
        assert_eq!(levels.len(), 1001);
        assert!((levels[0] - 20_291.0).abs() < 1.0, "{}", levels[0]);
        assert!((levels[999] - 0.0064).abs() < 1e-4, "{}", levels[999]);
        let p = EdmParameterization::Iddpm { levels };
        assert_eq!(p.c_noise(1e9), 999.0);
        assert_eq!(p.c_noise(0.0064), 0.0);
    }
}
