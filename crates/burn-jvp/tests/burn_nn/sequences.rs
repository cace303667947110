//! Recurrent layers, attention, transformers and positions.

use crate::{DOUBLE, centred, check, device, modules};
use burn::nn::attention::*;
use burn::nn::transformer::*;
use burn::nn::*;
use burn::tensor::Tensor;
use burn_jvp::DynTensor;

fn encoder() -> TransformerEncoderConfig {
    TransformerEncoderConfig::new(4, 6, 2, 2).with_dropout(0.0)
}

fn decoder() -> TransformerDecoderConfig {
    TransformerDecoderConfig::new(4, 6, 2, 2).with_dropout(0.0)
}

modules! {
    Rnn: RnnConfig::new(3, 4, true).init(&device()), [centred([2, 5, 3]), centred([2, 4])], |m, i| {
        let state = RnnState::new(i[1].get::<2>());
        m.forward(i[0].get(), Some(state)).0.into()
    };
    BiRnn: BiRnnConfig::new(3, 4, true).init(&device()), [centred([2, 5, 3])],
        |m, i| m.forward(i[0].get(), None).0.into();
    Gru: GruConfig::new(3, 4, true).init(&device()), [centred([2, 5, 3]), centred([2, 4])],
        |m, i| m.forward(i[0].get(), Some(i[1].get())).into();
    BiGru: BiGruConfig::new(3, 4, true).init(&device()), [centred([2, 5, 3])],
        |m, i| m.forward(i[0].get(), None).0.into();
    Lstm: LstmConfig::new(3, 4, true).init(&device()), [centred([2, 5, 3]), centred([2, 4]), centred([2, 4])], |m, i| {
        let state = LstmState::new(i[1].get::<2>(), i[2].get());
        m.forward(i[0].get(), Some(state)).0.into()
    };
    BiLstm: BiLstmConfig::new(3, 4, true).init(&device()), [centred([2, 5, 3])],
        |m, i| m.forward(i[0].get(), None).0.into();
    GateController: GateController::new(3, 4, true, Initializer::XavierNormal { gain: 1.0 }, &device()),
        [centred([2, 3]), centred([2, 4])], |m, i| m.gate_product(i[0].get(), i[1].get()).into();
    MultiHeadAttention: MultiHeadAttentionConfig::new(4, 2).with_dropout(0.0).init(&device()),
        [centred([2, 3, 4]), centred([2, 5, 4]), centred([2, 5, 4])],
        |m, i| m.forward(MhaInput::new(i[0].get(), i[1].get(), i[2].get())).context.into();
    CrossAttention: CrossAttentionConfig::new(4, 6, 2, 1, 2).with_dropout(0.0).init(&device()),
        [centred([2, 3, 4]), centred([2, 5, 6])], |m, i| m.forward(i[0].get(), i[1].get(), None).into();
    PositionWiseFeedForward: PositionWiseFeedForwardConfig::new(4, 6).with_dropout(0.0).init(&device()),
        [centred([2, 3, 4])], |m, i| m.forward(i[0].get::<3>()).into();
    TransformerEncoder: encoder().init(&device()), [centred([2, 3, 4])],
        |m, i| m.forward(TransformerEncoderInput::new(i[0].get())).into();
    TransformerEncoderLayer: TransformerEncoderLayer::new(&encoder(), &device()), [centred([2, 3, 4])],
        |m, i| m.forward(i[0].get(), None, None).into();
    TransformerDecoder: decoder().init(&device()), [centred([2, 3, 4]), centred([2, 5, 4])],
        |m, i| m.forward(TransformerDecoderInput::new(i[0].get(), i[1].get())).into();
    PositionalEncoding: PositionalEncodingConfig::new(4).with_max_sequence_size(6).init(&device()), [centred([2, 3, 4])],
        |m, i| m.forward(i[0].get()).into();
    RotaryEncoding: RotaryEncodingConfig::new(6, 4).init(&device()), [centred([2, 3, 5, 4])],
        |m, i| m.forward(i[0].get::<4>()).into();
}

/// The decoders of a sequence that grows keep what they computed of its beginning.
#[test]
fn transformers_with_a_cache() {
    /// The first tokens of the sequence.
    fn grow(i: &[DynTensor], length: usize) -> Tensor<3> {
        i[0].get::<3>().slice([0..2, 0..length, 0..4])
    }
    check(
        "TransformerEncoder",
        encoder().init(&device()),
        &[centred([2, 3, 4]).into()],
        |m, i| {
            let mut cache = m.new_autoregressive_cache();
            let mut step = |length| {
                let input = TransformerEncoderInput::new(grow(i, length));
                m.forward_autoregressive_inference(input, &mut cache)
            };
            step(1);
            step(2);
            step(3).into()
        },
        DOUBLE,
    );
    check(
        "TransformerDecoder",
        decoder().init(&device()),
        &[centred([2, 3, 4]).into(), centred([2, 5, 4]).into()],
        |m, i| {
            let mut cache = m.new_autoregressive_cache();
            let mut step = |length| {
                let input = TransformerDecoderInput::new(grow(i, length), i[1].get());
                m.forward_autoregressive_inference(input, &mut cache)
            };
            step(1);
            step(2);
            step(3).into()
        },
        DOUBLE,
    );
}
