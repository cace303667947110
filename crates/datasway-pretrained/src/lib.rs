#![doc = include_str!("../README.md")]
//!
//! # Structure
//!
//! A file is read into a [`StateDict`](state_dict::StateDict). A network takes its tensors from it by their names there,
//! and everything that is left over or missing is an error.

pub mod diffusers;
pub mod edm;
pub mod error;
pub mod fields;
pub mod layers;
pub mod pretrained;
pub mod resampling;
pub mod state_dict;
pub mod weights;

pub use error::PretrainedError;
pub use pretrained::{Pretrained, PretrainedOptions, is_pretrained};
