//! The edge of the spectrum of the Hessian of a classifier's loss in its weights, by Lanczos iteration with
//! Hessian-vector products.
//!
//! ```sh
//! cargo run --example hvp
//! ```

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::tanh;
use burn::tensor::{Device, Distribution, Int, Tensor};
use burn_jvp::{DynTensor, Hvp, Jvp, JvpError, ParameterTangents, Tangents};
use nalgebra::DMatrix;

/// Classes of the data.
const CLASSES: usize = 3;
/// Points of each class.
const POINTS: usize = 100;
/// Hessian-vector products of the Lanczos iteration.
const PRODUCTS: usize = 40;

/// A classifier of points in the plane.
#[derive(Module, Debug)]
pub struct Classifier {
    first: Linear,
    second: Linear,
    last: Linear,
}

impl Classifier {
    fn new(device: &Device) -> Self {
        Self {
            first: LinearConfig::new(2, 32).init(device),
            second: LinearConfig::new(32, 32).init(device),
            last: LinearConfig::new(32, CLASSES).init(device),
        }
    }

    /// The mean cross-entropy of `points`, which are sorted by their class, `[1]`.
    fn loss(&self, points: Tensor<2>) -> Tensor<1> {
        let device = points.device();
        let class = Tensor::<1, Int>::arange(0..(CLASSES * POINTS) as i64, &device) / POINTS as i64;
        let h = tanh(self.second.forward(tanh(self.first.forward(points))));
        CrossEntropyLossConfig::new()
            .init(&device)
            .forward(self.last.forward(h), class)
    }
}

/// Points around the corners of a triangle, `[CLASSES·POINTS, 2]`.
fn points(device: &Device) -> Tensor<2> {
    let corners = Tensor::<2>::from_floats([[0.0, 1.0], [-0.9, -0.5], [0.9, -0.5]], device);
    let spread = Tensor::random(
        [CLASSES * POINTS, 2],
        Distribution::Normal(0.0, 0.5),
        device,
    );
    corners.repeat_dim(1, POINTS).reshape([CLASSES * POINTS, 2]) + spread
}

/// The classifier after some steps of Adam.
fn train(points: &Tensor<2>, device: &Device) -> Classifier {
    let mut classifier = Classifier::new(&device.clone().autodiff()).train();
    let mut optimizer = AdamConfig::new().init();
    for _ in 0..200 {
        let loss = classifier.loss(points.clone().autodiff());
        let gradients = GradientsParams::from_grads(loss.backward(), &classifier);
        classifier = optimizer.step(1e-2, classifier, gradients);
    }
    classifier.valid()
}

/// Eigenvalues of a Hessian, the largest first, with the unit eigenvector of the largest.
pub struct Spectrum {
    /// Ritz values.
    pub eigenvalues: Vec<f64>,
    /// Norms of `H·v − λ·v`, one for each.
    pub residuals: Vec<f64>,
    /// The eigenvector of the largest eigenvalue.
    pub first: ParameterTangents,
}

/// Lanczos iteration with full orthogonalisation: β_j·q_{j+1} = H·q_j − α_j·q_j − β_{j−1}·q_{j−1}.
fn lanczos(
    product: impl Fn(&ParameterTangents) -> Result<ParameterTangents, JvpError>,
    start: ParameterTangents,
) -> Result<Spectrum, JvpError> {
    let norm = |v: &ParameterTangents| v.dot(v)[0].sqrt();
    let mut basis: Vec<ParameterTangents> = Vec::new();
    let mut tridiagonal = DMatrix::zeros(PRODUCTS, PRODUCTS);
    let (mut next, mut beta) = (start.scale(&[1.0 / norm(&start)]), 0.0);
    for j in 0..PRODUCTS {
        let mut w = product(&next)?;
        tridiagonal[(j, j)] = next.dot(&w)[0];
        basis.push(next);
        // Twice, against rounding.
        for q in basis.iter().chain(&basis) {
            w = w.add(&q.scale(&[-q.dot(&w)[0]]));
        }
        beta = norm(&w);
        if j + 1 < PRODUCTS {
            tridiagonal[(j, j + 1)] = beta;
            tridiagonal[(j + 1, j)] = beta;
        }
        next = w.scale(&[1.0 / beta]);
    }
    let eigen = tridiagonal.symmetric_eigen();
    let mut order: Vec<usize> = (0..PRODUCTS).collect();
    order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
    let vector = eigen.eigenvectors.column(order[0]);
    let terms = basis.iter().zip(vector.iter()).map(|(q, s)| q.scale(&[*s]));
    Ok(Spectrum {
        eigenvalues: order.iter().map(|i| eigen.eigenvalues[*i]).collect(),
        residuals: order
            .iter()
            .map(|i| beta * eigen.eigenvectors[(PRODUCTS - 1, *i)].abs())
            .collect(),
        first: terms.fold(ParameterTangents::new(), |sum, term| sum.add(&term)),
    })
}

/// The spectrum of a trained classifier, and vᵀ·H·v of its first eigenvector v by a difference of derivatives.
pub fn spectrum() -> Result<(Spectrum, f64), JvpError> {
    let device = Device::flex();
    device.seed(1);
    let points = points(&device);
    let classifier = train(&points, &device);
    let inputs: [DynTensor; 1] = [points.into()];
    let loss = |m: &Classifier, inputs: &[DynTensor]| m.loss(inputs[0].get()).into();

    let hvp = Hvp::new(loss);
    let product = |v: &ParameterTangents| {
        let second = hvp.call(&classifier, &inputs, &Tangents::of_parameters(v.clone()))?;
        Ok(second.product.parameters)
    };
    let start = ParameterTangents::from_modules(&classifier, &[Classifier::new(&device)])?;
    let spectrum = lanczos(product, start)?;

    // vᵀ·H·v ≈ (∇f(θ + h·v) − ∇f(θ − h·v))·v/2h.
    let (jvp, h, v) = (Jvp::new(loss), 1e-2, &spectrum.first);
    let slope = |step: f64| -> Result<f64, JvpError> {
        let moved = v.displace(classifier.clone(), 0, step);
        let (_, slope) = jvp.along(&moved, &inputs, &Tangents::of_parameters(v.clone()))?;
        let slope = slope.expect("the loss depends on the weights").get::<2>();
        Ok(slope.into_scalar::<f64>())
    };
    let curvature = (slope(h)? - slope(-h)?) / (2.0 * h);
    Ok((spectrum, curvature))
}

fn main() -> Result<(), JvpError> {
    let (spectrum, curvature) = spectrum()?;
    println!("Hessian of a classifier of {CLASSES} classes in its weights, {PRODUCTS} products");
    println!("eigenvalue    residual");
    for (value, residual) in spectrum.eigenvalues.iter().zip(&spectrum.residuals).take(8) {
        println!("{value:10.5}    {residual:.1e}");
    }
    let smallest = spectrum.eigenvalues.last().expect("there are products");
    println!("smallest {smallest:.5}");
    println!("largest by a difference of derivatives: {curvature:.5}");
    Ok(())
}
