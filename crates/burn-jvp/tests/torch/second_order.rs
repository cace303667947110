//! Derivatives in weights, Hessian and Gauss–Newton products of a U-Net and a transformer, by `torch.func` and by
//! differences of gradients. `scripts/torch_second_order_fixture.py` makes the fixture.

use crate::by_rank;
use crate::common::{Precision, cast, close, first, numbers, pick, step};
use crate::fixture::Fixture;
use crate::networks::{Transformer, UNet};
use burn::module::Module;
use burn::tensor::{DType, Device, FloatDType, Tensor};
use burn_jvp::{DynTensor, Hvp, Jvp, ParameterTangents, Tangents};
use safetensors::SafeTensors;
use std::io::Read;

/// Relative tolerances against PyTorch.
const PRECISIONS: [(FloatDType, f64); 2] = [(FloatDType::F64, 1e-10), (FloatDType::F32, 1e-4)];

type Function<M> = fn(&M, &[DynTensor]) -> DynTensor;

/// A network of the fixture.
struct Case<M> {
    name: &'static str,
    build: fn(&Fixture) -> M,
    forward: Function<M>,
    loss: Function<M>,
    /// The inputs of `forward`, then the target.
    inputs: fn(&Fixture) -> Vec<DynTensor>,
    /// The stacks of each input that the fixture has under `name`.
    moved: fn(&Fixture, name: &str) -> Vec<Option<DynTensor>>,
}

const UNET: Case<UNet> = Case {
    name: "unet",
    build: UNet::new,
    forward: |m, i| m.forward(i[0].get(), i[1].get()).into(),
    loss: |m, i| UNet::loss(m.forward(i[0].get(), i[1].get()), i[2].get()).into(),
    inputs: |f| {
        vec![
            f.tensor::<4>("unet.x.x").into(),
            f.tensor::<1>("unet.x.noise").into(),
            f.tensor::<4>("unet.target").into(),
        ]
    },
    moved: |f, name| {
        let of_x = f.tensor::<5>(&format!("unet.{name}.x")).into();
        vec![Some(of_x), None, None]
    },
};

const TRANSFORMER: Case<Transformer> = Case {
    name: "transformer",
    build: Transformer::new,
    forward: |m, i| m.forward(i[0].get_kind()).into(),
    loss: |m, i| Transformer::loss(m.forward(i[0].get_kind()), i[1].get_kind()).into(),
    inputs: |f| {
        vec![
            f.integers::<2>("transformer.x.tokens").into(),
            f.integers::<2>("transformer.target").into(),
        ]
    },
    moved: |_, _| vec![None, None],
};

/// The contents of the fixture.
fn contents() -> Vec<u8> {
    let compressed = include_bytes!("../fixtures/torch_second_order.safetensors.gz").as_slice();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(compressed)
        .read_to_end(&mut bytes)
        .expect("a gzipped file");
    bytes
}

impl<M: Module> Case<M> {
    /// The fixture with the weights `NAME.kind.*`, of stacks the given row.
    fn fixture<'a>(&self, bytes: &'a [u8], kind: &str, row: Option<usize>) -> Fixture<'a> {
        Fixture {
            tensors: SafeTensors::deserialize(bytes).expect("a SafeTensors file"),
            weights: format!("{}.{kind}", self.name),
            row,
        }
    }

    /// The network and its inputs in one precision.
    fn point(&self, bytes: &[u8], dtype: FloatDType) -> (M, Vec<DynTensor>) {
        let fixture = self.fixture(bytes, "w", None);
        let module = (self.build)(&fixture).map(&mut Precision(dtype));
        let inputs = (self.inputs)(&fixture);
        (module, inputs.iter().map(|x| cast(x, dtype)).collect())
    }

    /// The stacks `NAME.kind.*` of the fixture, of `count` entries, for the weights and the inputs of `module`.
    fn stacks(&self, bytes: &[u8], module: &M, kind: &str, count: usize) -> Tangents {
        let rows = (0..count).map(|row| (self.build)(&self.fixture(bytes, kind, Some(row))));
        let rows: Vec<M> = rows.collect();
        Tangents {
            inputs: (self.moved)(&self.fixture(bytes, kind, None), kind),
            parameters: ParameterTangents::from_modules(module, &rows).expect("one structure"),
        }
    }

    /// Two directions in one precision.
    fn directions(&self, bytes: &[u8], module: &M, dtype: FloatDType) -> Tangents {
        let v = self.stacks(bytes, module, "v", 2);
        let parameters = v.parameters.iter();
        Tangents {
            inputs: v
                .inputs
                .iter()
                .map(|t| t.as_ref().map(|t| cast(t, dtype)))
                .collect(),
            parameters: parameters.map(|(id, t)| (id, cast(t, dtype))).collect(),
        }
    }
}

/// `2/n·t`, n being the number of entries of y: the Hessian of the mean square error in y times t.
fn mean_square_metric(y: &DynTensor, t: DynTensor) -> DynTensor {
    let entries: usize = y.shape().iter().product();
    by_rank!(t, t => (t * (2.0 / entries as f64)).into())
}

/// Entry `row` of each stack, one after the other.
fn flat(t: &Tangents, row: usize) -> Vec<f64> {
    let inputs = t.inputs.iter().flatten();
    let stacks = inputs.chain(t.parameters.iter().map(|(_, t)| t));
    stacks.flat_map(|t| numbers(&pick(t, row))).collect()
}

/// Compares entry `row` of each stack with entry `expected_row` of the other's.
fn agree(
    name: &str,
    what: &str,
    (actual, row): (&Tangents, usize),
    (expected, expected_row): (&Tangents, usize),
    tolerance: f64,
) {
    let entry = |t: &DynTensor, row| numbers(&pick(t, row));
    for (i, (a, e)) in actual.inputs.iter().zip(&expected.inputs).enumerate() {
        if let (Some(a), Some(e)) = (a, e) {
            let what = format!("{what} in input {i}");
            close(
                name,
                &what,
                &entry(a, row),
                &entry(e, expected_row),
                tolerance,
            );
        }
    }
    assert_eq!(
        actual.parameters.iter().count(),
        expected.parameters.iter().count()
    );
    for (id, a) in actual.parameters.iter() {
        let e = expected.parameters.get(id).expect("the same weights");
        let what = format!("{what} in a weight {:?}", a.shape());
        close(
            name,
            &what,
            &entry(a, row),
            &entry(e, expected_row),
            tolerance,
        );
    }
}

/// Values, gradients, JVPs, Hessian and Gauss–Newton products are PyTorch's: in weights and image together, and in
/// weights alone.
fn agrees_with_torch<M: Module + 'static>(case: &Case<M>) {
    let bytes = contents();
    for (dtype, tolerance) in PRECISIONS {
        let (module, inputs) = case.point(&bytes, dtype);
        let v = case.directions(&bytes, &module, dtype);
        let [products, gauss_newton] =
            ["hvp", "gauss_newton"].map(|kind| case.stacks(&bytes, &module, kind, 2));
        let gradient = case.stacks(&bytes, &module, "gradient", 1);
        let fixture = case.fixture(&bytes, "w", None);
        let expected = |what: &str| fixture.numbers(&format!("{}.{what}", case.name)).0;
        let tangents = expected("jvp");
        let what = |what: &str| format!("{what} in {dtype:?}");

        let jvp = Jvp::new(case.forward);
        let hvp = Hvp::new(case.loss);
        // The second direction leaves the image where it is.
        let second = v
            .parameters
            .iter()
            .map(|(id, t)| (id, pick(t, 1)))
            .collect();
        let weights = Tangents::of_parameters(second);
        for (v, first) in [(&v, 0), (&weights, 1)] {
            let (y, t) = jvp.along(&module, &inputs, v).expect("a derivative");
            close(
                case.name,
                &what("value"),
                &numbers(&y),
                &expected("y"),
                tolerance,
            );
            let size = tangents.len() / 2;
            close(
                case.name,
                &what("JVP"),
                &numbers(&t.expect("a tangent")),
                &tangents[first * size..],
                tolerance,
            );
            let second = hvp.call(&module, &inputs, v).expect("a product");
            close(
                case.name,
                &what("loss"),
                &numbers(&second.value),
                &expected("loss"),
                tolerance,
            );
            agree(
                case.name,
                &what("gradient"),
                (&second.gradient, 0),
                (&gradient, 0),
                tolerance,
            );
            let along = jvp
                .gauss_newton(&module, &inputs, v, mean_square_metric)
                .expect("a product");
            for row in 0..v.k() {
                agree(
                    case.name,
                    &what("Hessian"),
                    (&second.product, row),
                    (&products, first + row),
                    tolerance,
                );
                agree(
                    case.name,
                    &what("Gauss-Newton"),
                    (&along, row),
                    (&gauss_newton, first + row),
                    tolerance,
                );
            }
        }
    }
}

/// The gradient of a scalar function in the variables that have directions.
fn gradient<M: Module, F: Fn(&M, &[DynTensor]) -> DynTensor>(
    function: &Jvp<M, F>,
    (module, inputs): &(M, Vec<DynTensor>),
    directions: &Tangents,
) -> Vec<f64> {
    let one: DynTensor = Tensor::<2>::from_data([[1.0]], (&Device::flex(), DType::F64)).into();
    let gradient = function.vjp(module, inputs, &directions.variables(), &one);
    flat(&gradient.expect("a gradient"), 0)
}

/// Hessian products are differences of the loss's gradients. Gauss–Newton products are those of the mean square error
/// at a target that is reached, where its Hessian has no other term.
fn agrees_with_differences_of_gradients<M: Module + 'static>(case: &Case<M>) {
    let bytes = contents();
    let (module, inputs) = case.point(&bytes, FloatDType::F64);
    let v = case.directions(&bytes, &module, FloatDType::F64);
    let jvp = Jvp::new(case.forward);
    let gauss_newton = jvp
        .gauss_newton(&module, &inputs, &v, mean_square_metric)
        .expect("a product");
    let hvp = Hvp::new(case.loss)
        .call(&module, &inputs, &v)
        .expect("a product")
        .product;
    let reached = jvp.primal(&module, &inputs).expect("a value");
    let forward = case.forward;
    // The target is the last input: a tensor of another device cannot be recorded.
    let distance = Jvp::new(move |m: &M, i: &[DynTensor]| {
        let (target, inputs) = i.split_last().expect("a target");
        let y = forward(m, inputs);
        by_rank!(y, y => (y - target.get()).powi_scalar(2).mean().into())
    });
    let loss = Jvp::new(case.loss);
    for row in 0..2 {
        let moved = |h: f64| {
            let inputs = inputs.iter().zip(&v.inputs);
            let inputs: Vec<DynTensor> = inputs
                .map(|(x, t)| {
                    t.as_ref()
                        .map_or_else(|| x.clone(), |t| step(x, &first(&pick(t, row)), h))
                })
                .collect();
            (v.parameters.displace(module.clone(), row, h), inputs)
        };
        let loss_gradient = |h| gradient(&loss, &moved(h), &v);
        let distance_gradient = |h| {
            let (module, mut inputs) = moved(h);
            inputs.push(reached.clone());
            gradient(&distance, &(module, inputs), &v)
        };
        let h = 2e-6;
        let difference = |up: Vec<f64>, down: Vec<f64>| -> Vec<f64> {
            let pairs = up.into_iter().zip(down);
            pairs.map(|(up, down)| (up - down) / (2.0 * h)).collect()
        };
        let expected = difference(loss_gradient(h), loss_gradient(-h));
        close(
            case.name,
            "Hessian product",
            &flat(&hvp, row),
            &expected,
            1e-8,
        );
        let expected = difference(distance_gradient(h), distance_gradient(-h));
        close(
            case.name,
            "Gauss-Newton product",
            &flat(&gauss_newton, row),
            &expected,
            1e-8,
        );
    }
}

#[test]
fn unet_agrees_with_torch() {
    agrees_with_torch(&UNET);
}

#[test]
fn transformer_agrees_with_torch() {
    agrees_with_torch(&TRANSFORMER);
}

#[test]
fn unet_agrees_with_differences_of_gradients() {
    agrees_with_differences_of_gradients(&UNET);
}

#[test]
fn transformer_agrees_with_differences_of_gradients() {
    agrees_with_differences_of_gradients(&TRANSFORMER);
}
