//! Contents that a recording cannot hold: each is the function of inference or an error that says so, never a silent zero.

mod common;

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig};
use burn::tensor::{Device, Distribution, FloatDType, Tensor};
use burn_jvp::{DynTensor, Jvp, JvpError, NoModule, Tangents};
use common::{Precision, close, dot, numbers, random};

/// Dropout and batch norm behave differently in training.
#[derive(Module, Debug)]
struct Training {
    layer: Linear,
    norm: BatchNorm,
    dropout: Dropout,
}

impl Training {
    fn new(device: &Device) -> Self {
        let module = Self {
            layer: LinearConfig::new(3, 4).init(device),
            norm: BatchNormConfig::new(4).init(device),
            dropout: DropoutConfig::new(0.5).init(),
        };
        module.map(&mut Precision(FloatDType::F64))
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.dropout
            .forward(self.norm.forward(self.layer.forward(x)))
    }
}

/// The error of a function of one matrix.
fn refusal(function: impl Fn(&NoModule, &[DynTensor]) -> DynTensor) -> JvpError {
    let device = Device::flex();
    let inputs = [random([2, 3], &device).into()];
    let tangent = random([1, 2, 3], &device).into();
    let result = Jvp::new(function).call(&NoModule, &inputs, &[Some(tangent)]);
    result.expect_err("a refusal")
}

#[test]
fn dropout_and_batch_norm_are_those_of_inference_on_a_training_device_too() {
    let device = Device::flex();
    let module = Training::new(&device);
    let (x, t) = (random([5, 3], &device), random([1, 5, 3], &device));
    let jvp = Jvp::new(|m: &Training, i: &[DynTensor]| m.forward(i[0].get()).into());
    let inference = jvp.call(&module, &[x.clone().into()], &[Some(t.clone().into())]);
    let (y, along) = inference.expect("a derivative");
    close(
        "inference",
        "value",
        &numbers(&y),
        &numbers(&module.forward(x.clone()).into()),
        0.0,
    );
    let tracked = [x.autodiff().into()];
    let training = jvp.call(&module.train(), &tracked, &[Some(t.autodiff().into())]);
    let (again, also) = training.expect("a derivative");
    close("training", "value", &numbers(&again), &numbers(&y), 1e-15);
    let [along, also] = [along, also].map(|t| numbers(&t.expect("a tangent")));
    close("training", "derivative", &also, &along, 1e-15);
}

#[test]
fn products_with_the_transposed_jacobian_are_those_of_inference_too() {
    let device = Device::flex();
    let module = Training::new(&device);
    let inputs = [random([5, 3], &device).into()];
    let t: DynTensor = random([2, 5, 3], &device).into();
    let w: DynTensor = random([2, 5, 4], &device).into();
    let jvp = Jvp::new(|m: &Training, i: &[DynTensor]| m.forward(i[0].get()).into());
    let tangents = Tangents::of_inputs([Some(t.clone())]);
    let along = jvp.along(&module, &inputs, &tangents);
    let along = along.expect("a derivative").1.expect("a tangent");
    let products = jvp.vjp(&module, &inputs, &tangents.variables(), &w);
    let products = products.expect("products").inputs.swap_remove(0);
    let products = products.expect("of the input");
    // ⟨w, J·t⟩ = ⟨Jᵀ·w, t⟩ for both cotangents and both directions.
    let [w, along] = [&w, &along].map(numbers);
    let [products, t] = [&products, &t].map(numbers);
    for (k, l) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let left = dot(&w[k * 20..(k + 1) * 20], &along[l * 20..(l + 1) * 20]);
        let right = dot(&products[k * 15..(k + 1) * 15], &t[l * 15..(l + 1) * 15]);
        close("transposed", "inner products", &[left], &[right], 1e-12);
    }
}

#[test]
fn a_random_number_inside_is_refused_by_its_name() {
    let error = refusal(|_, i| {
        let x = i[0].get::<2>();
        let noise = x.random_like(Distribution::Default);
        (x + noise).into()
    });
    let text = error.to_string();
    assert!(matches!(error, JvpError::Unsupported { .. }), "{text}");
    assert!(
        text.contains("Random") && text.contains("pass it as an input"),
        "{text}"
    );
}

#[test]
fn a_choice_by_a_value_is_refused() {
    let error = refusal(|_, i| {
        let x = i[0].get::<2>();
        match x.clone().sum().into_scalar::<f64>() > 0.0 {
            true => x.exp().into(),
            false => x.into(),
        }
    });
    assert!(matches!(error, JvpError::Capture(_)), "{error}");
}

#[test]
fn a_result_from_elsewhere_is_refused() {
    let constant: DynTensor = random([2, 3], &Device::flex()).into();
    let error = refusal(move |_, _| constant.clone());
    assert!(
        error.to_string().contains("not computed from its inputs"),
        "{error}"
    );
}

#[test]
fn integers_and_booleans_have_no_tangent() {
    let device = Device::flex();
    let x = random([2, 3], &device);
    let jvp = Jvp::with_outputs(|_: &NoModule, i: &[DynTensor]| {
        let x = i[0].get::<2>();
        (x.clone().argmax(1), x.greater_elem(0.5))
    });
    let t = random([1, 2, 3], &device);
    let call = jvp.call(&NoModule, &[x.into()], &[Some(t.into())]);
    let (_, [argmax, greater]) = call.expect("values");
    assert!(argmax.is_none() && greater.is_none());
}
