//! The Jacobian of a network at a point, its singular values and its effective rank, beside central differences.
//!
//! ```sh
//! cargo run --example jacobian
//! ```

#![expect(clippy::disallowed_methods, reason = "no other thread draws meanwhile")]

use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::tanh;
use burn::tensor::{Device, Distribution, Tensor};
use burn_jvp::{DynTensor, Jvp, JvpError};
use nalgebra::DMatrix;

/// Inputs, hidden units, units of the bottleneck, hidden units and outputs of the network.
const WIDTHS: [usize; 5] = [6, 32, 2, 32, 12];

/// The network: linear layers with tanh between them.
fn forward(layers: &[Linear], x: Tensor<2>) -> Tensor<2> {
    let (last, hidden) = layers.split_last().expect("there are four layers");
    let h = hidden.iter().fold(x, |h, layer| tanh(layer.forward(h)));
    last.forward(h)
}

/// The Jacobian at a random point, by forward mode and by central differences, each outputs × inputs.
pub fn jacobians() -> Result<[DMatrix<f64>; 2], JvpError> {
    let device = Device::flex();
    device.seed(1);
    let layer = |w: &[usize]| LinearConfig::new(w[0], w[1]).init(&device);
    let network: Vec<Linear> = WIDTHS.windows(2).map(layer).collect();
    let x = Tensor::<2>::random([1, WIDTHS[0]], Distribution::Normal(0.0, 1.0), &device);

    let jvp = Jvp::new(|layers: &Vec<Linear>, inputs: &[DynTensor]| {
        forward(layers, inputs[0].get()).into()
    });
    // [1, outputs, 1, inputs], all columns at once.
    let jacobian = jvp.jacobian(&network, &[x.clone().into()], 0, WIDTHS[0])?;

    // ∂f/∂x_j ≈ (f(x + h·e_j) − f(x − h·e_j))/2h, a row of the batch for each input j.
    let h = 1e-2;
    let steps = Tensor::<2>::eye(WIDTHS[0], &device) * h;
    let difference = forward(&network, x.clone() + steps.clone()) - forward(&network, x - steps);
    let rows = [
        jacobian.get::<4>().reshape([WIDTHS[4], WIDTHS[0]]),
        (difference / (2.0 * h)).transpose(),
    ];
    Ok(rows
        .map(|rows| DMatrix::from_row_iterator(WIDTHS[4], WIDTHS[0], rows.to_data().iter::<f64>())))
}

/// The effective rank of Roy and Vetterli (2007): exp(−Σ p·ln p) of the singular values with the sum one.
pub fn effective_rank(singular_values: &[f64]) -> f64 {
    let sum: f64 = singular_values.iter().sum();
    let shares = singular_values.iter().map(|s| s / sum).filter(|p| *p > 0.0);
    (-shares.map(|p| p * p.ln()).sum::<f64>()).exp()
}

fn main() -> Result<(), JvpError> {
    let [jacobian, difference] = jacobians()?;
    println!("Jacobian of a network of widths {WIDTHS:?}, outputs × inputs:{jacobian:.4}");
    println!(
        "largest difference from central differences: {:.1e}",
        (&jacobian - difference).amax()
    );
    let values = jacobian.singular_values();
    let list: Vec<String> = values.iter().map(|s| format!("{s:.1e}")).collect();
    println!("singular values: {}", list.join(", "));
    println!(
        "effective rank {:.2}: the network's bottleneck has {} units",
        effective_rank(values.as_slice()),
        WIDTHS[2]
    );
    Ok(())
}
