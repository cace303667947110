//! `DiTTransformer2DModel`: the diffusion transformer with adaptive normalisation (Peebles and Xie, *Scalable Diffusion Models
//! with Transformers*, arXiv 2212.09748), on pixels.

mod block;
mod conditioner;
mod config;
mod names;
mod network;
mod positions;

pub use config::{DiTConfig, FeedForwardActivation};
pub use network::DiT;
