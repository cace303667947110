//! The 3×3 convolution with stride 1 that keeps the resolution, by Winograd's minimal filtering F(2×2, 3×3)
//! (Lavin and Gray, arXiv 1509.09308): four outputs cost 16 products instead of 36.
//!
//! A tile is 2×2 outputs and the 4×4 inputs d under them. `Y = Aᵀ[(G w Gᵀ) ⊙ (Bᵀ d B)]A`, summed over the channels:
//! one matrix product `[outputs, inputs]·[inputs, tiles]` for each of the 16 entries. The gradient of the input is
//! the same convolution with the kernel transposed and turned round. The gradient of the weights is the adjoint,
//! `Gᵀ[Σ (A g Aᵀ) ⊙ (Bᵀ d B)]G`.
//!
//! Images are NCHW. They get a border of zeros and are cut into quads: four tiles side by side. Two or four quads
//! fill a vector, up to four vectors a block, whose transforms stay in the cache of a core. The gradient of the weights sums
//! over tiles, so there a vector has channels of one tile, and the images have the channels of a pixel side by side.
//!
//! Results do not depend on the number of threads: every output is one sum over the channels in their
//! order, and the weight gradients of fixed shares of the images are added in their order.

mod buffers;
mod convolution;
mod pixels;
mod shape;
mod stride2;
mod tile_rows;
mod tiles;
mod weight_gradient;
mod weights;

pub use convolution::{forward, input_gradient};
pub use shape::ConvShape;
pub use stride2::{
    Stride2Shape, forward as forward_stride2, input_gradient as input_gradient_stride2,
    weight_gradient as weight_gradient_stride2,
};
pub use weight_gradient::weight_gradient;
pub use weights::PackedWeights;
