//! Unmodified `burn-nn` modules, whole: the primal equals the module's own forward to the bit, the derivatives agree with
//! central differences and with autodiff, and the derivatives can themselves be differentiated by autodiff.

mod common;

use burn::module::{Module, Param, ParamId};
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::interpolate::{Interpolate2d, Interpolate2dConfig, InterpolateMode};
use burn::nn::{
    BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, Gelu, GroupNorm, GroupNormConfig,
    LayerNorm, LayerNormConfig, Linear, LinearConfig, PaddingConfig2d,
};
use burn::tensor::activation::silu;
use burn::tensor::{Bool, DType, Device, FloatDType, Int, Tensor};
use burn_jvp::check::{CheckOptions, check_jvp};
use burn_jvp::{DynTensor, Jvp, JvpError, jvp};
use common::{
    Precision, Scramble, cast, close, dot, first, numbers, pick, random, step, tangents, tracked,
};

/// Checks the derivatives of `f` in the inputs that have three `directions`.
fn verify<M: Module>(
    name: &str,
    module: M,
    f: impl Fn(&M, &[DynTensor]) -> DynTensor + Copy,
    inputs: &[DynTensor],
    directions: &[Option<DynTensor>],
) {
    let module = module
        .map(&mut Scramble)
        .map(&mut Precision(FloatDType::F64));
    let jvp = Jvp::new(f);
    let before = weights(&module);
    let options = CheckOptions {
        step: 1e-5,
        difference: 1e-7,
        adjoint: Some(1e-9),
        ..CheckOptions::default()
    };
    check_jvp(&jvp, &module, inputs, directions, &options)
        .unwrap_or_else(|e| panic!("{name}: {e}"));

    let (y, t) = jvp.call(&module, inputs, directions).expect("f64");
    let t = t.expect("a tangent");
    let primal = jvp.primal(&module, inputs).expect("the primal alone");
    assert_eq!(numbers(&primal), numbers(&y), "{name}: the primal alone");
    assert_eq!(t.shape()[0], 3);
    let three = numbers(&t);
    let n = three.len() / 3;

    let picked = |k: usize| -> Vec<Option<DynTensor>> {
        let pick = |t: &Option<DynTensor>| t.as_ref().map(|t| pick(t, k));
        directions.iter().map(pick).collect()
    };
    let v: Vec<Option<DynTensor>> = picked(0).iter().map(|t| t.as_ref().map(first)).collect();
    let trained = module.clone().train().freeze();
    let leaves: Vec<DynTensor> = inputs
        .iter()
        .zip(directions)
        .map(|(x, v)| match v {
            Some(_) => tracked(x),
            None => x.clone(),
        })
        .collect();
    let w = by_rank!(y, y => DynTensor::from(random(y.dims(), &y.device())));

    // The same derivatives through the trained copy.
    let (y, t) = jvp.call(&trained, &leaves, &picked(0)).expect("autodiff");
    let t = t.expect("a tangent");
    let eager = numbers(&f(&trained, &leaves));
    assert_eq!(numbers(&y), eager, "{name}: primal on autodiff");
    close(name, "on autodiff", &numbers(&t), &three[..n], 1e-12);

    // Reverse over forward: the derivative along v of x ↦ ⟨w, J(x)·u⟩.
    let u = picked(1);
    let (_, t) = jvp.call(&trained, &leaves, &u).expect("autodiff");
    let t = first(&t.expect("a tangent"));
    let product = by_rank!(t, t => (t * w.get().autodiff()).sum());
    let value = |h: f64| {
        let moved = inputs.iter().zip(&v).map(|(x, v)| match v {
            Some(v) => step(x, v, h),
            None => x.clone(),
        });
        let moved: Vec<DynTensor> = moved.collect();
        dot(&numbers(&w), &tangents(&jvp, &module, &moved, &u))
    };
    let h = 1e-5;
    let left = (value(h) - value(-h)) / (2.0 * h);
    if product.is_tracked() {
        let gradients = product.backward();
        let right: f64 = leaves
            .iter()
            .zip(&v)
            .filter_map(|(x, v)| v.as_ref().map(|v| (x, v)))
            .map(|(x, v)| {
                let gradient = by_rank!(x, x => x.grad(&gradients).map(|g| numbers(&g.into())));
                gradient.map_or(0.0, |g| dot(&g, &numbers(v)))
            })
            .sum();
        close(name, "reverse over forward", &[right], &[left], 1e-7);
    } else {
        close(name, "J does not depend on x", &[left], &[0.0], 1e-6);
    }

    assert_eq!(before, weights(&module), "{name}: the module is untouched");
}

/// All float parameters and running states.
fn weights<M: Module>(module: &M) -> Vec<(ParamId, Vec<f64>)> {
    struct Collect(Vec<(ParamId, Vec<f64>)>);
    impl burn::module::ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push((param.id, numbers(&param.val().into())));
        }
    }
    let mut collect = Collect(Vec::new());
    module.visit(&mut collect);
    collect.0
}

/// Three directions for an input of rank `D`, `R = D + 1`.
fn three<const R: usize>(shape: [usize; R], device: &Device) -> Option<DynTensor> {
    assert_eq!(shape[0], 3);
    Some((random(shape, device) - 0.6).into())
}

#[derive(Module, Debug)]
struct Mlp {
    first: Linear,
    gelu: Gelu,
    norm: LayerNorm,
    last: Linear,
}

impl Mlp {
    fn new(device: &Device) -> Self {
        Self {
            first: LinearConfig::new(5, 7).init(device),
            gelu: Gelu::new(),
            norm: LayerNormConfig::new(7).init(device),
            last: LinearConfig::new(7, 4).with_bias(false).init(device),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let h = self.gelu.forward(self.first.forward(x));
        self.last.forward(self.norm.forward(h))
    }
}

#[test]
fn mlp() {
    let device = Device::flex();
    verify(
        "mlp",
        Mlp::new(&device),
        |m: &Mlp, i| m.forward(i[0].get()).into(),
        &[random([3, 5], &device).into()],
        &[three([3, 3, 5], &device)],
    );
}

#[derive(Module, Debug)]
struct Attention {
    mha: MultiHeadAttention,
}

fn attention(quiet: bool) -> Attention {
    let config = MultiHeadAttentionConfig::new(8, 2).with_quiet_softmax(quiet);
    Attention {
        mha: config.init(&Device::flex()),
    }
}

#[test]
fn self_attention() {
    let device = Device::flex();
    verify(
        "self-attention",
        attention(false),
        |m: &Attention, i| {
            m.mha
                .forward(MhaInput::self_attn(i[0].get()))
                .context
                .into()
        },
        &[random([2, 5, 8], &device).into()],
        &[three([3, 2, 5, 8], &device)],
    );
}

#[test]
fn cross_attention_with_masks() {
    let device = Device::flex();
    // The last key is padding, and no query sees its own place.
    let mask = Tensor::<2, Bool>::from_bool([[false, false, true], [false, false, true]], &device);
    let causal = Tensor::<3, Int>::from_ints(
        [[[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]]; 2],
        &device,
    )
    .bool();
    verify(
        "cross-attention",
        attention(true),
        |m: &Attention, i| {
            let input = MhaInput::new(i[0].get(), i[1].get(), i[1].get())
                .mask_pad(i[2].get_kind())
                .mask_attn(i[3].get_kind());
            m.mha.forward(input).context.into()
        },
        &[
            random([2, 5, 8], &device).into(),
            random([2, 3, 8], &device).into(),
            mask.into(),
            causal.into(),
        ],
        &[
            three([3, 2, 5, 8], &device),
            three([3, 2, 3, 8], &device),
            None,
            None,
        ],
    );
}

/// A residual block with the noise level added to its features.
#[derive(Module, Debug)]
struct Residual {
    enter: Conv2d,
    norm1: GroupNorm,
    conv1: Conv2d,
    noise: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    up: Interpolate2d,
    leave: Conv2d,
}

impl Residual {
    fn new(device: &Device) -> Self {
        let conv = |from, to| {
            Conv2dConfig::new([from, to], [3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device)
        };
        Self {
            enter: conv(2, 8),
            norm1: GroupNormConfig::new(4, 8).init(device),
            conv1: conv(8, 8),
            noise: LinearConfig::new(6, 8).init(device),
            norm2: GroupNormConfig::new(2, 8).init(device),
            conv2: conv(8, 8),
            up: Interpolate2dConfig::new()
                .with_scale_factor(Some([2.0, 2.0]))
                .with_mode(InterpolateMode::Nearest)
                .init(),
            leave: Conv2dConfig::new([8, 2], [2, 2])
                .with_stride([2, 2])
                .init(device),
        }
    }

    /// `x` is `[n, 2, h, w]`, `noise` one level per image.
    fn forward(&self, x: Tensor<4>, noise: Tensor<1>) -> Tensor<4> {
        let [n] = noise.dims();
        let rates = Tensor::<1, Int>::arange(1..4, &noise.device())
            .float()
            .cast(noise.dtype());
        let angles = noise.reshape([n, 1]) * rates.reshape([1, 3]);
        let features = Tensor::cat(vec![angles.clone().sin(), angles.cos()], 1);
        let shift = self.noise.forward(silu(features)).reshape([n, 8, 1, 1]);
        let x = self.enter.forward(x);
        let h = self.conv1.forward(silu(self.norm1.forward(x.clone()))) + shift;
        let h = x + self.conv2.forward(silu(self.norm2.forward(h)));
        self.leave.forward(self.up.forward(h))
    }
}

fn residual(m: &Residual, i: &[DynTensor]) -> DynTensor {
    m.forward(i[0].get(), i[1].get()).into()
}

#[test]
fn residual_network() {
    let device = Device::flex();
    verify(
        "residual",
        Residual::new(&device),
        residual,
        &[
            random([2, 2, 6, 6], &device).into(),
            random([2], &device).into(),
        ],
        &[three([3, 2, 2, 6, 6], &device), three([3, 2], &device)],
    );
}

#[test]
fn residual_network_in_its_noise_level_alone() {
    let device = Device::flex();
    verify(
        "residual, noise level",
        Residual::new(&device),
        residual,
        &[
            random([2, 2, 6, 6], &device).into(),
            random([2], &device).into(),
        ],
        &[None, three([3, 2], &device)],
    );
}

#[derive(Module, Debug)]
struct Normalised {
    conv: Conv2d,
    norm: BatchNorm,
}

#[test]
fn batch_norm_in_inference() {
    let device = Device::flex();
    let module = Normalised {
        conv: Conv2dConfig::new([2, 4], [3, 3]).init(&device),
        norm: BatchNormConfig::new(4).init(&device),
    };
    verify(
        "batch norm",
        module,
        |m: &Normalised, i| {
            let h = m.conv.forward(i[0].get());
            m.norm.forward(silu(m.norm.forward(h))).into()
        },
        &[random([2, 2, 6, 6], &device).into()],
        &[three([3, 2, 2, 6, 6], &device)],
    );
}

#[derive(Module, Debug)]
struct Tokens {
    embedding: Embedding,
    linear: Linear,
}

#[test]
fn embedding_then_linear() {
    let device = Device::flex();
    let module = Tokens {
        embedding: EmbeddingConfig::new(9, 5).init(&device),
        linear: LinearConfig::new(5, 4).init(&device),
    };
    let tokens = Tensor::<2, Int>::from_ints([[8, 0, 3], [3, 3, 1]], &device);
    let f = |m: &Tokens, i: &[DynTensor]| {
        let e = m.embedding.forward(i[0].get_kind());
        (m.linear.forward(e) * i[1].get::<3>().sin()).into()
    };
    verify(
        "embedding",
        module,
        f,
        &[tokens.into(), random([2, 3, 4], &device).into()],
        &[None, three([3, 2, 3, 4], &device)],
    );
}

#[test]
fn interpolations() {
    let device = Device::flex();
    for mode in [
        InterpolateMode::Nearest,
        InterpolateMode::Linear,
        InterpolateMode::Cubic,
        InterpolateMode::Lanczos,
    ] {
        let name = format!("{mode:?}");
        let up = Interpolate2dConfig::new()
            .with_output_size(Some([7, 9]))
            .with_mode(mode);
        // Burn 0.22.1 has no backward of the last two.
        let forward_only = !matches!(name.as_str(), "Nearest" | "Linear");
        if forward_only {
            let x: DynTensor = random([2, 3, 4, 4], &device).into();
            let t = three([3, 2, 3, 4, 4], &device);
            let jvp = Jvp::new(|m: &Interpolate2d, i: &[DynTensor]| m.forward(i[0].get()).into());
            let module = up.init();
            let slopes = tangents(&jvp, &module, &[x], std::slice::from_ref(&t));
            // Linear: the derivative along t is the function of t.
            let t = t.expect("directions").get::<5>().reshape([6, 3, 4, 4]);
            close(
                &name,
                "of t",
                &slopes,
                &numbers(&module.forward(t).into()),
                1e-12,
            );
            continue;
        }
        verify(
            &name,
            up.init(),
            |m: &Interpolate2d, i| m.forward(i[0].get::<4>().sin()).into(),
            &[random([2, 3, 4, 4], &device).into()],
            &[three([3, 2, 3, 4, 4], &device)],
        );
    }
}

#[test]
fn weights_changed_between_calls_are_seen() {
    let device = Device::flex();
    let module = Mlp::new(&device);
    let f = |m: &Mlp, i: &[DynTensor]| m.forward(i[0].get()).into();
    let jvp = Jvp::new(f);
    let x: DynTensor = random([3, 5], &device).cast(FloatDType::F32).into();
    let t = Some(cast(
        &three([3, 3, 5], &device).expect("three"),
        FloatDType::F32,
    ));
    let before = tangents(
        &jvp,
        &module,
        std::slice::from_ref(&x),
        std::slice::from_ref(&t),
    );
    let module = module.map(&mut Scramble);
    let (y, after) = jvp
        .call(&module, std::slice::from_ref(&x), std::slice::from_ref(&t))
        .expect("a second call");
    assert_eq!(numbers(&y), numbers(&f(&module, std::slice::from_ref(&x))));
    let fresh = tangents(&Jvp::new(f), &module, &[x], &[t]);
    let after = numbers(&after.expect("a tangent"));
    assert_eq!(after, fresh);
    assert_ne!(after, before);
}

#[test]
fn gradient_of_a_derivative_in_the_weights() {
    // d/dW of ⟨1, d/dx sin(x·W)·v⟩, against central differences in one weight.
    let device = Device::flex();
    let linear = LinearConfig::new(3, 2).with_bias(false).init(&device);
    let linear = linear.map(&mut Precision(FloatDType::F64));
    let jvp = Jvp::new(|m: &Linear, i: &[DynTensor]| m.forward(i[0].get::<2>()).sin().into());
    let x: DynTensor = random([4, 3], &device).into();
    let v: DynTensor = random([1, 4, 3], &device).into();
    let objective = |linear: &Linear| -> Tensor<3> {
        let (_, t) = jvp
            .call(linear, std::slice::from_ref(&x), &[Some(v.clone())])
            .expect("a derivative");
        t.expect("a tangent").get()
    };
    let trained = linear.clone().train();
    let grads = objective(&trained).sum().backward();
    let gradient = trained.weight.val().grad(&grads).expect("a gradient");
    let objective_moved_by = |h: f64| -> f64 {
        let bump =
            Tensor::<2>::from_data([[0.0, 0.0], [0.0, h], [0.0, 0.0]], (&device, DType::F64));
        let mut moved = linear.clone();
        moved.weight = moved.weight.map(|w| w + bump);
        numbers(&objective(&moved).into()).iter().sum()
    };
    let slope = (objective_moved_by(1e-5) - objective_moved_by(-1e-5)) / 2e-5;
    close(
        "weights",
        "gradient",
        &[numbers(&gradient.into())[3]],
        &[slope],
        1e-7,
    );
}

#[test]
fn the_convenience_function() {
    let device = Device::flex();
    let module = Mlp::new(&device).map(&mut Precision(FloatDType::F64));
    let x = random([3, 5], &device);
    let v = random([2, 3, 5], &device);
    let (y, t): (_, Tensor<3>) = jvp(
        &module,
        |m, x: Tensor<2>| m.forward(x),
        x.clone(),
        v.clone(),
    )
    .expect("both");
    let general = Jvp::new(|m: &Mlp, i: &[DynTensor]| m.forward(i[0].get()).into());
    let expected = tangents(
        &general,
        &module,
        &[x.clone().into()],
        &[Some(v.clone().into())],
    );
    assert_eq!(numbers(&t.into()), expected);
    assert_eq!(
        numbers(&y.into()),
        numbers(&module.forward(x.clone()).into())
    );
    // A constant function: zeros, not nothing.
    let (_, t): (Tensor<2>, Tensor<3>) =
        jvp(&module, |m, x: Tensor<2>| m.forward(x.zeros_like()), x, v).expect("a constant");
    assert_eq!(numbers(&t.into()), vec![0.0; 2 * 3 * 4]);
}

#[test]
fn misfits_are_refused() {
    let device = Device::flex();
    let module = Mlp::new(&device).map(&mut Precision(FloatDType::F64));
    let calls = std::cell::Cell::new(0);
    let jvp = Jvp::new(|m: &Mlp, i: &[DynTensor]| {
        calls.set(calls.get() + 1);
        (m.forward(i[0].get()) * i[1].get::<2>()).into()
    });
    let inputs: [DynTensor; 2] = [
        random([3, 5], &device).into(),
        random([3, 4], &device).into(),
    ];
    let (a, b) = (three([3, 3, 5], &device), three([3, 3, 4], &device));
    let refused = |tangents: &[Option<DynTensor>], what: &str| {
        let error = jvp.call(&module, &inputs, tangents).expect_err(what);
        assert!(matches!(error, JvpError::Shape(_)), "{what}: {error}");
        error.to_string()
    };
    refused(std::slice::from_ref(&a), "one tangent for two inputs");
    refused(
        &[Some(random([3, 5], &device).into()), None],
        "no leading axis",
    );
    refused(
        &[Some(random([1, 3, 4], &device).into()), None],
        "another shape",
    );
    refused(
        &[a.clone(), Some(random([2, 3, 4], &device).into())],
        "two numbers of tangents",
    );
    refused(
        &[Some(random([0, 3, 5], &device).into()), None],
        "no tangents at all",
    );
    let single = Some(cast(b.as_ref().expect("three"), FloatDType::F32));
    let text = refused(&[a.clone(), single], "another precision");
    assert!(
        text.contains("input 1") && text.contains("F32") && text.contains("F64"),
        "{text}"
    );
    assert_eq!(calls.get(), 0, "refused before anything is recorded");
    jvp.call(&module, &inputs, &[a, b]).expect("fits");

    let tokens = Tensor::<2, Int>::zeros([2, 3], &device);
    let tangent = Tensor::<3, Int>::zeros([1, 2, 3], &device);
    let error = Jvp::new(|_: &Mlp, i: &[DynTensor]| i[0].clone())
        .call(&module, &[tokens.into()], &[Some(tangent.into())])
        .expect_err("integers have no tangents");
    assert!(matches!(error, JvpError::Shape(_)), "{error}");
    let error = Jvp::new(|m: &Mlp, _: &[DynTensor]| m.first.weight.val().into())
        .call(&module, &[], &[])
        .expect_err("no inputs");
    assert!(matches!(error, JvpError::Shape(_)), "{error}");
}

#[test]
fn a_function_that_panics_is_an_error_and_the_next_call_works() {
    let device = Device::flex();
    let module = Mlp::new(&device).map(&mut Precision(FloatDType::F64));
    let jvp = Jvp::new(|m: &Mlp, i: &[DynTensor]| m.forward(i[0].get()).into());
    let call = |width: usize| {
        let (x, t) = (random([2, width], &device), random([1, 2, width], &device));
        jvp.call(&module, &[x.into()], &[Some(t.into())])
    };
    let error = call(6).expect_err("five columns are expected");
    assert!(matches!(error, JvpError::Capture(_)), "{error}");
    call(5).expect("five columns");
}
