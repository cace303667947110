//! A U-Net of Datasway as a `UNet2DModel` of diffusers with an `EDMEulerScheduler`.
//!
//! Blocks, attention, skips and resampling of the two are the same, and the scheduler has EDM's preconditioning with `sigma_data`.
//! Two things are not the same for every configuration.
//!
//! - The frequencies of the noise level are `32^(i/last)`, i to `last = channels/2 − 1`. Those of diffusers are
//!   `10000^(−i/(half − freq_shift))`, the same for `freq_shift = half + last·ln 10000/ln 32`.
//! - A `UNet2DModel` has one number of groups for all its normalisations, and its first convolution gives the channels of its first
//!   level. A network without these is refused.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use datasway_diffusion::DiffusionError;
use datasway_diffusion::checkpoint::Checkpoint;
use datasway_diffusion::config::UNetConfig;
use datasway_diffusion::schedule::{RHO, SIGMA_MAX, SIGMA_MIN};
use datasway_diffusion::unet::{MAX_FREQUENCY, UNet, default_groups};
use datasway_diffusion::weights::shapes;
use serde_json::{Value, json};

use crate::PretrainedError;
use crate::diffusers::folder::{CONFIG, SCHEDULER_CONFIG, scheduler_folder};
use crate::write::{make, put_json};

/// Longest period of the frequencies of diffusers, divided by 2π.
const MAX_PERIOD: f64 = 10_000.0;

/// The number of groups of all normalisations of a network that has a form in diffusers.
///
/// # Errors
/// A sentence that says which part of the network has none, and which setting gives one that has.
pub fn check(network: &UNetConfig) -> Result<usize, DiffusionError> {
    let refused = |message: String| Err(DiffusionError::Unsupported(message));
    if network.multipliers[0] != 1 {
        return refused(format!(
            "network.multipliers begins with {}, and the first convolution of a UNet2DModel gives the channels of its first level: \
             train with multipliers that begin with 1",
            network.multipliers[0]
        ));
    }
    if network.channels < 4 || !network.channels.is_multiple_of(2) {
        return refused(format!(
            "network.channels is {}, and the frequencies of a UNet2DModel agree with ours for an even number from 4: train with such",
            network.channels
        ));
    }
    if let Some(groups) = network.groups {
        return Ok(groups);
    }
    let shapes = shapes(&UNet::new(network, &Device::flex())?);
    let normalised = shapes.iter().filter(|(path, _)| path.ends_with("gamma"));
    let mut groups: Vec<usize> = normalised
        .map(|(_, shape)| default_groups(shape[0]))
        .collect();
    groups.sort_unstable();
    groups.dedup();
    match groups[..] {
        [groups] => Ok(groups),
        _ => refused(format!(
            "the normalisations of this network have {} groups, and those of a UNet2DModel all have the same number: train with \
             network.groups={}",
            listed(&groups),
            groups[0]
        )),
    }
}

fn listed(numbers: &[usize]) -> String {
    let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
    numbers.join(", ")
}

/// Writes the averaged weights of a checkpoint into `unet/`, and the preconditioning into `scheduler/`.
///
/// There is no `model_index.json`: no pipeline of diffusers samples with this scheduler, because they do not scale the network's
/// input.
///
/// # Errors
/// If the network has no form in diffusers, or a file cannot be written.
pub fn write(checkpoint: &Checkpoint, folder: &Path) -> Result<(), PretrainedError> {
    let network = &checkpoint.header.network;
    let groups = check(network)?;
    let unet = folder.join("unet");
    make(&unet)?;
    let tensors = tensors(&checkpoint.ema);
    crate::weights::write(&unet.join(crate::weights::NAMES[0]), &tensors)?;
    put_json(&unet.join(CONFIG), &unet_config(network, groups))?;
    let scheduler = scheduler_folder(folder);
    make(&scheduler)?;
    let config = scheduler_config(checkpoint.header.sigma_data);
    put_json(&scheduler.join(SCHEDULER_CONFIG), &config)
}

/// The configuration of the `UNet2DModel`.
fn unet_config(network: &UNetConfig, groups: usize) -> Value {
    let levels = network.multipliers.len();
    let attends = |level: usize| network.attention.contains(&(network.image_size >> level));
    let blocks = |names: [&str; 2], levels: &mut dyn Iterator<Item = usize>| -> Vec<String> {
        let names = levels.map(|level| names[usize::from(attends(level))].to_owned());
        names.collect()
    };
    let channels = network.multipliers.iter().map(|m| network.channels * m);
    let half = (network.channels / 2) as f64;
    json!({
        "_class_name": "UNet2DModel",
        "act_fn": "silu",
        "add_attention": attends(levels - 1),
        "attention_head_dim": network.head_channels,
        "block_out_channels": channels.collect::<Vec<usize>>(),
        "center_input_sample": false,
        "down_block_types": blocks(["DownBlock2D", "AttnDownBlock2D"], &mut (0..levels)),
        "downsample_padding": 1,
        "flip_sin_to_cos": true,
        "freq_shift": half + (half - 1.0) * MAX_PERIOD.ln() / MAX_FREQUENCY.ln(),
        "in_channels": network.image_channels,
        "layers_per_block": network.blocks,
        "mid_block_type": "UNetMidBlock2D",
        "norm_eps": 1e-5,
        "norm_num_groups": groups,
        "out_channels": network.image_channels,
        "resnet_time_scale_shift": "default",
        "sample_size": network.image_size,
        "time_embedding_type": "positional",
        "up_block_types": blocks(["UpBlock2D", "AttnUpBlock2D"], &mut (0..levels).rev()),
    })
}

/// The configuration of the `EDMEulerScheduler`.
fn scheduler_config(sigma_data: f64) -> Value {
    json!({
        "_class_name": "EDMEulerScheduler",
        "final_sigmas_type": "zero",
        "num_train_timesteps": 1000,
        "prediction_type": "epsilon",
        "rho": RHO,
        "sigma_data": sigma_data,
        "sigma_max": SIGMA_MAX,
        "sigma_min": SIGMA_MIN,
        "sigma_schedule": "karras",
    })
}

/// The tensors of the `UNet2DModel`, in the layout of PyTorch.
fn tensors(weights: &BTreeMap<String, TensorData>) -> BTreeMap<String, TensorData> {
    let mut tensors = BTreeMap::new();
    for (path, data) in weights {
        let (module, parameter) = path.rsplit_once('.').unwrap_or(("", path));
        let parameter = match parameter {
            "gamma" => "weight",
            "beta" => "bias",
            other => other,
        };
        let is_linear = parameter == "weight" && data.shape().num_dims() == 2;
        let data = if is_linear {
            transposed(data)
        } else {
            data.clone()
        };
        let name = module_name(module);
        if let Some(attention) = name.strip_suffix("qkv") {
            for (part, data) in ["to_q", "to_k", "to_v"].into_iter().zip(thirds(&data)) {
                tensors.insert(format!("{attention}{part}.{parameter}"), data);
            }
        } else if name.ends_with("conv_shortcut") && is_linear {
            tensors.insert(format!("{name}.{parameter}"), as_convolution(data));
        } else {
            tensors.insert(format!("{name}.{parameter}"), data);
        }
    }
    tensors
}

/// The name in diffusers of a module of the U-Net.
fn module_name(module: &str) -> String {
    let top = match module {
        "embedding.linear1" => Some("time_embedding.linear_1"),
        "embedding.linear2" => Some("time_embedding.linear_2"),
        "input" => Some("conv_in"),
        "output_norm" => Some("conv_norm_out"),
        "output" => Some("conv_out"),
        _ => None,
    };
    if let Some(name) = top {
        return name.to_owned();
    }
    let parts: Vec<&str> = module.split('.').collect();
    match parts[..] {
        [way @ ("down" | "up"), level, "blocks", block, ref rest @ ..] => {
            let (kind, name) = block_part(rest);
            format!("{way}_blocks.{level}.{kind}.{block}.{name}")
        }
        ["down", level, "resample"] => format!("down_blocks.{level}.downsamplers.0.conv"),
        ["up", level, "resample"] => format!("up_blocks.{level}.upsamplers.0.conv"),
        ["middle", block, ref rest @ ..] => {
            let (kind, name) = block_part(rest);
            format!("mid_block.{kind}.{block}.{name}")
        }
        _ => module.to_owned(),
    }
}

/// The list that a part of a block is in, and its name there.
fn block_part(rest: &[&str]) -> (&'static str, String) {
    match rest {
        ["attention", "norm"] => ("attentions", "group_norm".to_owned()),
        ["attention", "output", "linear"] => ("attentions", "to_out.0".to_owned()),
        ["attention", inner, ..] => ("attentions", (*inner).to_owned()),
        ["embedding"] => ("resnets", "time_emb_proj".to_owned()),
        ["skip", "linear"] => ("resnets", "conv_shortcut".to_owned()),
        other => ("resnets", other.join(".")),
    }
}

/// `[rows, columns]` to `[columns, rows]`.
fn transposed(data: &TensorData) -> TensorData {
    Tensor::<2>::from_data(data.clone(), &Device::flex())
        .transpose()
        .into_data()
}

/// A matrix `[rows, columns]` as the weight of a 1×1 convolution.
fn as_convolution(data: TensorData) -> TensorData {
    let shape = data.shape().iter().copied().chain([1, 1]);
    let shape: Vec<usize> = shape.collect();
    let (bytes, _, dtype) = data.into_parts();
    TensorData::from_bytes(bytes, shape, dtype)
}

/// A tensor in three parts along its first dimension.
fn thirds(data: &TensorData) -> [TensorData; 3] {
    let mut shape: Vec<usize> = data.shape().iter().copied().collect();
    shape[0] /= 3;
    let count: usize = shape.iter().product();
    let values: Vec<f32> = data.iter().collect();
    [0, 1, 2].map(|i| TensorData::new(values[i * count..(i + 1) * count].to_vec(), shape.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(channels: usize, multipliers: &[usize], groups: Option<usize>) -> UNetConfig {
        UNetConfig {
            image_channels: 1,
            image_size: 8,
            channels,
            multipliers: multipliers.to_vec(),
            blocks: 1,
            attention: vec![4],
            head_channels: channels,
            groups,
        }
    }

    #[test]
    fn a_network_without_a_form_in_diffusers_is_refused_with_the_setting_that_has_one() {
        for (network, says) in [
            (
                network(32, &[1, 2], None),
                "8, 16, 24, 32 groups, and those of a UNet2DModel all have the same number: train with network.groups=8",
            ),
            (network(32, &[2, 2], None), "multipliers begins with 2"),
            (network(3, &[1], Some(1)), "network.channels is 3"),
        ] {
            let error = check(&network).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(check(&network(32, &[1, 2], Some(8))).unwrap(), 8);
        assert_eq!(check(&network(128, &[1, 2], None)).unwrap(), 32);
    }
}
