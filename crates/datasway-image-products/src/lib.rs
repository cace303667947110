//! Products of points with images that stay bytes: distances, softmax weights and means at the speed of a matrix product.
//!
//! For points `x_i`, i = 1…R, and the images `y_j` of a set the terms of a softmax are `−‖x_i − y_j‖²/2σ_i²`, with
//!
//! `‖x − y‖² = ‖x‖² − 2⟨x, y⟩ + ‖y‖²`,
//!
//! so that a matrix product has nearly all of the work. The images are read in tiles, and their bytes become f32 in the tile
//! that is multiplied (`tile.rs`). No copy of the set in another form exists.
//!
//! An image and its mirror image share their products (`layout.rs`): with the parts of x and y that are even and odd under
//! mirroring, `⟨x, y⟩ = ⟨x, y⟩_e + ⟨x, y⟩_o` and `⟨x, mirror y⟩ = ⟨x, y⟩_e − ⟨x, y⟩_o`. A set with its mirror images costs what
//! it costs without them.
//!
//! The products are in f32. Where that could be seen, the distances of the images that matter are computed again in f64
//! (`log_weights.rs`). Sums of tiles are in f64, in an order that depends on the number of images alone (`pass.rs`).

mod layout;
mod log_weights;
mod pass;
mod path_contributions;
mod path_influences;
mod path_loops;
mod path_masses;
mod path_moments;
mod path_rows;
mod path_terms;
#[cfg(test)]
mod path_tests;
mod products;
mod rows;
mod simd;
mod strip;
mod sums;
#[cfg(test)]
mod tests;
mod tile;
mod tile_masses;
mod waves;

pub use layout::ImageTiles;
pub use pass::{Part, sums_over};
pub use path_contributions::{Groups, PathInfluences};
pub use path_influences::path_influences;
pub use path_masses::{PathMasses, bytes_of_pair};
pub use path_moments::path_moments;
pub use path_rows::{PathEvaluation, PathGradients, PathRows};
pub use path_terms::Reference;
pub use rows::Rows;
pub use simd::{SQUARES, byte_square};
pub use sums::Sums;
