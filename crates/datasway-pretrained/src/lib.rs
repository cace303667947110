#![doc = include_str!("../README.md")]
//!
//! # Structure
//!
//! A file is read into a [`StateDict`](state_dict::StateDict). A network takes its tensors from it by their names there,
//! and everything that is left over or missing is an error.

pub mod diffusers;
pub mod edm;
pub mod error;
pub mod export;
pub mod fields;
pub mod layers;
mod loaded;
pub mod network;
mod options;
pub mod pretrained;
pub mod rearrangement;
pub mod resampling;
pub mod state_dict;
pub mod trainable;
pub mod weights;
mod write;

pub use error::PretrainedError;
pub use network::PretrainedNetwork;
pub use options::PretrainedOptions;
pub use pretrained::{Pretrained, is_pretrained};
pub use trainable::{ModelWriter, TrainableModel};
