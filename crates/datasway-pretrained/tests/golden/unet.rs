//! `UNet2DModel`.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::parameterization::Parameterization;
use datasway_pretrained::diffusers::unet::{DiffusersUNet, UNet2DConfig};
use datasway_pretrained::state_dict::StateDict;
use serde_json::{Value, json};

use crate::case::{Case, cases, check_adjoint, check_neighbours};

/// The predictions of scripts/fixtures/unet.py.
struct Prediction {
    /// True if the network gives the score, and takes σ.
    score: bool,
    /// True if the network takes whole time steps only.
    rounded: bool,
}

impl Parameterization for Prediction {
    fn c_skip(&self, _sigma: f64) -> f64 {
        1.0
    }

    fn c_out(&self, sigma: f64) -> f64 {
        if self.score { sigma * sigma } else { -sigma }
    }

    fn c_in(&self, sigma: f64) -> f64 {
        if self.score {
            1.0
        } else {
            1.0 / (1.0 + sigma * sigma).sqrt()
        }
    }

    fn c_noise(&self, sigma: f64) -> f64 {
        if self.score {
            return sigma;
        }
        let time = (125.0 * (sigma.ln() + 5.0)).clamp(0.0, 999.0);
        if self.rounded { time.round() } else { time }
    }
}

fn denoiser(case: &Case, dtype: DType) -> impl LearnedDenoiser {
    let config = UNet2DConfig::parse(&case.config["config"]).unwrap();
    let class = case.config["class"].as_u64().map(|class| class as usize);
    let dict = StateDict::new(case.weights(), &Device::flex(), dtype);
    let network = DiffusersUNet::load(&config, &dict, class).unwrap();
    dict.finish().unwrap();
    let parameterization = Prediction {
        score: case.config["prediction"] == "score",
        rounded: case.config["config"]["time_embedding_type"] == "learned",
    };
    let [c, h, w] = case.shape;
    let forward = move |network: &DiffusersUNet, x: Tensor<2>, time: Tensor<1>| {
        let n = x.dims()[0];
        let pictures = x.reshape([n, c, h, w]);
        network.forward(pictures, time).reshape([n, c * h * w])
    };
    NetworkDenoiser::flat(network, c * h * w, parameterization, forward)
}

#[test]
fn products_of_unets_with_transposed_jacobians_are_adjoint() {
    for case in cases("unet.safetensors") {
        check_adjoint(&case.name, &denoiser(&case, DType::F64), DType::F64, 1e-9);
    }
}

#[test]
fn unets_agree_with_diffusers_in_single_precision() {
    for case in cases("unet.safetensors") {
        case.check(&denoiser(&case, DType::F32), DType::F32, 1e-4);
    }
}

#[test]
fn unets_agree_with_diffusers_in_double_precision() {
    for case in cases("unet.safetensors") {
        case.check(&denoiser(&case, DType::F64), DType::F64, 1e-9);
    }
}

#[test]
fn each_field_of_a_unet_changes_its_results() {
    check_neighbours(&cases("unet.safetensors"));
}

/// The case of the ports of DDPM.
fn port() -> Case {
    cases("unet.safetensors").swap_remove(0)
}

/// The network of a case with these tensors.
fn load(
    config: &Value,
    tensors: BTreeMap<String, TensorData>,
    class: Option<usize>,
) -> Result<DiffusersUNet, String> {
    let config = UNet2DConfig::parse(config)?;
    let dict = StateDict::new(tensors, &Device::flex(), DType::F32);
    let network = DiffusersUNet::load(&config, &dict, class)?;
    dict.finish()?;
    Ok(network)
}

#[test]
fn tensors_that_are_missing_misshapen_or_unknown_are_listed() {
    let case = port();
    let mut tensors = case.weights();
    tensors.remove("mid_block.resnets.1.conv2.bias").unwrap();
    let shape = TensorData::zeros::<f32, _>([4]);
    tensors.insert("conv_norm_out.weight".to_owned(), shape.clone());
    tensors.insert("down_blocks.0.extra.weight".to_owned(), shape);
    let message = load(&case.config["config"], tensors, None).unwrap_err();
    for part in [
        "lacks mid_block.resnets.1.conv2.bias",
        "conv_norm_out.weight ([4] in the place of [8])",
        "beyond the network down_blocks.0.extra.weight",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

/// The tensors under the names that the first files of diffusers have.
fn old_names(tensors: BTreeMap<String, TensorData>) -> BTreeMap<String, TensorData> {
    let mut old = BTreeMap::new();
    for (name, data) in tensors {
        let mut renamed = name.clone();
        for (current, former) in [
            ("to_q", "query"),
            ("to_k", "key"),
            ("to_v", "value"),
            ("to_out.0", "proj_attn"),
        ] {
            renamed = renamed.replace(current, former);
        }
        let (bytes, shape, dtype) = data.into_parts();
        let shape = match *shape.as_slice() {
            [c, d] if renamed != name => vec![c, d, 1, 1],
            _ => shape.to_vec(),
        };
        let data = TensorData::from_bytes(bytes, shape, dtype);
        if renamed.contains("downsamplers.0.conv.") {
            let copy = renamed.replace(".conv.", ".Conv2d_0.");
            old.insert(copy, data.clone());
        }
        old.insert(renamed, data);
    }
    old
}

#[test]
fn files_with_old_names_give_the_same_network() {
    let case = port();
    let config = &case.config["config"];
    let old = old_names(case.weights());
    assert!(old.contains_key("mid_block.attentions.0.proj_attn.weight"));
    assert!(old.contains_key("down_blocks.0.downsamplers.0.Conv2d_0.weight"));
    let x = Tensor::<4>::ones([1, 3, 8, 8], &Device::flex());
    let time = Tensor::<1>::ones([1], &Device::flex()) * 7.0;
    let output = |tensors| {
        let network = load(config, tensors, None).unwrap();
        network.forward(x.clone(), time.clone()).into_data()
    };
    assert_eq!(output(old.clone()), output(case.weights()));

    let mut damaged = old;
    let bias = TensorData::zeros::<f32, _>([8]);
    damaged.insert(
        "down_blocks.0.downsamplers.0.Conv2d_0.bias".to_owned(),
        bias,
    );
    let message = load(config, damaged, None).unwrap_err();
    assert!(message.contains("under two names"), "{message}");
}

#[test]
fn a_class_is_given_if_and_only_if_there_are_classes() {
    let all = cases("unet.safetensors");
    let conditional = all.iter().find(|case| case.name == "class 3").unwrap();
    let refused = |case: &Case, class: Option<usize>, part: &str| {
        let message = load(&case.config["config"], case.weights(), class).unwrap_err();
        assert!(message.contains(part), "{message}");
    };
    refused(conditional, None, "the network has 5 classes");
    refused(conditional, Some(5), "the classes 0 to 4");
    refused(&all[0], Some(0), "the network has no classes");
}

#[test]
fn configurations_of_other_networks_are_refused_by_name() {
    let base = port().config["config"].clone();
    let refused = [
        ("_class_name", "\"UNet2DConditionModel\"", "_class_name"),
        ("out_channels", "4", "out_channels"),
        (
            "down_block_types",
            "[\"KDownBlock2D\", \"DownBlock2D\"]",
            "has KDownBlock2D",
        ),
        (
            "up_block_types",
            "[\"CrossAttnUpBlock2D\", \"UpBlock2D\"]",
            "has CrossAttnUpBlock2D",
        ),
        (
            "up_block_types",
            "[\"UpBlock2D\"]",
            "up_block_types has 1 entries",
        ),
        (
            "up_block_types",
            "[\"SkipUpBlock2D\", \"UpBlock2D\"]",
            "up_block_types",
        ),
        (
            "mid_block_type",
            "\"UNetMidBlock2DCrossAttn\"",
            "mid_block_type",
        ),
        ("downsample_type", "\"fir\"", "downsample_type"),
        ("downsample_padding", "2", "downsample_padding"),
        ("act_fn", "\"elu\"", "act_fn is elu"),
        ("attention_head_dim", "5", "attention_head_dim"),
        ("norm_num_groups", "3", "norm_num_groups"),
        ("norm_num_groups", "null", "norm_num_groups is null"),
        ("norm_eps", "-1", "norm_eps"),
        ("freq_shift", "4", "freq_shift"),
        (
            "resnet_time_scale_shift",
            "\"ada_group\"",
            "resnet_time_scale_shift",
        ),
        (
            "class_embed_type",
            "\"identity\"",
            "class_embed_type is identity",
        ),
        (
            "class_embed_type",
            "\"projection\"",
            "class_embed_type is projection",
        ),
        ("time_embedding_type", "\"learned\"", "num_train_timesteps"),
        (
            "block_out_channels",
            "[1000000000, 8]",
            "block_out_channels",
        ),
        ("block_out_channels", "[16384, 16384]", "too large"),
        ("layers_per_block", "-1", "layers_per_block"),
        ("sample_size", "7", "multiples of 2"),
        ("a_new_field", "1", "a_new_field"),
    ];
    for (field, value, part) in refused {
        let mut config = base.clone();
        config[field] = serde_json::from_str(value).unwrap();
        let message = UNet2DConfig::parse(&config).unwrap_err();
        assert!(message.contains(part), "{field}: {message}");
    }
}

#[test]
fn the_network_of_ddpm_cifar10_has_its_number_of_weights() {
    let config = json!({
        "sample_size": 32,
        "block_out_channels": [128, 256, 256, 256],
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
        "attention_head_dim": null,
        "downsample_padding": 0,
        "flip_sin_to_cos": false,
        "freq_shift": 1,
        "norm_eps": 1e-6,
    });
    let config = UNet2DConfig::parse(&config).unwrap();
    let dict = StateDict::drawn(1, &Device::flex(), DType::F32);
    let network = DiffusersUNet::load(&config, &dict, None).unwrap();
    dict.finish().unwrap();
    assert_eq!(network.num_params(), 35_746_307);
}
