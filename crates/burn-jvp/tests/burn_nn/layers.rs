//! Layers of images and of features.

use crate::{SINGLE, centred, device, integers, modules, positive};
use burn::nn::conv::*;
use burn::nn::interpolate::{Interpolate1dConfig, Interpolate2dConfig, InterpolateMode};
use burn::nn::norm::*;
use burn::nn::pool::*;
use burn::nn::*;
use burn::tensor::Int;

modules! {
    Linear: LinearConfig::new(4, 3).init(&device()), [centred([2, 5, 4])], |m, i| m.forward(i[0].get::<3>()).into();
    Conv1d: Conv1dConfig::new(4, 6, 3).with_groups(2).with_padding(PaddingConfig1d::Same).init(&device()),
        [centred([2, 4, 7])], |m, i| m.forward(i[0].get()).into();
    Conv2d: Conv2dConfig::new([4, 6], [3, 2]).with_groups(2).with_stride([2, 1]).with_dilation([1, 2]).init(&device()),
        [centred([2, 4, 6, 5])], |m, i| m.forward(i[0].get()).into();
    Conv3d: Conv3dConfig::new([2, 3], [2, 3, 2]).with_padding(PaddingConfig3d::Explicit(1, 0, 1)).init(&device()),
        [centred([2, 2, 3, 4, 3])], |m, i| m.forward(i[0].get()).into();
    ConvTranspose1d: ConvTranspose1dConfig::new([4, 6], 3).with_groups(2).with_stride(2).init(&device()),
        [centred([2, 4, 5])], |m, i| m.forward(i[0].get()).into();
    ConvTranspose2d: ConvTranspose2dConfig::new([2, 3], [3, 2]).with_stride([2, 1]).with_padding([1, 0])
            .with_padding_out([1, 0]).init(&device()),
        [centred([2, 2, 3, 4])], |m, i| m.forward(i[0].get()).into();
    ConvTranspose3d: ConvTranspose3dConfig::new([2, 3], [2, 3, 2]).init(&device()),
        [centred([2, 2, 2, 3, 2])], |m, i| m.forward(i[0].get()).into();
    DeformConv2d: DeformConv2dConfig::new([2, 3], [3, 3]).with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).init(&device()),
        [centred([2, 2, 4, 5]), centred([2, 18, 4, 5]), positive([2, 9, 4, 5])],
        |m, i| m.forward(i[0].get(), i[1].get(), Some(i[2].get())).into();
    Embedding: EmbeddingConfig::new(5, 3).init(&device()), [integers(&[4, 0, 2, 2, 1, 0], [2, 3])],
        |m, i| m.forward(i[0].get_kind::<2, Int>()).into();
    Unfold4d: Unfold4dConfig::new([2, 3]).with_stride([1, 2]).init(), [centred([2, 3, 4, 5])],
        |m, i| m.forward(i[0].get()).into();
    Fold4d: Fold4dConfig::new([4, 5], [2, 3]).init(), [centred([2, 12, 9])], |m, i| m.forward(i[0].get()).into();
    PixelShuffle: PixelShuffleConfig::new(2).init(), [centred([2, 8, 2, 3])], |m, i| m.forward(i[0].get()).into();
    PixelUnshuffle: PixelUnshuffleConfig::new(2).init(), [centred([2, 2, 4, 6])], |m, i| m.forward(i[0].get()).into();
    Interpolate1d: Interpolate1dConfig::new().with_output_size(Some(7)).with_mode(InterpolateMode::Linear).init(),
        [centred([2, 3, 4])], |m, i| m.forward(i[0].get()).into();
    Interpolate2d: Interpolate2dConfig::new().with_output_size(Some([7, 3])).with_mode(InterpolateMode::Cubic).init(),
        [centred([2, 3, 4, 5])], |m, i| m.forward(i[0].get()).into();
    AdaptiveAvgPool1d: AdaptiveAvgPool1dConfig::new(3).init(), [centred([2, 3, 7])], |m, i| m.forward(i[0].get()).into();
    AdaptiveAvgPool2d: AdaptiveAvgPool2dConfig::new([2, 3]).init(), [centred([2, 3, 5, 4])],
        |m, i| m.forward(i[0].get()).into();
    AdaptiveAvgPool3d: AdaptiveAvgPool3dConfig::new([2, 1, 3]).init(), [centred([2, 3, 3, 2, 4])],
        |m, i| m.forward(i[0].get()).into();
    AvgPool1d: AvgPool1dConfig::new(3).with_stride(2).init(), [centred([2, 3, 7])], |m, i| m.forward(i[0].get()).into();
    AvgPool2d: AvgPool2dConfig::new([2, 3]).with_strides([1, 2]).init(), [centred([2, 3, 4, 5])],
        |m, i| m.forward(i[0].get()).into();
    MaxPool1d: MaxPool1dConfig::new(3).with_stride(2).init(), [centred([2, 3, 7])], |m, i| m.forward(i[0].get()).into();
    MaxPool2d: MaxPool2dConfig::new([2, 3]).with_strides([1, 2]).init(), [centred([2, 3, 4, 5])],
        |m, i| m.forward(i[0].get()).into();
    GroupNorm: GroupNormConfig::new(2, 4).init(&device()), [centred([2, 4, 3, 2])],
        |m, i| m.forward(i[0].get::<4>()).into();
    InstanceNorm: InstanceNormConfig::new(3).init(&device()), [centred([2, 3, 4, 2])],
        |m, i| m.forward(i[0].get::<4>()).into();
    LayerNorm: LayerNormConfig::new(5).init(&device()), [centred([2, 3, 5])], |m, i| m.forward(i[0].get::<3>()).into();
    RmsNorm: RmsNormConfig::new(5).init(&device()), [centred([2, 3, 5])], |m, i| m.forward(i[0].get::<3>()).into(),
        SINGLE;
    LocalResponseNorm: LocalResponseNormConfig::new(3).init(), [centred([2, 4, 3, 2])],
        |m, i| m.forward(i[0].get::<4>()).into();
    Normalization: NormalizationConfig::Layer(LayerNormConfig::new(5)).init(&device()), [centred([2, 3, 5])],
        |m, i| m.forward(i[0].get::<3>()).into();
    CosineSimilarity: CosineSimilarityConfig::new().init(), [centred([3, 4]), centred([3, 4])],
        |m, i| m.forward(i[0].get(), i[1].get()).into();
    PairwiseDistance: PairwiseDistanceConfig::new().init(), [centred([3, 4]), centred([3, 4])],
        |m, i| m.forward(i[0].get(), i[1].get()).into();
    Identity: Identity::new(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    // The identity of inference is recorded.
    Dropout: DropoutConfig::new(0.5).init(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    GaussianNoise: GaussianNoiseConfig::new(0.5).init(), [centred([3, 4])], |m, i| m.forward(i[0].get::<2>()).into();
    BatchNorm: BatchNormConfig::new(3).init(&device()), [centred([2, 3, 4])], |m, i| m.forward(i[0].get::<3>()).into();
}
