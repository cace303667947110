//! The empirical neural tangent kernel `J_θ·J_θᵀ` (Jacot et al. 2018) of a network on a few points, with its eigenvalues.
//!
//! ```sh
//! cargo run --example neural_tangent_kernel
//! ```

#![expect(clippy::disallowed_methods, reason = "no other thread draws meanwhile")]

use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use burn_jvp::{DynTensor, Jvp, JvpError, Variables};
use nalgebra::DMatrix;
use std::f64::consts::TAU;

/// Points on the unit circle.
const POINTS: usize = 8;

/// The network: two hidden layers, one output.
fn forward(layers: &[Linear; 3], x: Tensor<2>) -> Tensor<2> {
    let h = relu(layers[1].forward(relu(layers[0].forward(x))));
    layers[2].forward(h)
}

/// The kernel of the points, `POINTS × POINTS`.
pub fn kernel() -> Result<DMatrix<f64>, JvpError> {
    let device = Device::flex();
    device.seed(1);
    let network =
        [(2, 128), (128, 128), (128, 1)].map(|(n, m)| LinearConfig::new(n, m).init(&device));
    let circle: Vec<f64> = (0..POINTS)
        .map(|i| TAU * i as f64 / POINTS as f64)
        .flat_map(|angle| [angle.cos(), angle.sin()])
        .collect();
    let x = Tensor::<1>::from_data(circle.as_slice(), &device).reshape([POINTS, 2]);
    let inputs: [DynTensor; 1] = [x.into()];
    let jvp = Jvp::new(|layers: &[Linear; 3], inputs: &[DynTensor]| {
        forward(layers, inputs[0].get()).into()
    });

    // Rows of J: the gradients of each output in the weights.
    let weights = Variables::parameters_of(&network);
    let outputs = Tensor::<2>::eye(POINTS, &device).unsqueeze_dim::<3>(2);
    let gradients = jvp.vjp(&network, &inputs, &weights, &outputs.into())?;
    // Row k of the kernel is J·(row k of J): all rows in one pass.
    let (_, kernel) = jvp.along(&network, &inputs, &gradients)?;
    let kernel = kernel
        .expect("the outputs depend on the weights")
        .get::<3>();
    Ok(DMatrix::from_row_iterator(
        POINTS,
        POINTS,
        kernel.to_data().iter::<f64>(),
    ))
}

fn main() -> Result<(), JvpError> {
    let kernel = kernel()?;
    println!("Neural tangent kernel of {POINTS} points on the circle:{kernel:.3}");
    println!(
        "largest |K − Kᵀ|: {:.1e}",
        (&kernel - kernel.transpose()).amax()
    );
    let mut eigenvalues: Vec<f64> = kernel.symmetric_eigenvalues().iter().copied().collect();
    eigenvalues.sort_by(|a, b| b.total_cmp(a));
    println!("eigenvalues: {eigenvalues:.3?}");
    println!(
        "gradient flow of the square loss learns the slowest mode {:.0} times slower than the fastest",
        eigenvalues[0] / eigenvalues[POINTS - 1]
    );
    Ok(())
}
