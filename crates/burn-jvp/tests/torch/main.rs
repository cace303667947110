//! The same networks with the same weights in PyTorch: values and derivatives agree with `torch.func`.

#[path = "../common/mod.rs"]
mod common;

mod fixture;
mod jvp;
mod networks;
mod second_order;
