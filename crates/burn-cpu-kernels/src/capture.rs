//! The operations on the capture device. Each is recorded as one custom operation, so that an evaluation of the record can
//! call the kernel.

use burn::backend::capture::CaptureBackend;
use burn::backend::ir::{CustomOpIr, OperationIr, OperationOutput, ScalarIr, TensorIr};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Shape, TensorMetadata};
use burn_router::RouterClient;

use crate::backend::KernelBackend;
use crate::norm::GroupNormOptions;
use crate::stride::Stride;

/// Name of a recorded [`KernelBackend::silu`], with the input x.
pub const SILU: &str = "burn_cpu_kernels.silu";
/// Name of a recorded [`KernelBackend::group_norm`], with the inputs x, γ, β and the scalars of a [`GroupNormOptions`].
pub const GROUP_NORM: &str = "burn_cpu_kernels.group_norm";
/// Name of a recorded [`KernelBackend::conv3x3`], with the inputs x, weight, bias and the scalar of a [`Stride`].
pub const CONV3X3: &str = "burn_cpu_kernels.conv3x3";
/// Name of a recorded [`KernelBackend::pointwise`], with the inputs x, weight, bias.
pub const POINTWISE: &str = "burn_cpu_kernels.pointwise";
/// Name of a recorded [`KernelBackend::self_attention`], with the input `qkv` and the number of heads as scalar.
pub const ATTENTION: &str = "burn_cpu_kernels.attention";
/// Name of a recorded [`KernelBackend::group_norm_gradient`], with the inputs x, γ, β, the gradient of the result, and the
/// scalars of a [`GroupNormOptions`].
pub const GROUP_NORM_GRADIENT: &str = "burn_cpu_kernels.group_norm_gradient";
/// Name of a recorded [`KernelBackend::conv3x3_input_gradient`], with the inputs weight and gradient of the result
/// and the scalar of a [`Stride`].
pub const CONV3X3_INPUT_GRADIENT: &str = "burn_cpu_kernels.conv3x3_input_gradient";
/// Name of a recorded [`KernelBackend::conv3x3_weight_gradient`], with the inputs x, weight, gradient of the result
/// and the scalar of a [`Stride`].
pub const CONV3X3_WEIGHT_GRADIENT: &str = "burn_cpu_kernels.conv3x3_weight_gradient";
/// Name of a recorded [`KernelBackend::pointwise_input_gradient`], with the inputs weight and gradient of the result.
pub const POINTWISE_INPUT_GRADIENT: &str = "burn_cpu_kernels.pointwise_input_gradient";
/// Name of a recorded [`KernelBackend::pointwise_weight_gradient`], with the inputs x and gradient of the result.
pub const POINTWISE_WEIGHT_GRADIENT: &str = "burn_cpu_kernels.pointwise_weight_gradient";
/// Name of a recorded [`KernelBackend::channel_sums`], with the input x.
pub const CHANNEL_SUMS: &str = "burn_cpu_kernels.channel_sums";

type Recorded = FloatTensor<CaptureBackend>;

impl KernelBackend for CaptureBackend {
    fn silu(x: Recorded) -> Recorded {
        let shape = x.shape();
        record(SILU, [x], shape, Vec::new())
    }

    fn group_norm(
        x: Recorded,
        gamma: Recorded,
        beta: Recorded,
        options: GroupNormOptions,
    ) -> Recorded {
        let shape = x.shape();
        record(GROUP_NORM, [x, gamma, beta], shape, options.scalars())
    }

    fn group_norm_gradient(
        x: Recorded,
        gamma: Recorded,
        beta: Recorded,
        grad: Recorded,
        options: GroupNormOptions,
    ) -> (Recorded, Recorded, Recorded) {
        let shapes = [&x, &gamma, &beta].map(|t| t.shape());
        let inputs = [x, gamma, beta, grad];
        let [on_x, on_gamma, on_beta] =
            record_all(GROUP_NORM_GRADIENT, inputs, shapes, options.scalars());
        (on_x, on_gamma, on_beta)
    }

    fn conv3x3_input_gradient(
        weight: Recorded,
        grad: Recorded,
        stride: Stride,
        [height, width]: [usize; 2],
    ) -> Recorded {
        let shape = Shape::new([grad.shape()[0], weight.shape()[1], height, width]);
        let inputs = [weight, grad];
        record(CONV3X3_INPUT_GRADIENT, inputs, shape, stride.scalars())
    }

    fn conv3x3_weight_gradient(
        x: Recorded,
        weight: Recorded,
        grad: Recorded,
        stride: Stride,
    ) -> Recorded {
        let shape = weight.shape();
        let inputs = [x, weight, grad];
        record(CONV3X3_WEIGHT_GRADIENT, inputs, shape, stride.scalars())
    }

    fn pointwise_input_gradient(weight: Recorded, grad: Recorded) -> Recorded {
        let shape = with_channels(&grad, weight.shape()[0]);
        record(POINTWISE_INPUT_GRADIENT, [weight, grad], shape, Vec::new())
    }

    fn pointwise_weight_gradient(x: Recorded, grad: Recorded) -> Recorded {
        let shape = Shape::new([x.shape()[1], grad.shape()[1]]);
        record(POINTWISE_WEIGHT_GRADIENT, [x, grad], shape, Vec::new())
    }

    fn channel_sums(x: Recorded) -> Recorded {
        let shape = Shape::new([x.shape()[0], x.shape()[1]]);
        record(CHANNEL_SUMS, [x], shape, Vec::new())
    }

    fn conv3x3(x: Recorded, weight: Recorded, bias: Recorded, stride: Stride) -> Recorded {
        let image = x.shape();
        let [height, width] = [image[2], image[3]].map(|pixels| stride.outputs(pixels));
        let shape = Shape::new([image[0], weight.shape()[0], height, width]);
        record(CONV3X3, [x, weight, bias], shape, stride.scalars())
    }

    fn pointwise(x: Recorded, weight: Recorded, bias: Recorded) -> Recorded {
        let shape = with_channels(&x, weight.shape()[1]);
        record(POINTWISE, [x, weight, bias], shape, Vec::new())
    }

    fn self_attention(qkv: Recorded, heads: usize) -> Recorded {
        let shape = with_channels(&qkv, qkv.shape()[1] / 3);
        record(ATTENTION, [qkv], shape, vec![ScalarIr::UInt(heads as u64)])
    }
}

impl GroupNormOptions {
    /// The scalars of a recorded [`GROUP_NORM`].
    fn scalars(self) -> Vec<ScalarIr> {
        let groups = ScalarIr::UInt(self.groups as u64);
        vec![
            groups,
            ScalarIr::Float(self.epsilon),
            ScalarIr::Bool(self.silu),
        ]
    }

    /// The options of a recorded [`GROUP_NORM`], from its scalars.
    #[cfg(feature = "jvp")]
    pub(crate) fn from_scalars(scalars: &[ScalarIr]) -> Option<Self> {
        let &[
            ScalarIr::UInt(groups),
            ScalarIr::Float(epsilon),
            ScalarIr::Bool(silu),
        ] = scalars
        else {
            return None;
        };
        Some(Self {
            groups: groups as usize,
            epsilon,
            silu,
        })
    }
}

impl Stride {
    /// All strides, at the number that records have for them.
    const ALL: [Self; 3] = [Self::One, Self::Two, Self::TwoFromCorner];

    /// The scalar of a recorded convolution.
    fn scalars(self) -> Vec<ScalarIr> {
        let number = Self::ALL.iter().position(|stride| *stride == self);
        vec![ScalarIr::UInt(number.expect("one of all") as u64)]
    }

    /// The stride of a recorded convolution, from its scalars.
    #[cfg(feature = "jvp")]
    pub(crate) fn from_scalars(scalars: &[ScalarIr]) -> Option<Self> {
        let &[ScalarIr::UInt(number)] = scalars else {
            return None;
        };
        Self::ALL.get(number as usize).copied()
    }
}

/// The shape of an image with another number of channels.
fn with_channels(image: &Recorded, channels: usize) -> Shape {
    let shape = image.shape();
    Shape::new([shape[0], channels, shape[2], shape[3]])
}

/// Records one custom operation of one result.
fn record<const N: usize>(
    name: &'static str,
    inputs: [Recorded; N],
    shape: Shape,
    scalars: Vec<ScalarIr>,
) -> Recorded {
    let [out] = record_all(name, inputs, [shape], scalars);
    out
}

/// Records one custom operation.
fn record_all<const N: usize, const M: usize>(
    name: &'static str,
    inputs: [Recorded; N],
    shapes: [Shape; M],
    scalars: Vec<ScalarIr>,
) -> [Recorded; M] {
    let (client, dtype) = (inputs[0].client.clone(), inputs[0].dtype());
    let outputs = shapes.map(|shape| TensorIr::uninit(client.create_empty_handle(), shape, dtype));
    let inputs = inputs.map(|input| input.into_ir());
    let op = CustomOpIr::with_scalars(name, &inputs, &outputs, scalars);
    client.register(OperationIr::Custom(op)).outputs()
}
