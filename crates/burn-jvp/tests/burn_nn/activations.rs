//! Activation functions.

use crate::{centred, device, modules};
use burn::nn::activation::*;

modules! {
    Activation: ActivationConfig::SwiGlu(SwiGluConfig::new(3, 4)).init(&device()), [centred([2, 3])],
        |m, i| m.forward(i[0].get::<2>()).into();
    Celu: CeluConfig::new().init(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    Elu: EluConfig::new().init(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    Gelu: Gelu::new(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    GLU: GLU::new(1), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    HardShrink: HardShrinkConfig::new().init(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    HardSigmoid: HardSigmoidConfig::new().init(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    HardSwish: HardSwish::new(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>() * 4.0).into();
    Hardtanh: HardtanhConfig::new().init(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    LeakyRelu: LeakyReluConfig::new().init(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    LogSigmoid: LogSigmoid::new(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    Mish: Mish::new(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    PRelu: PReluConfig::new().with_num_parameters(3).init(&device()), [centred([2, 3, 4])],
        |m, i| m.forward(i[0].get::<3>()).into();
    Relu: Relu::new(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    Relu6: Relu6::new(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>() * 6.0).into();
    RRelu: RReluConfig::new().init(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    Selu: Selu::new(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    Shrink: ShrinkConfig::new().init(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    Sigmoid: Sigmoid::new(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    SiLU: SiLU::new(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    SoftShrink: SoftShrinkConfig::new().init(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    Softplus: SoftplusConfig::new().init(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    Softsign: Softsign::new(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    SwiGlu: SwiGluConfig::new(3, 4).with_bias(true).init(&device()), [centred([2, 3])],
        |m, i| m.forward(i[0].get::<2>()).into();
    Tanh: Tanh::new(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    Tanhshrink: Tanhshrink::new(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    Threshold: ThresholdConfig::new(0.2, 0.5).init(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    ThresholdedRelu: ThresholdedReluConfig::new().init(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
}
