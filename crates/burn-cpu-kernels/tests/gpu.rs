//! Kernels of a GPU agree with those of the CPU: group normalisation, its tangents and its gradients, in every order of the
//! axes in memory.
//!
//! The test needs a cargo feature: `cargo test -p burn-cpu-kernels --features wgpu --test gpu`, or `cuda`. Without one, it
//! prints that it was skipped. `NO_CUDA=1` leaves cuda out of a build that has both.

use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_cpu_kernels::{GroupNormOptions, KernelBackend, NormDirections};

/// n, groups, channels of a group, h, w: fewer and more values than units, channels that do not divide the units, a group of
/// more channels than units, which Burn's own operations compute.
const SIZES: [[usize; 5]; 9] = [
    [1, 1, 1, 1, 1],
    [1, 1, 3, 1, 1],
    [2, 3, 4, 5, 7],
    [3, 8, 4, 16, 16],
    [2, 1, 5, 3, 3],
    [5, 16, 4, 8, 8],
    [1, 2, 6, 1, 33],
    [2, 1, 200, 2, 3],
    [1, 2, 300, 2, 2],
];
/// Axes of images in memory, and those of an image in terms of them.
const ORDERS: [([usize; 4], [usize; 4]); 3] = [
    ([0, 1, 2, 3], [0, 1, 2, 3]),
    ([0, 2, 3, 1], [0, 3, 1, 2]),
    ([0, 3, 1, 2], [0, 2, 3, 1]),
];
const DIRECTIONS: usize = 2;

fn gpus() -> Vec<(&'static str, Device)> {
    #[cfg_attr(
        not(any(feature = "wgpu", feature = "cuda")),
        expect(unused_mut, reason = "no GPU is compiled in")
    )]
    let mut gpus = Vec::new();
    #[cfg(feature = "wgpu")]
    gpus.push((
        "wgpu",
        Device::wgpu(burn::tensor::DeviceKind::DefaultDevice),
    ));
    #[cfg(feature = "cuda")]
    if std::env::var_os("NO_CUDA").is_none() {
        gpus.push(("cuda", Device::cuda(burn::tensor::DeviceIndex::Default)));
    }
    gpus
}

/// Numbers that look random, the same on every device.
fn numbers<const D: usize>(shape: [usize; D], seed: u32, device: &Device) -> Tensor<D> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        f64::from(state) / f64::from(u32::MAX) * 4.0 - 2.0
    };
    let values: Vec<f64> = std::iter::repeat_with(next)
        .take(shape.iter().product())
        .collect();
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

/// Images with their axes in an order in memory.
fn images(shape: [usize; 4], seed: u32, order: usize, device: &Device) -> Tensor<4> {
    let (stored, logical) = ORDERS[order];
    let images = numbers(stored.map(|axis| shape[axis]), seed, device);
    images.permute(logical.map(|axis| axis as isize))
}

/// Tangents of images with their axes in an order in memory, after the axis of the directions.
fn tangents(shape: [usize; 4], seed: u32, order: usize, device: &Device) -> Tensor<5> {
    let (stored, logical) = ORDERS[order];
    let [n, a, b, c] = stored.map(|axis| shape[axis]);
    let tangents = numbers([DIRECTIONS, n, a, b, c], seed, device);
    let [n, a, b, c] = logical.map(|axis| axis as isize + 1);
    tangents.permute([0, n, a, b, c])
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[track_caller]
fn close(what: &str, ours: &[Vec<f32>], theirs: &[Vec<f32>]) {
    assert_eq!(ours.len(), theirs.len());
    for (i, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert_eq!(ours.len(), theirs.len(), "{what}, result {i}");
        let size = theirs.iter().fold(1e-30_f32, |m, v| m.max(v.abs()));
        let differences = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
        // f32::max would pass over what is not a number.
        let error = differences.fold(0.0_f32, |m, v| if v <= m { m } else { v });
        assert!(error < 2e-5 * size, "{what}, result {i}: {error} of {size}");
    }
}

/// Value, tangents along data, weights and both, and gradients, for one order of the axes of each input.
fn results(
    [n, groups, group, h, w]: [usize; 5],
    silu: bool,
    [of_x, of_t]: [usize; 2],
    device: &Device,
) -> Vec<Vec<f32>> {
    let (channels, options) = (
        groups * group,
        GroupNormOptions {
            groups,
            epsilon: 1e-5,
            silu,
        },
    );
    let shape = [n, channels, h, w];
    let x = images(shape, 1, of_x, device) + 3.0;
    let (gamma, beta) = (
        numbers([channels], 2, device),
        numbers([channels], 3, device),
    );
    let inputs = || {
        (
            x.clone().into_dispatch(),
            gamma.clone().into_dispatch(),
            beta.clone().into_dispatch(),
        )
    };
    let data = || tangents(shape, 4, of_t, device).into_dispatch();
    let weights =
        || [5, 6].map(|seed| numbers([DIRECTIONS, channels], seed, device).into_dispatch());
    let tangent = |directions| {
        let (x, gamma, beta) = inputs();
        let tangent = Dispatch::group_norm_tangent(x, gamma, beta, directions, options);
        values(Tensor::<5>::from_dispatch(tangent))
    };
    let (a, b, c) = inputs();
    let value = Dispatch::group_norm(a, b, c, options);
    let mut results = vec![values(Tensor::<4>::from_dispatch(value))];
    results.push(tangent(NormDirections::Data(data())));
    let [gamma_moved, beta_moved] = weights();
    results.push(tangent(NormDirections::Weights {
        gamma: gamma_moved,
        beta: beta_moved,
    }));
    let [gamma_moved, beta_moved] = weights();
    results.push(tangent(NormDirections::All {
        x: data(),
        gamma: gamma_moved,
        beta: beta_moved,
    }));
    let (a, b, c) = inputs();
    let grad = images(shape, 7, of_t, device).into_dispatch();
    let (on_x, on_gamma, on_beta) = Dispatch::group_norm_gradient(a, b, c, grad, options);
    results.push(values(Tensor::<4>::from_dispatch(on_x)));
    results.push(values(Tensor::<1>::from_dispatch(on_gamma)));
    results.push(values(Tensor::<1>::from_dispatch(on_beta)));
    results
}

#[test]
fn group_normalisation_agrees_with_the_cpu_in_every_order_of_the_axes() {
    let gpus = gpus();
    if gpus.is_empty() {
        eprintln!("skipped: no GPU is compiled in (cargo features wgpu, cuda)");
    }
    for (name, gpu) in gpus {
        let orders = (0..9).map(|i| [i / 3, i % 3]);
        for ((size, silu), orders) in SIZES
            .into_iter()
            .flat_map(|size| [(size, false), (size, true)])
            .flat_map(|case| orders.clone().map(move |orders| (case, orders)))
        {
            let what = format!("{name}, {size:?}, silu {silu}, orders {orders:?}");
            let theirs = results(size, silu, orders, &Device::flex());
            close(&what, &results(size, silu, orders, &gpu), &theirs);
        }
    }
}
