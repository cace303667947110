//! Diffusion models: noise schedule, preconditioning, U-Net, loss, EMA, samplers and checkpoints.
//!
//! The conventions are those of EDM (Karras et al., *Elucidating the Design Space of Diffusion-Based Generative Models*,
//! arXiv 2206.00364). A noisy image is `x_σ = y + σ·n`, and a model is used through its denoiser `D(x, σ) = E[y | x_σ = x]`.

pub mod checkpoint;
pub mod config;
pub mod denoiser;
pub mod device;
pub mod ema;
pub mod encoding;
pub mod error;
pub mod guidance;
pub mod header;
pub mod image_network;
pub mod learned_denoiser;
pub mod loss;
pub mod network;
pub mod optimizer;
pub mod parameterization;
pub mod pixels;
pub mod precondition;
pub mod random;
pub mod range;
pub mod sampler;
pub mod schedule;
pub mod score_model;
pub mod tensor_file;
pub mod training_noise;
pub mod unet;
pub mod unique;
pub mod validate;
pub mod weights;

pub use error::DiffusionError;
