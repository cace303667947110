//! Capture: one custom operation each, so that whoever evaluates the record can call the kernel.

use burn::backend::capture::CaptureBackend;
use burn::backend::ir::{CustomOpIr, OperationIr, OperationOutput, TensorIr};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Shape, TensorMetadata};
use burn_router::RouterClient;

use crate::backend::KernelBackend;

/// Name of a recorded [`KernelBackend::silu`], with the input x.
pub const SILU: &str = "kernels.silu";
/// Name of a recorded [`KernelBackend::conv3x3`], with the inputs x, weight, bias.
pub const CONV3X3: &str = "kernels.conv3x3";

type Recorded = FloatTensor<CaptureBackend>;

impl KernelBackend for CaptureBackend {
    fn silu(x: Recorded) -> Recorded {
        let shape = x.shape();
        record(SILU, [x], shape)
    }

    fn conv3x3(x: Recorded, weight: Recorded, bias: Recorded) -> Recorded {
        let (image, outputs) = (x.shape(), weight.shape()[0]);
        let shape = Shape::new([image[0], outputs, image[2], image[3]]);
        record(CONV3X3, [x, weight, bias], shape)
    }
}

fn record<const N: usize>(name: &'static str, inputs: [Recorded; N], shape: Shape) -> Recorded {
    let (client, dtype) = (inputs[0].client.clone(), inputs[0].dtype());
    let out = TensorIr::uninit(client.create_empty_handle(), shape, dtype);
    let inputs = inputs.map(|input| input.into_ir());
    let op = CustomOpIr::new(name, &inputs, &[out]);
    client.register(OperationIr::Custom(op)).output()
}
