//! Tensors and layers of a fixture that a script of PyTorch made.

use burn::module::Param;
use burn::nn::attention::{MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{
    Embedding, EmbeddingConfig, GroupNorm, GroupNormConfig, LayerNorm, LayerNormConfig, Linear,
    LinearConfig, PaddingConfig2d,
};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};

/// The tensors of a network in a fixture.
pub struct Fixture<'a> {
    pub tensors: SafeTensors<'a>,
    /// The prefix of the weights' names.
    pub weights: String,
    /// Which of the stacked directions the weights are, if they are directions.
    pub row: Option<usize>,
}

/// Burn's name of a float type.
fn float(dtype: Dtype) -> DType {
    if dtype == Dtype::F32 {
        DType::F32
    } else {
        DType::F64
    }
}

impl Fixture<'_> {
    /// The numbers of a tensor in double precision, with its type and its shape.
    pub fn numbers(&self, name: &str) -> (Vec<f64>, Dtype, Vec<usize>) {
        let view = self.tensors.tensor(name);
        let view = view.unwrap_or_else(|e| panic!("{name}: {e}"));
        let bytes = view.data();
        let values = match view.dtype() {
            Dtype::F32 => {
                let values = bytes.as_chunks().0.iter();
                values.map(|b| f32::from_le_bytes(*b).into()).collect()
            }
            Dtype::F64 => {
                let values = bytes.as_chunks().0.iter();
                values.map(|b| f64::from_le_bytes(*b)).collect()
            }
            other => panic!("{name}: {other:?}"),
        };
        (values, view.dtype(), view.shape().to_vec())
    }

    /// A float tensor of rank `D` in its own precision.
    pub fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let (values, dtype, shape) = self.numbers(name);
        let data = TensorData::new(values, shape);
        Tensor::from_data(data, (&Device::flex(), float(dtype)))
    }

    /// A tensor of integers.
    pub fn integers<const D: usize>(&self, name: &str) -> Tensor<D, Int> {
        let view = self.tensors.tensor(name);
        let view = view.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(view.dtype(), Dtype::I64, "{name}");
        let values = view.data().as_chunks().0.iter();
        let values: Vec<i64> = values.map(|b| i64::from_le_bytes(*b)).collect();
        let data = TensorData::new(values, view.shape().to_vec());
        Tensor::from_data(data, &Device::flex())
    }

    fn weight<const D: usize>(&self, name: &str) -> Param<Tensor<D>> {
        let name = format!("{}.{name}", self.weights);
        let Some(row) = self.row else {
            return Param::from_tensor(self.tensor(&name));
        };
        let (values, dtype, shape) = self.numbers(&name);
        let size = shape[1..].iter().product::<usize>();
        let values = values[row * size..(row + 1) * size].to_vec();
        let data = TensorData::new(values, shape[1..].to_vec());
        Param::from_tensor(Tensor::from_data(data, (&Device::flex(), float(dtype))))
    }

    /// Burn keeps `[in, out]`, PyTorch `[out, in]`.
    pub fn linear(&self, name: &str) -> Linear {
        let weight = self.weight::<2>(&format!("{name}.weight"));
        let [to, from] = weight.dims();
        let mut layer = LinearConfig::new(from, to).init(&Device::flex());
        layer.weight = weight.map(|weight| weight.transpose());
        layer.bias = Some(self.weight(&format!("{name}.bias")));
        layer
    }

    /// A 3×3 convolution with one pixel of zeros around.
    pub fn conv(&self, name: &str, stride: usize) -> Conv2d {
        let weight = self.weight::<4>(&format!("{name}.weight"));
        let [to, from, ..] = weight.dims();
        let mut layer = Conv2dConfig::new([from, to], [3, 3])
            .with_stride([stride, stride])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .init(&Device::flex());
        layer.weight = weight;
        layer.bias = Some(self.weight(&format!("{name}.bias")));
        layer
    }

    pub fn norm(&self, name: &str, groups: usize) -> GroupNorm {
        let gamma = self.weight::<1>(&format!("{name}.weight"));
        let mut layer = GroupNormConfig::new(groups, gamma.dims()[0]).init(&Device::flex());
        layer.gamma = Some(gamma);
        layer.beta = Some(self.weight(&format!("{name}.bias")));
        layer
    }

    pub fn layer_norm(&self, name: &str) -> LayerNorm {
        let gamma = self.weight::<1>(&format!("{name}.weight"));
        let mut layer = LayerNormConfig::new(gamma.dims()[0]).init(&Device::flex());
        layer.gamma = gamma;
        layer.beta = Some(self.weight(&format!("{name}.bias")));
        layer
    }

    pub fn embedding(&self, name: &str) -> Embedding {
        let weight = self.weight::<2>(&format!("{name}.weight"));
        let [tokens, channels] = weight.dims();
        let mut layer = EmbeddingConfig::new(tokens, channels).init(&Device::flex());
        layer.weight = weight;
        layer
    }

    /// Attention of two heads without dropout. `prefix` goes before the names of its linear maps.
    pub fn attention(&self, prefix: &str) -> MultiHeadAttention {
        let [query, key, value, output] =
            ["query", "key", "value", "output"].map(|name| self.linear(&format!("{prefix}{name}")));
        let channels = query.weight.dims()[0];
        let mut layer = MultiHeadAttentionConfig::new(channels, 2)
            .with_dropout(0.0)
            .init(&Device::flex());
        (layer.query, layer.key, layer.value, layer.output) = (query, key, value, output);
        layer
    }
}
