//! Derivatives of a denoising network in its inputs, by `torch.func.jvp`. `scripts/torch_jvp_fixture.py` makes the
//! fixture.

use crate::common::{Precision, cast, close, numbers};
use crate::fixture::Fixture;
use burn::module::Module;
use burn::nn::attention::{MhaInput, MultiHeadAttention};
use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, Linear};
use burn::tensor::activation::{gelu, silu};
use burn::tensor::{FloatDType, Int, Tensor};
use burn_jvp::{DynTensor, Jvp};
use safetensors::SafeTensors;

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

fn network(fixture: &Fixture) -> Network {
    Network {
        embed1: fixture.linear("embed1"),
        embed2: fixture.linear("embed2"),
        enter: fixture.conv("enter", 1),
        norm1: fixture.norm("norm1", 4),
        conv1: fixture.conv("conv1", 1),
        noise: fixture.linear("noise"),
        norm2: fixture.norm("norm2", 4),
        conv2: fixture.conv("conv2", 1),
        norm3: fixture.norm("norm3", 3),
        attention: fixture.attention(""),
        norm4: fixture.norm("norm4", 4),
        leave: fixture.conv("leave", 1),
    }
}

#[test]
fn agrees_with_torch_func_jvp() {
    let bytes = include_bytes!("../fixtures/torch_jvp.safetensors");
    let fixture = Fixture {
        tensors: SafeTensors::deserialize(bytes).expect("a SafeTensors file"),
        weights: "weights".into(),
        row: None,
    };
    let jvp = Jvp::new(|m: &Network, i: &[DynTensor]| m.forward(i[0].get(), i[1].get()).into());
    for (suffix, dtype, tolerance) in [
        ("f32", FloatDType::F32, 1e-5),
        // Burn's attention divides by the square root of its width in single precision.
        ("f64", FloatDType::F64, 1e-7),
    ] {
        let module = network(&fixture).map(&mut Precision(dtype));
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
