//! Drawn faces, the data of the example.

use burn::tensor::{Device, Distribution, Int, Tensor};

/// Width and height of a picture.
pub const SIDE: usize = 16;

/// `n` faces of random place, size, hair, eyes and mouth, `[n, SIDE·SIDE]` in [−1, 1].
pub fn draw(n: usize, device: &Device) -> Tensor<2> {
    let uniform =
        |low, high| Tensor::<3>::random([n, 1, 1], Distribution::Uniform(low, high), device);
    // Pixels from the centre of the face, x to the right and y down.
    let pixels =
        Tensor::<1, Int>::arange(0..SIDE as i64, device).float() - (SIDE as f64 - 1.0) / 2.0;
    let x = pixels.clone().reshape([1, 1, SIDE]) - uniform(-1.0, 1.0);
    let y = pixels.reshape([1, SIDE, 1]) - uniform(-1.0, 1.0);
    // The part of a pixel that lies inside of an edge, from the distance to it.
    let inside = |distance: Tensor<3>| (-distance + 0.5).clamp(0.0, 1.0);
    let norm = |a: Tensor<3>, b: Tensor<3>| (a.powi_scalar(2) + b.powi_scalar(2)).sqrt();

    let radius = uniform(5.0, 6.5);
    let head = inside(norm(x.clone(), y.clone() * 0.9) - radius.clone());
    let hair = inside(y.clone() + radius * uniform(0.45, 0.85));
    let side = x.clone().abs();
    let eyes = inside(norm(side.clone() - uniform(1.9, 2.6), y.clone() + 1.0) - uniform(0.6, 1.1));
    // A parabola from a frown to a smile.
    let curve = (side.clone() / 3.0).powi_scalar(2) * uniform(-1.5, 1.5);
    let mouth = inside((y - 2.8 + curve).abs() - 0.4) * inside(side - uniform(1.5, 3.0));

    let skin = uniform(0.6, 1.0);
    let face =
        skin * (-eyes + 1.0) * (-mouth + 1.0) * (-hair.clone() + 1.0) + hair * uniform(0.0, 0.5);
    let picture = head.clone() * face + (-head + 1.0) * uniform(0.1, 0.4);
    (picture * 2.0 - 1.0).reshape([n, SIDE * SIDE])
}
