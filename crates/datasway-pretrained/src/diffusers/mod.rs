//! Models of diffusers.

pub mod dit;
pub mod folder;
pub mod scheduler;
pub mod unet;
