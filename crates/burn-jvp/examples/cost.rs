//! The cost of derivatives as multiples of a forward evaluation, for a convolutional network and a transformer of Burn's
//! own layers on Flex. Prints a Markdown table.
//!
//! ```sh
//! cargo run --release -p burn-jvp --example cost          # 15 rounds, or --example cost -- ROUNDS
//! ```
//!
//! A round measures every derivative once, in turn, and the table has the medians of the rounds' ratios.

#![expect(clippy::disallowed_methods, reason = "no other thread draws meanwhile")]

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::transformer::{
    TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput,
};
use burn::nn::{GroupNorm, GroupNormConfig, PaddingConfig2d};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Distribution, Tensor};
use burn_jvp::{DynTensor, Hvp, Jvp, ParameterTangents, Tangents};
use std::cell::RefCell;
use std::hint::black_box;
use std::time::Instant;

/// The numbers of tangents K that are measured.
const COUNTS: [usize; 4] = [1, 2, 4, 8];

/// Three convolutions with normalisations between them.
#[derive(Module, Debug)]
struct Convolutions {
    enter: Conv2d,
    norm1: GroupNorm,
    middle: Conv2d,
    norm2: GroupNorm,
    leave: Conv2d,
}

impl Convolutions {
    fn new(device: &Device) -> Self {
        let conv = |from, to| {
            Conv2dConfig::new([from, to], [3, 3])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .init(device)
        };
        let norm = || GroupNormConfig::new(8, 32).init(device);
        Self {
            enter: conv(3, 32),
            norm1: norm(),
            middle: conv(32, 32),
            norm2: norm(),
            leave: conv(32, 3),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = self.enter.forward(x);
        let h = self.middle.forward(silu(self.norm1.forward(x.clone())));
        self.leave.forward(silu(self.norm2.forward(x + h)))
    }
}

/// Replaces parameters by random ones.
struct Randomize;

impl ModuleMapper for Randomize {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|t| t.random_like(Distribution::Normal(0.0, 0.1)))
    }
}

type Function<M> = fn(&M, &[DynTensor]) -> DynTensor;

/// Derivatives of a network with their median multiples of a forward evaluation.
fn measure<M: Module + 'static>(
    module: &M,
    x: &DynTensor,
    directions: impl Fn(usize) -> DynTensor,
    (forward, loss): (Function<M>, Function<M>),
    rounds: usize,
) -> Vec<(String, f64)> {
    let inputs = std::slice::from_ref(x);
    let (jvp, hvp) = (Jvp::new(forward), Hvp::new(loss));
    let of_inputs = |k| Tangents::of_inputs([Some(directions(k))]);
    let of_weights = |k| {
        let modules: Vec<M> = (0..k).map(|_| module.clone().map(&mut Randomize)).collect();
        let tangents = ParameterTangents::from_modules(module, &modules);
        Tangents::of_parameters(tangents.expect("one structure"))
    };
    let one = of_weights(1);
    let variables = one.variables();
    let cotangent = jvp.along(module, inputs, &one).expect("a derivative").1;
    let cotangent = cotangent.expect("a tangent");

    let linear = RefCell::new(jvp.linearize(module, inputs).expect("a linear map"));
    let direction = of_inputs(1);
    let along = |name: &str, k: usize, tangents: Tangents| {
        let jvp = &jvp;
        Work::new(
            format!("`along`, tangents of the {name}, K = {k}"),
            move || {
                drop(black_box(
                    jvp.along(module, inputs, &tangents).expect("a derivative"),
                ));
            },
        )
    };
    let mut works = vec![Work::new("forward", || {
        drop(black_box(forward(module, inputs)))
    })];
    works.extend(COUNTS.map(|k| along("input", k, of_inputs(k))));
    works.extend(COUNTS.map(|k| along("weights", k, of_weights(k))));
    works.extend([
        Work::new("`linearize`", || {
            drop(black_box(
                jvp.linearize(module, inputs).expect("a linear map"),
            ));
        }),
        Work::new("`push` of it, tangents of the input, K = 1", || {
            drop(black_box(
                linear.borrow_mut().push(&direction).expect("a derivative"),
            ));
        }),
        Work::new("`vjp` in the weights", || {
            let product = jvp.vjp(module, inputs, &variables, &cotangent);
            drop(black_box(product.expect("a product")));
        }),
        Work::new("`gauss_newton` in the weights", || {
            let product = jvp.gauss_newton(module, inputs, &one, |_, t| t);
            drop(black_box(product.expect("a product")));
        }),
        Work::new(
            "`Hvp::call` in the weights, with value and gradient",
            || {
                drop(black_box(
                    hvp.call(module, inputs, &one).expect("a product"),
                ));
            },
        ),
    ]);
    multiples(&works, rounds)
}

/// Something that is measured.
struct Work<'a> {
    name: String,
    run: Box<dyn Fn() + 'a>,
}

impl<'a> Work<'a> {
    fn new(name: impl Into<String>, run: impl Fn() + 'a) -> Self {
        Self {
            name: name.into(),
            run: Box::new(run),
        }
    }
}

/// The median over rounds of each work's time as a multiple of the first's.
fn multiples(works: &[Work], rounds: usize) -> Vec<(String, f64)> {
    let mut ratios = vec![Vec::new(); works.len()];
    // The first round records the functions and is not counted.
    for round in 0..=rounds {
        let seconds = works.iter().map(|work| {
            let started = Instant::now();
            (work.run)();
            started.elapsed().as_secs_f64()
        });
        let seconds: Vec<f64> = seconds.collect();
        if round > 0 {
            let pairs = ratios.iter_mut().zip(&seconds);
            pairs.for_each(|(ratios, of_work)| ratios.push(of_work / seconds[0]));
        }
    }
    let medians = ratios.into_iter().map(|mut ratios| {
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    });
    works
        .iter()
        .map(|work| work.name.clone())
        .zip(medians)
        .collect()
}

/// The tokens `[n, t, c]` through the encoder.
fn encode(encoder: &TransformerEncoder, inputs: &[DynTensor]) -> Tensor<3> {
    encoder.forward(TransformerEncoderInput::new(inputs[0].get()))
}

/// Derivatives with their multiples of a forward evaluation, of the convolutional network and of the transformer.
pub fn costs(rounds: usize) -> Vec<(String, [f64; 2])> {
    let device = Device::flex();
    device.seed(0);
    let normal = Distribution::Normal(0.0, 1.0);

    let network = Convolutions::new(&device);
    let x = Tensor::<4>::random([16, 3, 16, 16], normal, &device);
    let directions = |k| Tensor::<5>::random([k, 16, 3, 16, 16], normal, &device).into();
    let functions: (Function<Convolutions>, Function<Convolutions>) = (
        |m, i| m.forward(i[0].get()).into(),
        |m, i| m.forward(i[0].get()).powi_scalar(2).mean().into(),
    );
    let convolutions = measure(&network, &x.into(), directions, functions, rounds);

    let network = TransformerEncoderConfig::new(64, 256, 4, 2)
        .with_dropout(0.0)
        .init(&device);
    let x = Tensor::<3>::random([16, 32, 64], normal, &device);
    let directions = |k| Tensor::<4>::random([k, 16, 32, 64], normal, &device).into();
    let functions: (Function<TransformerEncoder>, Function<TransformerEncoder>) = (
        |m, i| encode(m, i).into(),
        |m, i| encode(m, i).powi_scalar(2).mean().into(),
    );
    let transformer = measure(&network, &x.into(), directions, functions, rounds);

    let pairs = convolutions.into_iter().zip(transformer);
    pairs.map(|((name, a), (_, b))| (name, [a, b])).collect()
}

fn main() {
    let rounds = std::env::args().nth(1);
    let rounds = rounds.map_or(15, |rounds| rounds.parse().expect("a number of rounds"));
    println!("| evaluation | convolutions | transformer |\n| --- | --- | --- |");
    for (name, [convolutions, transformer]) in costs(rounds.max(1)) {
        println!("| {name} | {convolutions:.1} | {transformer:.1} |");
    }
}
