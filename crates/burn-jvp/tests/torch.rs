//! The same network with the same weights in PyTorch: values and derivatives agree with `torch.func.jvp`.
//! `scripts/torch_jvp_fixture.py` makes the fixture.

mod common;

use burn::module::{Module, Param};
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNorm, GroupNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::{gelu, silu};
use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use burn_jvp::{DynTensor, Jvp};
use common::{Precision, cast, close, numbers};
use safetensors::{Dtype, SafeTensors};

#[derive(Module, Debug)]
struct Network {
    embed1: Linear,
    embed2: Linear,
    enter: Conv2d,
    norm1: GroupNorm,
    conv1: Conv2d,
    noise: Linear,
    norm2: GroupNorm,
    conv2: Conv2d,
    norm3: GroupNorm,
    attention: MultiHeadAttention,
    norm4: GroupNorm,
    leave: Conv2d,
}

impl Network {
    fn forward(&self, x: Tensor<4>, noise: Tensor<1>) -> Tensor<4> {
        let [n, _, height, width] = x.dims();
        let rates = Tensor::<1, Int>::arange(1..5, &noise.device()).float();
        let angles = noise.clone().reshape([n, 1]) * rates.cast(noise.dtype()).reshape([1, 4]);
        let features = Tensor::cat(vec![angles.clone().sin(), angles.cos()], 1);
        let embedding = self.embed2.forward(gelu(self.embed1.forward(features)));

        let x = self.enter.forward(x);
        let c = x.dims()[1];
        let shift = self.noise.forward(silu(embedding)).reshape([n, c, 1, 1]);
        let h = self.conv1.forward(silu(self.norm1.forward(x.clone()))) + shift;
        let x = x + self.conv2.forward(silu(self.norm2.forward(h)));

        let tokens = self.norm3.forward(x.clone());
        let tokens = tokens.reshape([n, c, height * width]).swap_dims(1, 2);
        let seen = self.attention.forward(MhaInput::self_attn(tokens)).context;
        let x = x.clone() + seen.swap_dims(1, 2).reshape(x.dims());
        self.leave.forward(silu(self.norm4.forward(x)))
    }
}

struct Fixture<'a>(SafeTensors<'a>);

impl Fixture<'_> {
    fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let view = self
            .0
            .tensor(name)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let bytes = view.data();
        let (values, dtype): (Vec<f64>, _) = match view.dtype() {
            Dtype::F32 => (
                bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|b| f32::from_le_bytes(*b).into())
                    .collect(),
                DType::F32,
            ),
            Dtype::F64 => (
                bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|b| f64::from_le_bytes(*b))
                    .collect(),
                DType::F64,
            ),
            other => panic!("{name}: {other:?}"),
        };
        let data = TensorData::new(values, view.shape().to_vec());
        Tensor::from_data(data, (&Device::flex(), dtype))
    }

    fn weight<const D: usize>(&self, name: &str) -> Param<Tensor<D>> {
        Param::from_tensor(self.tensor(&format!("weights.{name}")))
    }

    /// Burn keeps `[in, out]`, PyTorch `[out, in]`.
    fn linear(&self, name: &str) -> Linear {
        let weight = self.tensor::<2>(&format!("weights.{name}.weight"));
        let [to, from] = weight.dims();
        let mut layer = LinearConfig::new(from, to).init(&Device::flex());
        layer.weight = Param::from_tensor(weight.transpose());
        layer.bias = Some(self.weight(&format!("{name}.bias")));
        layer
    }

    fn conv(&self, name: &str) -> Conv2d {
        let weight = self.weight::<4>(&format!("{name}.weight"));
        let [to, from, ..] = weight.dims();
        let mut layer = Conv2dConfig::new([from, to], [3, 3])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .init(&Device::flex());
        layer.weight = weight;
        layer.bias = Some(self.weight(&format!("{name}.bias")));
        layer
    }

    fn norm(&self, name: &str, groups: usize) -> GroupNorm {
        let gamma = self.weight::<1>(&format!("{name}.weight"));
        let mut layer = GroupNormConfig::new(groups, gamma.dims()[0]).init(&Device::flex());
        layer.gamma = Some(gamma);
        layer.beta = Some(self.weight(&format!("{name}.bias")));
        layer
    }

    fn network(&self) -> Network {
        let mut attention = MultiHeadAttentionConfig::new(12, 2).init(&Device::flex());
        attention.query = self.linear("query");
        attention.key = self.linear("key");
        attention.value = self.linear("value");
        attention.output = self.linear("output");
        Network {
            embed1: self.linear("embed1"),
            embed2: self.linear("embed2"),
            enter: self.conv("enter"),
            norm1: self.norm("norm1", 4),
            conv1: self.conv("conv1"),
            noise: self.linear("noise"),
            norm2: self.norm("norm2", 4),
            conv2: self.conv("conv2"),
            norm3: self.norm("norm3", 3),
            attention,
            norm4: self.norm("norm4", 4),
            leave: self.conv("leave"),
        }
    }
}

#[test]
fn agrees_with_torch_func_jvp() {
    let bytes = include_bytes!("fixtures/torch_jvp.safetensors");
    let fixture = Fixture(SafeTensors::deserialize(bytes).expect("a SafeTensors file"));
    let jvp = Jvp::new(|m: &Network, i: &[DynTensor]| m.forward(i[0].get(), i[1].get()).into());
    for (suffix, dtype, tolerance) in [
        ("f32", FloatDType::F32, 1e-5),
        // Burn's attention divides by the square root of its width in single precision.
        ("f64", FloatDType::F64, 1e-7),
    ] {
        let module = fixture.network().map(&mut Precision(dtype));
        let x = cast(&fixture.tensor::<4>("x").into(), dtype);
        let noise = cast(&fixture.tensor::<1>("noise").into(), dtype);
        let dx = cast(&fixture.tensor::<5>("dx").into(), dtype);
        let dnoise = cast(&fixture.tensor::<2>("dnoise").into(), dtype);
        let (y, dy) = jvp
            .call(&module, &[x, noise], &[Some(dx), Some(dnoise)])
            .expect("a derivative");
        let expected = numbers(&fixture.tensor::<4>(&format!("y.{suffix}")).into());
        close(suffix, "value", &numbers(&y), &expected, tolerance);

        let got = numbers(&dy.expect("a tangent"));
        let expected = numbers(&fixture.tensor::<5>(&format!("dy.{suffix}")).into());
        let n = expected.len() / 3;
        for (k, what) in ["both inputs", "the image", "the noise level"]
            .iter()
            .enumerate()
        {
            let entries = k * n..(k + 1) * n;
            close(
                suffix,
                what,
                &got[entries.clone()],
                &expected[entries],
                tolerance,
            );
        }
    }
}
