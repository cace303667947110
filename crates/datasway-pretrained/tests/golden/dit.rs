//! `DiTTransformer2DModel`.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, TensorData};
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::parameterization::FlowMatching;
use datasway_pretrained::diffusers::dit::{DiT, DiTConfig};
use datasway_pretrained::state_dict::StateDict;

use crate::case::{Case, cases, check_adjoint, check_neighbours};

/// Flow matching, as scripts/fixtures/dit.py uses the networks.
const FLOW: FlowMatching = FlowMatching { times: 1000.0 };

/// The class of a case, and its network's configuration.
pub fn parts(case: &Case) -> (Option<usize>, serde_json::Value) {
    let class = case.config["class"].as_u64().map(|class| class as usize);
    (class, case.config["config"].clone())
}

/// The weights of a case, with equal embeddings of all blocks where the case says so.
pub fn weights(case: &Case) -> BTreeMap<String, TensorData> {
    let mut weights = case.weights();
    if case.config["kind"] == "shared" {
        let (first, second) = (
            "transformer_blocks.0.norm1.emb.",
            "transformer_blocks.1.norm1.emb.",
        );
        for (name, data) in weights.clone() {
            if let Some(end) = name.strip_prefix(first) {
                weights.insert(format!("{second}{end}"), data);
            }
        }
    }
    weights
}

fn denoiser(case: &Case, dtype: DType) -> impl LearnedDenoiser {
    let (class, config) = parts(case);
    let config = DiTConfig::parse(&config).unwrap();
    assert_eq!(config.shape(), case.shape);
    let dict = StateDict::new(weights(case), &Device::flex(), dtype);
    let network = DiT::load(&config, &dict, class).unwrap();
    dict.finish().unwrap();
    NetworkDenoiser::flat(network, case.shape.iter().product(), FLOW, DiT::forward)
}

#[test]
fn transformers_agree_with_diffusers_in_single_precision() {
    for case in cases("dit.safetensors") {
        case.check(&denoiser(&case, DType::F32), DType::F32, 1e-4);
    }
}

#[test]
fn transformers_agree_with_diffusers_in_double_precision() {
    for case in cases("dit.safetensors") {
        case.check(&denoiser(&case, DType::F64), DType::F64, 1e-9);
    }
}

#[test]
fn products_of_transformers_with_transposed_jacobians_are_adjoint() {
    for case in cases("dit.safetensors") {
        for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 1e-4)] {
            check_adjoint(&case.name, &denoiser(&case, dtype), dtype, tolerance);
        }
    }
}

#[test]
fn each_field_of_a_transformer_changes_its_results() {
    check_neighbours(&cases("dit.safetensors"));
}

#[test]
fn a_class_that_is_not_there_is_refused() {
    let case = &cases("dit.safetensors")[0];
    let config = DiTConfig::parse(&parts(case).1).unwrap();
    let dict = StateDict::new(weights(case), &Device::flex(), DType::F32);
    let message = DiT::load(&config, &dict, Some(5)).unwrap_err();
    assert!(message.contains("the classes 0 to 4"), "{message}");
}

#[test]
fn configurations_of_other_networks_are_refused_by_name() {
    let base = parts(&cases("dit.safetensors")[0]).1;
    let refused = [
        ("in_channels", "4", "latent space"),
        ("out_channels", "5", "out_channels"),
        ("norm_type", "\"layer_norm\"", "norm_type"),
        ("activation_fn", "\"relu\"", "activation_fn"),
        ("num_embeds_ada_norm", "null", "num_embeds_ada_norm"),
        ("sample_size", "9", "multiple of patch_size"),
        ("num_attention_heads", "1000000000", "num_attention_heads"),
        ("num_layers", "-1", "num_layers"),
        ("attention_head_dim", "4096", "too large"),
        ("cross_attention_dim", "768", "cross_attention_dim"),
        ("a_new_field", "1", "a_new_field"),
    ];
    for (field, value, part) in refused {
        let mut config = base.clone();
        config[field] = serde_json::from_str(value).unwrap();
        let message = DiTConfig::parse(&config).unwrap_err();
        assert!(message.contains(part), "{field}: {message}");
    }
}
