//! Tangents of parameters, and derivatives of the second order, against differences of first-order derivatives.

mod common;

use burn::module::{Module, Param, ParamId};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::{softmax, tanh};
use burn::tensor::{DType, Device, FloatDType, Tensor};
use burn_jvp::{DynTensor, Hvp, Jvp, JvpError, NoModule, ParameterTangents, Tangents, Variables};
use common::{Precision, Scramble, close, dot, numbers, random, step};

/// Two linear layers of one weight with a tanh between them, and a layer of its own.
#[derive(Module, Debug)]
struct Net {
    first: Linear,
    again: Linear,
    last: Linear,
    scale: Param<Tensor<1>>,
}

impl Net {
    fn new(device: &Device) -> Self {
        let first = LinearConfig::new(3, 3).init(device);
        let net = Self {
            again: first.clone(),
            first,
            last: LinearConfig::new(3, 2).init(device),
            scale: Param::from_tensor(random([3], device)),
        };
        let net = net.map(&mut Precision(FloatDType::F64));
        let net = net.map(&mut Scramble);
        Self {
            again: net.first.clone(),
            ..net
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let h = tanh(self.first.forward(x)) * self.scale.val().unsqueeze();
        softmax(self.last.forward(tanh(self.again.forward(h))), 1)
    }

    /// `Σ y³`.
    fn loss(&self, x: Tensor<2>) -> Tensor<1> {
        self.forward(x).powi_scalar(3).sum()
    }
}

fn inputs(device: &Device) -> [DynTensor; 1] {
    [random([4, 3], device).into()]
}

/// Two random directions in the input and in every parameter.
fn directions(net: &Net, device: &Device) -> Tangents {
    let parameters = [net.clone(), net.clone()].map(|net| net.map(&mut Randomize));
    Tangents {
        inputs: vec![Some(random([2, 4, 3], device).into())],
        parameters: ParameterTangents::from_modules(net, &parameters).expect("one structure"),
    }
}

/// Replaces parameters by random ones.
struct Randomize;

impl burn::module::ModuleMapper for Randomize {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|t| random(t.dims(), &t.device()))
    }
}

/// The module and the input moved along direction `k` by `h`.
fn moved(net: &Net, x: &DynTensor, v: &Tangents, k: usize, h: f64) -> (Net, DynTensor) {
    let x = match v.inputs.first() {
        Some(Some(v)) => {
            let v = v
                .get::<3>()
                .slice(burn::tensor::s![k..k + 1])
                .squeeze_dim::<2>(0);
            step(x, &v.into(), h)
        }
        _ => x.clone(),
    };
    (v.parameters.displace(net.clone(), k, h), x)
}

#[test]
fn tangents_of_parameters_are_central_differences() {
    let device = Device::flex();
    let net = Net::new(&device);
    let inputs = inputs(&device);
    let all = directions(&net, &device);
    let jvp = Jvp::new(|m: &Net, i: &[DynTensor]| m.forward(i[0].get()).into());
    for v in [Tangents::of_parameters(all.parameters.clone()), all] {
        let (y, t) = jvp.along(&net, &inputs, &v).expect("a derivative");
        assert_eq!(numbers(&y), numbers(&net.forward(inputs[0].get()).into()));
        let t = t.expect("a tangent").get::<3>();
        for k in 0..2 {
            let value = |h| {
                let (net, x) = moved(&net, &inputs[0], &v, k, h);
                numbers(&net.forward(x.get()).into())
            };
            let difference: Vec<f64> = value(1e-6)
                .iter()
                .zip(value(-1e-6))
                .map(|(up, down)| (up - down) / 2e-6)
                .collect();
            let along: Tensor<2> = t.clone().slice(burn::tensor::s![k..k + 1]).squeeze_dim(0);
            close(
                "net",
                "along parameters",
                &numbers(&along.into()),
                &difference,
                1e-8,
            );
        }
    }
}

#[test]
fn linearize_gives_the_derivative_of_along_to_the_bit() {
    let device = Device::flex();
    let net = Net::new(&device);
    let inputs = inputs(&device);
    let v = directions(&net, &device);
    let jvp = Jvp::new(|m: &Net, i: &[DynTensor]| m.forward(i[0].get()).into());
    let (y, t) = jvp.along(&net, &inputs, &v).expect("a derivative");
    let mut linear = jvp.linearize(&net, &inputs).expect("a linear map");
    assert_eq!(numbers(&linear.value()), numbers(&y));
    for _ in 0..2 {
        let pushed = linear.push(&v).expect("a derivative").expect("a tangent");
        assert_eq!(numbers(&pushed), numbers(t.as_ref().expect("a tangent")));
    }
}

#[test]
fn hessian_products_are_differences_of_gradients() {
    let device = Device::flex();
    let net = Net::new(&device);
    let inputs = inputs(&device);
    let all = directions(&net, &device);
    let loss = |m: &Net, i: &[DynTensor]| m.loss(i[0].get()).into();
    let hvp = Hvp::new(loss);
    let jvp = Jvp::new(loss);
    let one: DynTensor = Tensor::<2>::from_data([[1.0]], (&device, DType::F64)).into();
    for v in [
        Tangents::of_inputs(all.inputs.clone()),
        Tangents::of_parameters(all.parameters.clone()),
        all,
    ] {
        let variables = v.variables();
        let second = hvp.call(&net, &inputs, &v).expect("a product");
        let flat = |t: &Tangents, k: usize| -> Vec<f64> {
            let stacks = t.inputs.iter().flatten().cloned();
            let stacks = stacks.chain(t.parameters.iter().map(|(_, t)| t.clone()));
            let rows = stacks.flat_map(|t| {
                let all = numbers(&t);
                let n = all.len() / t.shape()[0];
                all[k * n..(k + 1) * n].to_vec()
            });
            rows.collect()
        };
        let gradient = |net: &Net, x: &DynTensor| {
            let g = jvp.vjp(net, std::slice::from_ref(x), &variables, &one);
            flat(&g.expect("a gradient"), 0)
        };
        let close =
            |what: &str, a: &[f64], b: &[f64], tolerance| close("net", what, a, b, tolerance);
        close(
            "value",
            &numbers(&second.value),
            &numbers(&loss(&net, &inputs)),
            1e-15,
        );
        close(
            "gradient",
            &flat(&second.gradient, 0),
            &gradient(&net, &inputs[0]),
            1e-14,
        );
        for k in 0..2 {
            let at = |h| {
                let (net, x) = moved(&net, &inputs[0], &v, k, h);
                gradient(&net, &x)
            };
            let difference: Vec<f64> = at(1e-5)
                .iter()
                .zip(at(-1e-5))
                .map(|(up, down)| (up - down) / 2e-5)
                .collect();
            close("product", &flat(&second.product, k), &difference, 1e-8);
        }
        // The Hessian is symmetric: ⟨v₁, H·v₀⟩ = ⟨v₀, H·v₁⟩.
        let left = dot(&flat(&v, 1), &flat(&second.product, 0));
        let right = dot(&flat(&v, 0), &flat(&second.product, 1));
        close("symmetry", &[left], &[right], 1e-12);
    }
}

#[test]
fn second_derivatives_are_quadratic_forms_of_the_hessian() {
    let device = Device::flex();
    let net = Net::new(&device);
    let inputs = inputs(&device);
    let v = directions(&net, &device).inputs;
    let loss = |m: &Net, i: &[DynTensor]| m.loss(i[0].get()).into();
    let jvp = Jvp::new(loss);
    let (y, first, second) = jvp
        .second_derivative(&net, &inputs, &v)
        .expect("a second derivative");
    let hessian = Hvp::new(loss)
        .call(&net, &inputs, &Tangents::of_inputs(v.clone()))
        .expect("a product");
    assert_eq!(numbers(&y), numbers(&loss(&net, &inputs)));
    let (_, along) = jvp.call(&net, &inputs, &v).expect("a derivative");
    assert_eq!(numbers(&first), numbers(&along.expect("a tangent")));
    let [v, product] =
        [&v[0], &hessian.product.inputs[0]].map(|t| numbers(t.as_ref().expect("a tangent")));
    let n = v.len() / 2;
    let forms = [0, 1].map(|k| dot(&v[k * n..(k + 1) * n], &product[k * n..(k + 1) * n]));
    close("net", "vᵀ·H·v", &numbers(&second), &forms, 1e-12);
}

#[test]
fn the_third_derivative_nests_once_more() {
    let device = Device::flex();
    let x = random([3], &device);
    let one: DynTensor = Tensor::<2>::ones([1, 3], (&device, DType::F64)).into();
    let unit = |t: &DynTensor| {
        Some(
            Tensor::<2>::ones([1, 3], &t.get::<1>().device())
                .cast(FloatDType::F64)
                .into(),
        )
    };
    let first = Jvp::new(|_: &NoModule, i: &[DynTensor]| i[0].get::<1>().sin().into());
    let second = Jvp::new(|m: &NoModule, i: &[DynTensor]| {
        let (_, t) = first.call(m, i, &[unit(&i[0])]).expect("a derivative");
        t.expect("a tangent").get::<2>().squeeze_dim::<1>(0).into()
    });
    let third = Jvp::new(|m: &NoModule, i: &[DynTensor]| {
        let (_, t) = second.call(m, i, &[unit(&i[0])]).expect("a derivative");
        t.expect("a tangent").get::<2>().squeeze_dim::<1>(0).into()
    });
    let (y, t) = third
        .call(&NoModule, &[x.clone().into()], &[Some(one)])
        .expect("a derivative");
    let expected = [-x.clone().sin(), -x.cos()].map(|t| numbers(&t.into()));
    close("sin", "second", &numbers(&y), &expected[0], 1e-15);
    close(
        "sin",
        "third",
        &numbers(&t.expect("a tangent")),
        &expected[1],
        1e-15,
    );
}

#[test]
fn a_jacobian_is_its_columns_whatever_the_chunk() {
    let device = Device::flex();
    let net = Net::new(&device);
    let inputs = inputs(&device);
    let jvp = Jvp::new(|m: &Net, i: &[DynTensor]| m.forward(i[0].get()).into());
    let whole = jvp.jacobian(&net, &inputs, 0, 12).expect("a Jacobian");
    assert_eq!(whole.shape(), [4, 2, 4, 3]);
    for chunk in [1, 5, 100] {
        let again = jvp.jacobian(&net, &inputs, 0, chunk).expect("a Jacobian");
        close("net", "chunks", &numbers4(&again), &numbers4(&whole), 1e-14);
    }
    // A product with the Jacobian is the derivative along the vector.
    let v = random([1, 4, 3], &device);
    let (_, t) = jvp
        .call(&net, &inputs, &[Some(v.clone().into())])
        .expect("a derivative");
    let product = whole.get::<4>().reshape([8, 12]).matmul(v.reshape([12, 1]));
    close(
        "net",
        "J·v",
        &numbers(&t.expect("a tangent")),
        &numbers(&product.into()),
        1e-14,
    );
    let refusals = [
        jvp.jacobian(&net, &inputs, 1, 4),
        jvp.jacobian(&net, &inputs, 0, 0),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Err(JvpError::Shape(_))));
    }
}

fn numbers4(t: &DynTensor) -> Vec<f64> {
    numbers(&t.get::<4>().into())
}

#[test]
fn gauss_newton_is_the_product_of_the_jacobians() {
    let device = Device::flex();
    let net = Net::new(&device);
    let inputs = inputs(&device);
    let v = directions(&net, &device);
    let jvp = Jvp::new(|m: &Net, i: &[DynTensor]| m.forward(i[0].get()).into());
    let double = |_: &DynTensor, t: DynTensor| (t.get::<3>() * 2.0).into();
    let product = jvp
        .gauss_newton(&net, &inputs, &v, double)
        .expect("a product");
    // ⟨u, Jᵀ·2·J·v⟩ = 2·⟨J·u, J·v⟩ for both directions as u and v.
    let (_, t) = jvp.along(&net, &inputs, &v).expect("a derivative");
    let t = numbers(&t.expect("a tangent"));
    let n = t.len() / 2;
    for k in 0..2 {
        let of_inputs = |t: &Tangents| numbers(t.inputs[0].as_ref().expect("a tangent"));
        let m = of_inputs(&v).len() / 2;
        let rows = k * m..(k + 1) * m;
        let left = dot(&of_inputs(&v)[rows.clone()], &of_inputs(&product)[rows])
            + v.parameters.dot(&product.parameters)[k];
        let along = &t[k * n..(k + 1) * n];
        close("net", "vᵀ·G·v", &[left], &[2.0 * dot(along, along)], 1e-12);
    }
    // For a linear model with a square loss it is the Hessian.
    let layer = LinearConfig::new(3, 2)
        .init(&device)
        .map(&mut Precision(FloatDType::F64));
    let model = Jvp::new(|m: &Linear, i: &[DynTensor]| m.forward(i[0].get::<2>()).into());
    let hessian = Hvp::new(|m: &Linear, i: &[DynTensor]| {
        m.forward(i[0].get::<2>()).powi_scalar(2).sum().into()
    });
    let direction = [layer.clone().map(&mut Randomize)];
    let direction = ParameterTangents::from_modules(&layer, &direction).expect("one structure");
    let direction = Tangents::of_parameters(direction);
    let product = model
        .gauss_newton(&layer, &inputs, &direction, double)
        .expect("a product");
    let second = hessian
        .call(&layer, &inputs, &direction)
        .expect("a product");
    for (id, t) in second.product.parameters.iter() {
        let other = product.parameters.get(id).expect("the same parameters");
        close("linear", "G = H", &numbers(other), &numbers(t), 1e-12);
    }
}

#[test]
fn several_results_of_any_kind_come_with_their_tangents() {
    let device = Device::flex();
    let x = random([2, 3], &device);
    let jvp = Jvp::with_outputs(|_: &NoModule, i: &[DynTensor]| {
        let (a, b) = (i[0].get::<2>(), i[1].get::<1>());
        let total: Tensor<1> = (a.clone() * b.clone().unsqueeze()).sum();
        (total, a.argmax(1), b.exp(), i[0].clone())
    });
    let inputs: [DynTensor; 2] = [x.clone().into(), random([3], &device).into()];
    let v: DynTensor = random([2, 2, 3], &device).into();
    let ((total, argmax, exp, same), tangents) = jvp
        .call(&NoModule, &inputs, &[Some(v.clone()), None])
        .expect("derivatives");
    let expected = (x * inputs[1].get::<1>().unsqueeze()).sum();
    assert_eq!(numbers(&total.into()), numbers(&expected.into()));
    assert_eq!(argmax.dims(), [2, 1]);
    assert_eq!(exp.dims(), [3]);
    assert_eq!(numbers(&same), numbers(&inputs[0]));
    let [a, b, c, d] = tangents;
    assert_eq!(a.expect("a tangent").shape(), [2, 1]);
    assert!(b.is_none() && c.is_none());
    assert_eq!(numbers(&d.expect("a tangent")), numbers(&v));
}

#[test]
fn products_in_no_variable_leave_the_recorded_function_alone() {
    let device = Device::flex();
    let jvp = Jvp::new(|_: &NoModule, i: &[DynTensor]| i[0].get::<1>().exp().into());
    let x: DynTensor = random([3], &device).into();
    let w: DynTensor = random([1, 3], &device).into();
    let none = Variables::default();
    let products = jvp.vjp(&NoModule, std::slice::from_ref(&x), &none, &w);
    assert!(products.expect("nothing").inputs[0].is_none());
    // The same shapes as the inputs and the cotangent of the call before.
    let value = jvp.primal(&NoModule, &[x.clone(), x.clone()]);
    assert_eq!(
        numbers(&value.expect("a value")),
        numbers(&x.get::<1>().exp().into())
    );
}

#[test]
fn what_does_not_fit_is_refused_in_a_sentence() {
    let device = Device::flex();
    let net = Net::new(&device);
    let inputs = inputs(&device);
    let jvp = Jvp::new(|m: &Net, i: &[DynTensor]| m.forward(i[0].get()).into());
    let hvp = Hvp::new(|m: &Net, i: &[DynTensor]| m.forward(i[0].get()).into());
    let stranger = ParamId::new();
    let tangent = |shape: [usize; 2]| -> DynTensor { random(shape, &device).into() };
    let of_parameter = |id, t| {
        let mut p = ParameterTangents::new();
        p.insert(id, t);
        Tangents::of_parameters(p)
    };
    let scale = net.scale.id;
    let single: DynTensor = random([1, 3], &device).cast(FloatDType::F32).into();
    let refused = [
        (of_parameter(stranger, tangent([1, 3])), "does not have"),
        (of_parameter(scale, tangent([1, 4])), "does not stack"),
        (of_parameter(scale, single), "does not stack"),
        (
            Tangents {
                inputs: vec![Some(random([2, 4, 3], &device).into())],
                ..of_parameter(scale, tangent([1, 3]))
            },
            "does not stack",
        ),
    ];
    for (tangents, words) in refused {
        let error = jvp
            .along(&net, &inputs, &tangents)
            .expect_err("a refusal")
            .to_string();
        assert!(error.contains(words), "{error}");
    }
    let v = directions(&net, &device);
    let error = hvp
        .call(&net, &inputs, &v)
        .err()
        .expect("a refusal")
        .to_string();
    assert!(error.contains("[4, 2]"), "{error}");
    let cotangents: DynTensor = random([1, 4, 2], &device).into();
    let refused = [
        jvp.vjp(
            &net,
            &inputs,
            &of_parameter(stranger, tangent([1, 3])).variables(),
            &cotangents,
        ),
        jvp.vjp(
            &net,
            &inputs,
            &v.variables(),
            &random([1, 2, 4], &device).into(),
        ),
        jvp.vjp(
            &net,
            &inputs,
            &v.variables(),
            &random([0, 4, 2], &device).into(),
        ),
        jvp.vjp(
            &net,
            &inputs,
            &Tangents::of_inputs([None, v.inputs[0].clone()]).variables(),
            &cotangents,
        ),
    ];
    let words = [
        "does not have",
        "does not stack",
        "are not stacked",
        "no float input 1",
    ];
    for (refused, words) in refused.into_iter().zip(words) {
        let error = refused.expect_err("a refusal").to_string();
        assert!(error.contains(words), "{error}");
    }
    let other = LinearConfig::new(3, 4).init(&device);
    let layer = LinearConfig::new(3, 2).init(&device);
    let error = ParameterTangents::from_modules(&layer, &[other]).expect_err("a refusal");
    assert!(error.to_string().contains("structure"), "{error}");
}
