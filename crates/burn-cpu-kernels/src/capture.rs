//! The operations on the capture device. Each is recorded as one custom operation, so that an evaluation of the record can
//! call the kernel.

use burn::backend::capture::CaptureBackend;
use burn::backend::ir::{CustomOpIr, OperationIr, OperationOutput, ScalarIr, TensorIr};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Shape, TensorMetadata};
use burn_router::RouterClient;

use crate::backend::KernelBackend;
use crate::norm::GroupNormOptions;

/// Name of a recorded [`KernelBackend::silu`], with the input x.
pub const SILU: &str = "burn_cpu_kernels.silu";
/// Name of a recorded [`KernelBackend::group_norm`], with the inputs x, γ, β and the scalars of a [`GroupNormOptions`].
pub const GROUP_NORM: &str = "burn_cpu_kernels.group_norm";
/// Name of a recorded [`KernelBackend::conv3x3`], with the inputs x, weight, bias.
pub const CONV3X3: &str = "burn_cpu_kernels.conv3x3";
/// Name of a recorded [`KernelBackend::pointwise`], with the inputs x, weight, bias.
pub const POINTWISE: &str = "burn_cpu_kernels.pointwise";
/// Name of a recorded [`KernelBackend::self_attention`], with the input `qkv` and the number of heads as scalar.
pub const ATTENTION: &str = "burn_cpu_kernels.attention";

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

    fn conv3x3(x: Recorded, weight: Recorded, bias: Recorded) -> Recorded {
        let (image, outputs) = (x.shape(), weight.shape()[0]);
        let shape = Shape::new([image[0], outputs, image[2], image[3]]);
        record(CONV3X3, [x, weight, bias], shape, Vec::new())
    }

    fn pointwise(x: Recorded, weight: Recorded, bias: Recorded) -> Recorded {
        let (image, outputs) = (x.shape(), weight.shape()[1]);
        let shape = Shape::new([image[0], outputs, image[2], image[3]]);
        record(POINTWISE, [x, weight, bias], shape, Vec::new())
    }

    fn self_attention(qkv: Recorded, heads: usize) -> Recorded {
        let shape = qkv.shape();
        let shape = Shape::new([shape[0], shape[1] / 3, shape[2], shape[3]]);
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

/// Records one custom operation.
fn record<const N: usize>(
    name: &'static str,
    inputs: [Recorded; N],
    shape: Shape,
    scalars: Vec<ScalarIr>,
) -> Recorded {
    let (client, dtype) = (inputs[0].client.clone(), inputs[0].dtype());
    let out = TensorIr::uninit(client.create_empty_handle(), shape, dtype);
    let inputs = inputs.map(|input| input.into_ir());
    let op = CustomOpIr::with_scalars(name, &inputs, &[out], scalars);
    client.register(OperationIr::Custom(op)).output()
}
