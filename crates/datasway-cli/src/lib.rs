//! What the commands share: checked numbers, output folders, Ctrl-C and the way they end.

pub mod allocator;
pub mod memory;
pub mod number;
mod out;
mod parse;
mod process;
mod repeated;

pub use out::{output_folder, result_folder};
pub use parse::parse;
pub use process::{finish, print, stop_on_ctrl_c, tell};
pub use repeated::{distinct, resolved};
