//! The networks of other libraries as one type.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use datasway_diffusion::image_network::ImageNetwork;
use datasway_diffusion::learned_denoiser::LearnedDenoiser;
use datasway_diffusion::network::NetworkDenoiser;
use datasway_diffusion::parameterization::Parameterization;
use datasway_diffusion::pixels::{CentredPixels, PixelRange};

use crate::diffusers::dit::{DiT, DiTConfig};
use crate::diffusers::unet::{DiffusersUNet, UNet2DConfig, current_names};
use crate::edm::{EdmNetwork, EdmPlan};
use crate::state_dict::StateDict;

/// A network of another library.
#[derive(Module, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a process has one or two of them, whose weights are elsewhere"
)]
pub enum PretrainedNetwork {
    /// A `UNet2DModel` of diffusers.
    UNet(DiffusersUNet),
    /// A `DiTTransformer2DModel` of diffusers.
    DiT(DiT),
    /// A network of NVlabs/edm.
    Edm(EdmNetwork),
}

impl ImageNetwork for PretrainedNetwork {
    fn forward(&self, x: Tensor<4>, c_noise: Tensor<1>) -> Tensor<4> {
        match self {
            Self::UNet(network) => network.forward(x, c_noise),
            Self::DiT(network) => {
                let [n, c, h, w] = x.dims();
                let flat = network.forward(x.reshape([n, c * h * w]), c_noise);
                flat.reshape([n, c, h, w])
            }
            Self::Edm(network) => network.forward(x, c_noise),
        }
    }
}

impl PretrainedNetwork {
    /// The denoiser of points with pixels of [-1, 1], for a network with pictures of this shape and pixels of this range.
    pub fn denoiser(
        self,
        [channels, height, width]: [usize; 3],
        parameterization: Arc<dyn Parameterization>,
        pixels: PixelRange,
    ) -> Box<dyn LearnedDenoiser> {
        let d = channels * height * width;
        let forward = move |network: &Self, x: Tensor<2>, level: Tensor<1>| {
            let n = x.dims()[0];
            let images = x.reshape([n, channels, height, width]);
            network.forward(images, level).reshape([n, d])
        };
        let denoiser = NetworkDenoiser::flat(self, d, parameterization, forward);
        match pixels {
            PixelRange::MinusOneToOne => Box::new(denoiser),
            PixelRange::ZeroToOne => Box::new(CentredPixels(Box::new(denoiser))),
        }
    }

    /// True for the path of a parameter that is never trained: the frequencies of a Fourier embedding.
    pub fn is_constant(path: &str) -> bool {
        path.ends_with("features.fourier")
    }
}

/// The configuration of a network, from which it takes its tensors.
#[derive(Debug, Clone)]
pub enum NetworkPlan {
    /// Of a `UNet2DModel`.
    UNet(UNet2DConfig),
    /// Of a `DiTTransformer2DModel`.
    DiT(DiTConfig),
    /// Of a network of NVlabs/edm.
    Edm(EdmPlan),
}

impl NetworkPlan {
    /// Takes the tensors of the network, for one class if it is conditional.
    ///
    /// # Errors
    /// If there is no such class, or a file contradicts itself. [`StateDict::finish`] has the tensors that are missing or left over.
    pub fn load(
        &self,
        state: &StateDict,
        class: Option<usize>,
    ) -> Result<PretrainedNetwork, String> {
        Ok(match self {
            Self::UNet(config) => {
                PretrainedNetwork::UNet(DiffusersUNet::load(config, state, class)?)
            }
            Self::DiT(config) => PretrainedNetwork::DiT(DiT::load(config, state, class)?),
            Self::Edm(plan) => PretrainedNetwork::Edm(plan.network(state, class)),
        })
    }

    /// The number of weights of the network, approximately; none if its configuration does not say.
    pub fn numbers(&self) -> Option<u64> {
        match self {
            Self::UNet(config) => Some(config.numbers()),
            Self::DiT(config) => Some(config.numbers()),
            Self::Edm(_) => None,
        }
    }

    /// The tensors of a file by the names of today's version of the library, each once.
    ///
    /// # Errors
    /// If two copies of a tensor differ.
    pub fn current_names(
        &self,
        tensors: BTreeMap<String, TensorData>,
    ) -> Result<BTreeMap<String, TensorData>, String> {
        match self {
            Self::UNet(_) => current_names(tensors),
            Self::DiT(_) | Self::Edm(_) => Ok(tensors),
        }
    }

    /// The name of the tensor that a tensor may be a copy of.
    pub fn original_of(&self, name: &str) -> Option<String> {
        match self {
            // diffusers has the embedding of time and class once for every block.
            Self::DiT(_) => {
                let (block, tensor) = name
                    .strip_prefix("transformer_blocks.")?
                    .split_once(".norm1.emb.")?;
                (block != "0").then(|| format!("transformer_blocks.0.norm1.emb.{tensor}"))
            }
            Self::UNet(_) | Self::Edm(_) => None,
        }
    }
}
