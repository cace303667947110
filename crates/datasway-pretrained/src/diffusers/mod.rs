//! Models of diffusers.

pub mod dit;
