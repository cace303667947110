//! The edge of the spectrum of the Hessian of a classifier's loss in its weights, by Lanczos iteration with
//! Hessian-vector products.
//!
//! ```sh
//! cargo run --example hvp
//! ```

#![expect(clippy::disallowed_methods, reason = "no other thread draws meanwhile")]

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
const PRODUCTS: usize = 20;

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

/// Eigenvalues of a symmetric matrix by Lanczos iteration, the largest first, and the unit eigenvector of the largest.
///
/// The basis is orthonormal and makes the matrix tridiagonal: β_j·q_{j+1} = H·q_j − α_j·q_j − β_{j−1}·q_{j−1}. Here w is
/// made orthogonal to all earlier q, against rounding.
fn lanczos(
    product: impl Fn(&ParameterTangents) -> Result<ParameterTangents, JvpError>,
    start: &ParameterTangents,
) -> Result<(Vec<f64>, ParameterTangents), JvpError> {
    let mut basis: Vec<ParameterTangents> = Vec::new();
    let mut tridiagonal = DMatrix::zeros(PRODUCTS, PRODUCTS);
    let mut q = start.scale(&[1.0 / norm(start)]);
    for j in 0..PRODUCTS {
        let mut w = product(&q)?;
        tridiagonal[(j, j)] = q.dot(&w)[0];
        basis.push(q);
        for _ in 0..2 {
            w = basis
                .iter()
                .fold(w, |w, q| w.add(&q.scale(&[-q.dot(&w)[0]])));
        }
        let beta = norm(&w);
        if j + 1 < PRODUCTS {
            tridiagonal[(j, j + 1)] = beta;
            tridiagonal[(j + 1, j)] = beta;
        }
        q = w.scale(&[1.0 / beta]);
    }
    let eigen = tridiagonal.symmetric_eigen();
    let vector = eigen.eigenvectors.column(eigen.eigenvalues.imax());
    let terms = basis.iter().zip(vector.iter());
    let vector = terms.fold(ParameterTangents::new(), |sum, (q, weight)| {
        sum.add(&q.scale(&[*weight]))
    });
    let mut values: Vec<f64> = eigen.eigenvalues.iter().copied().collect();
    values.sort_by(|a, b| b.total_cmp(a));
    Ok((values, vector))
}

/// The norm of a direction.
fn norm(v: &ParameterTangents) -> f64 {
    v.dot(v)[0].sqrt()
}

/// The edge of a spectrum, with two checks of the largest eigenvalue λ.
pub struct SpectrumEdge {
    /// Eigenvalues, the largest first. Those in the middle have not converged.
    pub eigenvalues: Vec<f64>,
    /// ‖H·v − λ·v‖ of the unit eigenvector v.
    pub residual: f64,
    /// λ = vᵀ·H·v by a difference of derivatives.
    pub difference: f64,
}

/// The edge of the spectrum of a trained classifier.
pub fn spectrum_edge() -> Result<SpectrumEdge, JvpError> {
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
    let (eigenvalues, v) = lanczos(product, &start)?;
    let residual = norm(&product(&v)?.add(&v.scale(&[-eigenvalues[0]])));

    // vᵀ·H·v ≈ (f'(θ + h·v)·v − f'(θ − h·v)·v)/2h.
    let (jvp, h) = (Jvp::new(loss), 1e-2);
    let slope = |step: f64| -> Result<f64, JvpError> {
        let moved = v.displace(classifier.clone(), 0, step);
        let (_, slope) = jvp.along(&moved, &inputs, &Tangents::of_parameters(v.clone()))?;
        let slope = slope.expect("the loss depends on the weights").get::<2>();
        Ok(slope.into_scalar::<f64>())
    };
    Ok(SpectrumEdge {
        eigenvalues,
        residual,
        difference: (slope(h)? - slope(-h)?) / (2.0 * h),
    })
}

fn main() -> Result<(), JvpError> {
    let edge = spectrum_edge()?;
    println!(
        "Hessian of the loss of a classifier of {CLASSES} classes in its weights, {PRODUCTS} products"
    );
    for (place, value) in edge.eigenvalues.iter().enumerate().take(5) {
        println!("eigenvalue {}: {value:9.5}", place + 1);
    }
    println!("smallest:     {:9.5}", edge.eigenvalues[PRODUCTS - 1]);
    println!(
        "the largest by a difference of derivatives: {:.5}, residual ‖H·v − λ·v‖ = {:.0e}",
        edge.difference, edge.residual
    );
    Ok(())
}
