//! `UNet2DModel`: the convolutional network of most unconditional models of diffusers.
//!
//! Three flavours cover most of them: the ports of DDPM, the defaults of the library, and the first with conditioning by scale
//! and shift. NCSN++ has the same class.

mod attention;
mod block_type;
mod config;
mod embedding;
mod keys;
mod levels;
mod limits;
mod network;
mod parse;
mod plan;
mod resnet;
mod step;

pub use block_type::{BlockType, LevelStep, ResamplingType};
pub use config::{Activation, ClassEmbedding, TimeConditioning, TimeEmbeddingType, UNet2DConfig};
pub use keys::current as current_names;
pub use network::DiffusersUNet;
