//! Losses.

use crate::{centred, device, integers, modules, positive};
use burn::nn::loss::*;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};
use burn_jvp::{DynTensor, Jvp, JvpError};

/// Targets of 1 and −1 as floats of the type of `x`.
fn signs<const R: usize>(targets: &DynTensor, x: &Tensor<R>) -> Tensor<R> {
    targets.get_kind::<R, Int>().float().cast(x.dtype())
}

modules! {
    BinaryCrossEntropyLoss: BinaryCrossEntropyLossConfig::new().with_logits(true).init(&device()),
        [centred([4]), integers(&[1, 0, 0, 1], [4])],
        |m, i| m.forward(i[0].get::<1>(), i[1].get_kind::<1, Int>()).into();
    CosineEmbeddingLoss: CosineEmbeddingLossConfig::new().init(),
        [centred([3, 4]), centred([3, 4]), integers(&[1, -1, 1], [3])],
        |m, i| m.forward(i[0].get(), i[1].get(), i[2].get_kind::<1, Int>()).into();
    CrossEntropyLoss: CrossEntropyLossConfig::new().with_smoothing(Some(0.1)).init(&device()),
        [centred([3, 4]), integers(&[3, 0, 2], [3])], |m, i| m.forward(i[0].get(), i[1].get_kind::<1, Int>()).into();
    CTCLoss: CTCLossConfig::new().init(),
        [centred([6, 2, 4]), integers(&[1, 2, 2, 3, 1, 0], [2, 3]), integers(&[6, 5], [2]), integers(&[3, 2], [2])],
        |m, i| {
            let log_probs = log_softmax(i[0].get::<3>(), 2);
            let lengths = [2, 3].map(|n| i[n].get_kind::<1, Int>());
            let [inputs, targets] = lengths;
            m.forward(log_probs, i[1].get_kind::<2, Int>(), inputs, targets).into()
        };
    GaussianNLLLoss: GaussianNLLLossConfig::new().init(), [centred([3, 4]), centred([3, 4]), positive([3, 4])],
        |m, i| m.forward(i[0].get::<2>(), i[1].get(), i[2].get(), Reduction::Mean).into();
    HingeEmbeddingLoss: HingeEmbeddingLossConfig::new().init(),
        [positive([2, 3]), integers(&[1, -1, 1, 1, -1, -1], [2, 3])],
        |m, i| {
            let x = i[0].get::<2>();
            let targets = signs(&i[1], &x);
            m.forward(x, targets, Reduction::Sum).into()
        };
    HuberLoss: HuberLossConfig::new(0.5).init(), [centred([3, 4]), centred([3, 4])],
        |m, i| m.forward(i[0].get::<2>(), i[1].get(), Reduction::Mean).into();
    KLDivLoss: KLDivLossConfig::new().init(), [centred([3, 4]), positive([3, 4])],
        |m, i| m.forward(log_softmax(i[0].get::<2>(), 1), i[1].get(), Reduction::Sum).into();
    LpLoss: LpLossConfig::new(3.0).init(), [centred([3, 4]), centred([3, 4])],
        |m, i| m.forward(i[0].get::<2>(), i[1].get(), Reduction::Mean).into();
    MarginRankingLoss: MarginRankingLossConfig::new().init(),
        [centred([2, 3]), centred([2, 3]), integers(&[1, -1, 1, 1, -1, -1], [2, 3])],
        |m, i| {
            let x = i[0].get::<2>();
            let targets = signs(&i[2], &x);
            m.forward(x, i[1].get(), targets, Reduction::Mean).into()
        };
    MseLoss: MseLoss::new(), [centred([3, 4]), centred([3, 4])],
        |m, i| m.forward(i[0].get::<2>(), i[1].get(), Reduction::Mean).into();
    MultiMarginLoss: MultiMarginLossConfig::new().init(), [centred([3, 4]), integers(&[3, 0, 2], [3])],
        |m, i| m.forward(i[0].get(), i[1].get_kind::<1, Int>(), Reduction::Mean).into();
    RNNTLoss: RNNTLossConfig::new().init(),
        [centred([2, 4, 3, 5]), integers(&[1, 2, 3, 4], [2, 2]), integers(&[4, 3], [2]), integers(&[2, 1], [2])],
        |m, i| {
            let lengths = [2, 3].map(|n| i[n].get_kind::<1, Int>());
            let [logits, targets] = lengths;
            m.forward(i[0].get(), i[1].get_kind::<2, Int>(), logits, targets).into()
        };
    SmoothL1Loss: SmoothL1LossConfig::new().init(), [centred([3, 4]), centred([3, 4])],
        |m, i| m.forward(i[0].get::<2>(), i[1].get()).into();
    SoftMarginLoss: SoftMarginLoss::new(), [centred([2, 3]), integers(&[1, -1, 1, 1, -1, -1], [2, 3])],
        |m, i| {
            let x = i[0].get::<2>();
            let targets = signs(&i[1], &x);
            m.forward(x, targets, Reduction::Mean).into()
        };
    TripletMarginLoss: TripletMarginLossConfig::new().init(), [centred([3, 4]), centred([3, 4]), centred([3, 4])],
        |m, i| m.forward(i[0].get(), i[1].get(), i[2].get(), Reduction::Mean).into();
}

#[test]
fn the_poisson_loss_cannot_be_recorded() {
    let jvp = Jvp::new(|m: &PoissonNllLoss, i: &[DynTensor]| {
        m.forward(i[0].get::<1>(), i[1].get(), Reduction::Mean)
            .into()
    });
    let inputs = [positive([3]).into(), positive([3]).into()];
    let error = jvp
        .call(
            &PoissonNllLossConfig::new().init(),
            &inputs,
            &[Some(positive([1, 3]).into()), None],
        )
        .expect_err("it reads its targets");
    assert!(matches!(error, JvpError::Capture(_)), "{error}");
}
