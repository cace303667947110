//! PyTorch's layers and losses, `torch.nn.functional`, in terms of Burn.

use crate::arguments::{
    Arguments, WIDE, broadcast, lacks, wide_axis, wide_shape, widen, widen_bool,
};
use crate::at_rank;
use crate::fixture::Call;
use burn::module::Param;
use burn::nn;
use burn::nn::loss::Reduction;
use burn::tensor::activation as act;
use burn::tensor::module as layer;
use burn::tensor::ops::{
    AttentionModuleOptions, AvgPoolOptions, ConvOptions, ConvTransposeOptions, GridSampleOptions,
    GridSamplePaddingMode, InterpolateMode, InterpolateOptions, MaxPoolOptions, UnfoldOptions,
};
use burn::tensor::{DType, Float, Int, Tensor};
use burn_jvp::DynTensor;
use burn_linalg as linalg;

/// Attention, with a mask of booleans or a bias of floats.
pub fn attention(a: &Arguments) -> DynTensor {
    let [q, k, v] =
        [(0, "query"), (1, "key"), (2, "value")].map(|(i, name)| a.ranked::<4>(i, name));
    if a.number_or(4, "dropout_p", 0.0) != 0.0 {
        return lacks("dropout that can be repeated");
    }
    if a.call.flag(7, "enable_gqa", false) {
        return lacks("attention with grouped queries");
    }
    let options = AttentionModuleOptions {
        scale: a.call.number(6, "scale"),
        softcap: None,
        is_causal: a.call.flag(5, "is_causal", false),
    };
    let [n, h, queries, _] = q.dims();
    if k.dims()[..2] != [n, h] || v.dims()[..2] != [n, h] {
        return lacks("attention that broadcasts its batch");
    }
    // Burn ends the mask at the last key, PyTorch begins it at the first.
    if options.is_causal && queries != k.dims()[2] {
        return lacks("a causal mask that begins at the first key");
    }
    let full = [n, h, queries, k.dims()[2]];
    let (mut mask, mut bias) = (None, None);
    match a.tensor(3, "attn_mask") {
        Some(t) if t.dtype().is_float() => bias = Some(widen::<4>(&t).expand(full)),
        // PyTorch's mask selects the keys that count.
        Some(t) => mask = Some(widen_bool::<4>(&t).bool_not().expand(full)),
        None => {}
    }
    layer::attention(q, k, v, mask, bias, options).into()
}

/// Sizes of a convolution: stride, padding as pairs, dilation, groups.
fn conv_options<const N: usize>(call: &Call, kernel: [usize; N], first: usize) -> ConvOptions<N> {
    let stride = call.sizes(first, "stride").unwrap_or([1; N]);
    let dilation = call.sizes(first + 2, "dilation").unwrap_or([1; N]);
    let groups = call.number(first + 3, "groups").unwrap_or(1.0) as usize;
    let padding = match call.text(first + 1, "padding") {
        // As PyTorch does it, the surplus is at the end.
        Some("same") => std::array::from_fn(|i| {
            let total = dilation[i] * (kernel[i] - 1);
            (total / 2, total - total / 2)
        }),
        Some(_) => [(0, 0); N],
        None => call
            .sizes(first + 1, "padding")
            .unwrap_or([0; N])
            .map(|p| (p, p)),
    };
    ConvOptions::new_with_padding(stride, padding, dilation, groups)
}

fn conv_transpose_options<const N: usize>(call: &Call) -> ConvTransposeOptions<N> {
    ConvTransposeOptions::new(
        call.sizes(3, "stride").unwrap_or([1; N]),
        call.sizes(4, "padding").unwrap_or([0; N]),
        call.sizes(5, "output_padding").unwrap_or([0; N]),
        call.sizes(7, "dilation").unwrap_or([1; N]),
        call.number(6, "groups").unwrap_or(1.0) as usize,
    )
}

/// Convolutions and transposed convolutions. A sample without a batch gets a batch of one.
pub fn convolution(a: &Arguments) -> Option<DynTensor> {
    let bias = || a.tensor(2, "bias").map(|b| b.get::<1>());
    let kernel = || a.required(1, "weight").shape();
    Some(match a.case.name.strip_prefix("nn.functional.")? {
        "conv1d" => {
            let options = conv_options(a.call, [kernel()[2]], 3);
            layer::conv1d(a.ranked(0, "input"), a.ranked(1, "weight"), bias(), options).into()
        }
        "conv2d" => {
            let options = conv_options(a.call, [kernel()[2], kernel()[3]], 3);
            layer::conv2d(a.ranked(0, "input"), a.ranked(1, "weight"), bias(), options).into()
        }
        "conv3d" => {
            let options = conv_options(a.call, [kernel()[2], kernel()[3], kernel()[4]], 3);
            if options.is_asymmetric() {
                return lacks("padding of three axes that differs at the two ends");
            }
            layer::conv3d(a.ranked(0, "input"), a.ranked(1, "weight"), bias(), options).into()
        }
        "conv_transpose1d" => {
            let options = conv_transpose_options(a.call);
            layer::conv_transpose1d(a.ranked(0, "input"), a.ranked(1, "weight"), bias(), options)
                .into()
        }
        "conv_transpose2d" => {
            let options = conv_transpose_options(a.call);
            layer::conv_transpose2d(a.ranked(0, "input"), a.ranked(1, "weight"), bias(), options)
                .into()
        }
        "conv_transpose3d" => {
            let options = conv_transpose_options(a.call);
            layer::conv_transpose3d(a.ranked(0, "input"), a.ranked(1, "weight"), bias(), options)
                .into()
        }
        "unfold" => {
            let option =
                |position, name, default| a.call.sizes(position, name).unwrap_or([default; 2]);
            let options = UnfoldOptions::new(
                option(4, "stride", 1),
                option(3, "padding", 0),
                option(2, "dilation", 1),
            );
            layer::unfold4d(a.ranked(0, "input"), option(1, "kernel_size", 1), options).into()
        }
        "pixel_shuffle" => {
            let factor = a.number_or(1, "upscale_factor", 1.0) as usize;
            nn::PixelShuffleConfig::new(factor)
                .init()
                .forward(a.ranked(0, "input"))
                .into()
        }
        "pixel_unshuffle" => {
            let factor = a.number_or(1, "downscale_factor", 1.0) as usize;
            nn::PixelUnshuffleConfig::new(factor)
                .init()
                .forward(a.ranked(0, "input"))
                .into()
        }
        "grid_sample" => {
            let mode = match a.call.text(2, "mode") {
                None | Some("bilinear") => InterpolateMode::Bilinear,
                Some("nearest") => InterpolateMode::Nearest,
                Some(_) => InterpolateMode::Bicubic,
            };
            let padding = match a.call.text(3, "padding_mode") {
                None | Some("zeros") => GridSamplePaddingMode::Zeros,
                Some("border") => GridSamplePaddingMode::Border,
                Some(_) => GridSamplePaddingMode::Reflection,
            };
            let options = GridSampleOptions::new(mode)
                .with_padding_mode(padding)
                .with_align_corners(a.call.flag(4, "align_corners", false));
            a.ranked::<4>(0, "input")
                .grid_sample_2d(a.ranked(1, "grid"), options)
                .into()
        }
        _ => return None,
    })
}

fn max_pool_options<const N: usize>(call: &Call, first: usize) -> MaxPoolOptions<N> {
    let kernel = call.sizes(first, "kernel_size").unwrap_or([1; N]);
    MaxPoolOptions::new(kernel)
        .with_stride(stride(call, first + 1, kernel))
        .with_padding(call.sizes(first + 2, "padding").unwrap_or([0; N]))
        .with_dilation(call.sizes(first + 3, "dilation").unwrap_or([1; N]))
        .with_ceil_mode(call.flag(first + 4, "ceil_mode", false))
}

fn avg_pool_options<const N: usize>(call: &Call, first: usize) -> AvgPoolOptions<N> {
    if call.number(first + 5, "divisor_override").is_some() {
        lacks::<()>("a divisor of average pooling");
    }
    let kernel = call.sizes(first, "kernel_size").unwrap_or([1; N]);
    AvgPoolOptions::new(kernel)
        .with_stride(stride(call, first + 1, kernel))
        .with_padding(call.sizes(first + 2, "padding").unwrap_or([0; N]))
        .with_ceil_mode(call.flag(first + 3, "ceil_mode", false))
        .with_count_include_pad(call.flag(first + 4, "count_include_pad", true))
}

/// The stride, by default the size of the kernel.
fn stride<const N: usize>(call: &Call, position: usize, kernel: [usize; N]) -> [usize; N] {
    let given = call
        .integers(position, "stride")
        .filter(|list| !list.is_empty());
    match given {
        Some(_) => call.sizes(position, "stride").unwrap_or(kernel),
        None => kernel,
    }
}

/// Pooling and interpolation. A sample without a batch gets a batch of one.
pub fn pooling(a: &Arguments) -> Option<DynTensor> {
    let name = a.case.name.strip_prefix("nn.functional.")?;
    if name == "interpolate" {
        return Some(interpolate(a));
    }
    pool(name, a, 1)
}

/// A pooling layer whose options begin at the position `first`.
fn pool(name: &str, a: &Arguments, first: usize) -> Option<DynTensor> {
    let whole = |size: Option<&serde_json::Value>| {
        let with_none =
            size.is_some_and(|s| s.as_array().is_some_and(|s| s.iter().any(|n| n.is_null())));
        if with_none {
            lacks("an output size that is the input's")
        }
    };
    whole(a.call.get(first, "output_size"));
    Some(match name {
        "max_pool1d" => {
            layer::max_pool1d(a.ranked(0, "input"), max_pool_options(a.call, first)).into()
        }
        "max_pool2d" => {
            layer::max_pool2d(a.ranked(0, "input"), max_pool_options(a.call, first)).into()
        }
        "avg_pool1d" => {
            layer::avg_pool1d(a.ranked(0, "input"), avg_pool_options(a.call, first)).into()
        }
        "avg_pool2d" => {
            layer::avg_pool2d(a.ranked(0, "input"), avg_pool_options(a.call, first)).into()
        }
        "adaptive_avg_pool1d" => {
            let [size] = a.call.sizes(first, "output_size")?;
            layer::adaptive_avg_pool1d(a.ranked(0, "input"), size).into()
        }
        "adaptive_avg_pool2d" => {
            let size = a.call.sizes(first, "output_size")?;
            layer::adaptive_avg_pool2d(a.ranked(0, "input"), size).into()
        }
        "adaptive_avg_pool3d" => {
            let size = a.call.sizes(first, "output_size")?;
            layer::adaptive_avg_pool3d(a.ranked(0, "input"), size).into()
        }
        _ => return None,
    })
}

fn interpolate(a: &Arguments) -> DynTensor {
    let mode = match (a.case.variant.as_str(), a.rank()) {
        ("nearest", 3 | 4) => InterpolateMode::Nearest,
        // Its CPU backend refuses the mode.
        ("nearest-exact", _) => return lacks("exact nearest interpolation on this backend"),
        ("bilinear" | "linear", _) => InterpolateMode::Bilinear,
        ("bicubic", _) => InterpolateMode::Bicubic,
        _ => return lacks("interpolation of three axes or by areas"),
    };
    if a.call.flag(6, "antialias", false) || a.call.flag(5, "recompute_scale_factor", false) {
        return lacks("interpolation against aliasing");
    }
    // An interpolation of one axis is one of two with a first axis of one entry.
    let x = a.required(0, "input");
    let x: Tensor<4> = match x.shape().as_slice() {
        [n, c, width] => x.get::<3>().reshape([*n, *c, 1, *width]),
        _ => x.get(),
    };
    let [_, _, height, width] = x.dims();
    let size = match (a.call.integers(1, "size"), a.call.get(2, "scale_factor")) {
        (Some(size), _) => size,
        (None, Some(factor)) => {
            if factor.is_array() {
                return lacks("this list of factors in the test");
            }
            let factor = factor.as_f64().unwrap_or(1.0);
            // The scale that PyTorch uses is the factor itself, Burn's is the ratio of the sizes.
            let scaled = [height, width].map(|n| n as f64 * factor);
            if scaled.iter().any(|n| n.fract() != 0.0 && *n > 1.0) {
                return lacks("a factor of interpolation that is not the ratio of the sizes");
            }
            scaled.map(|n| (n as i64).max(1)).to_vec()
        }
        (None, None) => return lacks("interpolation without a size"),
    };
    let size = match (a.rank(), size.as_slice()) {
        (3, [.., width]) => [1, *width as usize],
        (_, [height, width]) => [*height as usize, *width as usize],
        (_, [n]) => [*n as usize; 2],
        _ => return lacks("this size of interpolation"),
    };
    let options = InterpolateOptions::new(mode)
        .with_output_size(size)
        .with_align_corners(a.call.flag(4, "align_corners", false));
    layer::interpolate(x, options).into()
}

/// Normalisations and distances.
pub fn normalisation(a: &Arguments) -> Option<DynTensor> {
    let x = || a.required(0, "input");
    let vector = |position, name| a.tensor(position, name).map(|t| t.get::<1>());
    let filled = |n: usize, value: f64| {
        let device = at_rank!(x(), Float, x => x.device());
        Tensor::<1>::full([n], value, (&device, x().dtype()))
    };
    let channels = || x().shape().get(1).copied().unwrap_or(1);
    Some(match a.case.name.strip_prefix("nn.functional.")? {
        "batch_norm" => {
            if a.call.flag(5, "training", false) || vector(1, "running_mean").is_none() {
                return lacks("a batch norm in training that can be recorded");
            }
            let gamma = vector(3, "weight").unwrap_or_else(|| filled(channels(), 1.0));
            let beta = vector(4, "bias").unwrap_or_else(|| filled(channels(), 0.0));
            let (mean, variance) = (vector(1, "running_mean")?, vector(2, "running_var")?);
            let epsilon = a.number_or(7, "eps", 1e-5);
            match x().shape().len() {
                2 => layer::batch_norm(x().get::<2>(), gamma, beta, mean, variance, epsilon).into(),
                3 => layer::batch_norm(x().get::<3>(), gamma, beta, mean, variance, epsilon).into(),
                4 => layer::batch_norm(x().get::<4>(), gamma, beta, mean, variance, epsilon).into(),
                _ => layer::batch_norm(x().get::<5>(), gamma, beta, mean, variance, epsilon).into(),
            }
        }
        "layer_norm" => {
            if a.call.integers(1, "normalized_shape")?.len() != 1 {
                return lacks("a layer norm over several axes");
            }
            let n = *x().shape().last()?;
            let gamma = vector(2, "weight").unwrap_or_else(|| filled(n, 1.0));
            let (beta, epsilon) = (vector(3, "bias"), a.number_or(4, "eps", 1e-5));
            at_rank!(x(), Float, x => layer::layer_norm(x, gamma, beta, epsilon).into())
        }
        "rms_norm" => {
            if a.call.integers(1, "normalized_shape")?.len() != 1 {
                return lacks("an RMS norm over several axes");
            }
            let n = *x().shape().last()?;
            let epsilon = match x().dtype() {
                DType::F64 => f64::EPSILON,
                _ => f64::from(f32::EPSILON),
            };
            let norm = nn::RmsNorm {
                gamma: Param::from_tensor(vector(2, "weight").unwrap_or_else(|| filled(n, 1.0))),
                epsilon: a.number_or(3, "eps", epsilon),
            };
            at_rank!(x(), Float, x => norm.forward(x).into())
        }
        "group_norm" if x().shape().len() < 3 => lacks("a group norm of rank 2"),
        "group_norm" => {
            let norm = nn::GroupNorm {
                gamma: vector(2, "weight")
                    .or(Some(filled(channels(), 1.0)))
                    .map(Param::from_tensor),
                beta: vector(3, "bias")
                    .or(Some(filled(channels(), 0.0)))
                    .map(Param::from_tensor),
                num_groups: a.number_or(1, "num_groups", 1.0) as usize,
                num_channels: channels(),
                epsilon: a.number_or(4, "eps", 1e-5),
                affine: true,
            };
            at_rank!(x(), Float, x => norm.forward(x).into())
        }
        "instance_norm" => {
            if !a.call.flag(5, "use_input_stats", true) {
                return lacks("an instance norm with running statistics");
            }
            let norm = nn::InstanceNorm {
                gamma: vector(3, "weight")
                    .or(Some(filled(channels(), 1.0)))
                    .map(Param::from_tensor),
                beta: vector(4, "bias")
                    .or(Some(filled(channels(), 0.0)))
                    .map(Param::from_tensor),
                num_channels: channels(),
                epsilon: a.number_or(7, "eps", 1e-5),
                affine: true,
            };
            at_rank!(x(), Float, x => norm.forward(x).into())
        }
        "local_response_norm" => {
            let norm = nn::LocalResponseNormConfig::new(a.number_or(1, "size", 1.0) as usize)
                .with_alpha(a.number_or(2, "alpha", 1e-4))
                .with_beta(a.number_or(3, "beta", 0.75))
                .with_k(a.number_or(4, "k", 1.0))
                .init();
            at_rank!(x(), Float, x => norm.forward(x).into())
        }
        "prelu" => {
            let slope = a.required(1, "weight").get::<1>();
            at_rank!(x(), Float, x => act::prelu(x, slope).into())
        }
        "cosine_similarity" => {
            let (x, y) = (a.ranked::<WIDE>(0, "x1"), a.ranked::<WIDE>(1, "x2"));
            let shape = broadcast(&[x.dims(), y.dims()]);
            let rank = a
                .required(0, "x1")
                .shape()
                .len()
                .max(a.required(1, "x2").shape().len());
            let dim = a.call.integers(2, "dim").map_or(1, |list| list[0]);
            let epsilon = Some(a.number_or(3, "eps", 1e-8));
            let (x, y) = (x.expand(shape), y.expand(shape));
            linalg::cosine_similarity(x, y, wide_axis(dim, rank), epsilon).into()
        }
        "pairwise_distance" => {
            if a.rank() != 2 {
                return lacks("a distance of vectors that are no rows");
            }
            let distance = nn::PairwiseDistanceConfig::new()
                .with_p(a.number_or(2, "p", 2.0))
                .with_eps(a.number_or(3, "eps", 1e-6))
                .init();
            distance
                .forward(a.ranked(0, "x1"), a.ranked(1, "x2"))
                .into()
        }
        _ => return None,
    })
}

/// The loss of each entry in the reduction of the call.
fn reduced<const D: usize>(a: &Arguments, loss: Tensor<D>) -> Tensor<WIDE> {
    match a.call.text(9, "reduction") {
        None | Some("mean") => loss.mean().reshape([1; WIDE]),
        Some("sum") => loss.sum().reshape([1; WIDE]),
        Some("none") => widen(&loss.into()),
        Some(_) => lacks("this reduction of a loss"),
    }
}

/// Losses of `burn::nn`.
pub fn loss(a: &Arguments) -> Option<Tensor<WIDE>> {
    let (x, y) = (|| a.x(), || a.ranked::<WIDE>(1, "target"));
    let name = a.case.name.strip_prefix("nn.functional.")?;
    if a.call.get(9, "weight").is_some() && name != "binary_cross_entropy" {
        return lacks("weights of a loss");
    }
    Some(match name {
        "mse_loss" => reduced(a, nn::loss::MseLoss::new().forward_no_reduction(x(), y())),
        "l1_loss" => reduced(
            a,
            nn::loss::LpLossConfig::l1().forward_no_reduction(x(), y()),
        ),
        "smooth_l1_loss" => {
            let beta = a.number_or(9, "beta", 1.0);
            if beta == 0.0 {
                return lacks("a smooth loss without a smooth range");
            }
            let loss = nn::loss::SmoothL1LossConfig::new()
                .with_beta(beta as f32)
                .init();
            reduced(a, loss.forward(x(), y()))
        }
        "huber_loss" => {
            let delta = a.number_or(9, "delta", 1.0);
            let loss = nn::loss::HuberLossConfig::new(delta as f32).init();
            reduced(a, loss.forward_no_reduction(x(), y()))
        }
        "kl_div" => {
            let loss = nn::loss::KLDivLossConfig::new()
                .with_log_target(a.call.flag(9, "log_target", false))
                .init();
            if a.call.text(9, "reduction") == Some("batchmean") {
                let x = a.required(0, "input");
                let target = a.required(1, "target");
                return Some(at_rank!(x, Float, x => {
                    loss.forward(x, target.get(), Reduction::BatchMean).reshape([1; WIDE])
                }));
            }
            reduced(a, loss.forward_no_reduction(x(), y()))
        }
        "poisson_nll_loss" => {
            let loss = nn::loss::PoissonNllLossConfig::new()
                .with_log_input(a.call.flag(2, "log_input", true))
                .with_full(a.call.flag(3, "full", false))
                .with_eps(a.number_or(9, "eps", 1e-8))
                .init();
            reduced(a, loss.forward_no_reduction(x(), y()))
        }
        "gaussian_nll_loss" => {
            let loss = nn::loss::GaussianNLLLossConfig::new()
                .with_full(a.call.flag(3, "full", false))
                .with_eps(a.number_or(4, "eps", 1e-6))
                .init();
            let variance = match a.call.number(2, "var") {
                Some(value) => x().full_like(value),
                None => {
                    let variance = a.required(2, "var");
                    let mut shape = variance.shape();
                    if shape.len() + 1 == a.rank() {
                        shape.push(1);
                    }
                    let shape = wide_shape::<WIDE>(&shape);
                    at_rank!(variance, Float, v => v.reshape(shape)).expand(x().dims())
                }
            };
            reduced(a, loss.forward_no_reduction(x(), y(), variance))
        }
        "hinge_embedding_loss" => {
            let loss = nn::loss::HingeEmbeddingLossConfig::new()
                .with_margin(a.number_or(2, "margin", 1.0))
                .init();
            reduced(a, loss.forward_no_reduction(x(), y()))
        }
        "margin_ranking_loss" => {
            let loss = nn::loss::MarginRankingLossConfig::new()
                .with_margin(a.number_or(3, "margin", 0.0))
                .init();
            reduced(
                a,
                loss.forward_no_reduction(x(), a.ranked(1, "input2"), a.ranked(2, "target")),
            )
        }
        "cosine_embedding_loss" => {
            if a.rank() != 2 {
                return lacks("a cosine loss of single vectors");
            }
            let loss = nn::loss::CosineEmbeddingLossConfig::new()
                .with_margin(a.number_or(3, "margin", 0.0) as f32)
                .init();
            let target = a.required(2, "target").get::<1>().int();
            reduced(
                a,
                loss.forward_no_reduction(a.ranked(0, "input1"), a.ranked(1, "input2"), target),
            )
        }
        "triplet_margin_loss" => {
            if a.rank() != 2 || a.call.flag(6, "swap", false) {
                return lacks("a triplet loss that swaps");
            }
            let loss = nn::loss::TripletMarginLossConfig::new()
                .with_margin(a.number_or(3, "margin", 1.0))
                .with_p(a.number_or(4, "p", 2.0))
                .init();
            let [anchor, positive, negative] = [0, 1, 2].map(|i| a.ranked::<2>(i, ""));
            reduced(a, loss.forward_no_reduction(anchor, positive, negative))
        }
        "cross_entropy" => {
            let indices = a.required(1, "target");
            let plain = a.rank() == 2
                && !indices.dtype().is_float()
                && a.call.text(9, "reduction").is_none_or(|r| r == "mean")
                && a.call.number(9, "label_smoothing").is_none()
                && a.call.number(9, "ignore_index").is_none();
            if !plain {
                return lacks("a cross entropy without a mean or with other targets");
            }
            let logits = a.ranked::<2>(0, "input");
            let loss = nn::loss::CrossEntropyLossConfig::new().init(&logits.device());
            loss.forward(logits, indices.get_kind::<1, Int>())
                .reshape([1; WIDE])
        }
        "binary_cross_entropy" => lacks("targets of a binary cross entropy that are no integers"),
        _ => return None,
    })
}
