//! Common parts of the binaries: allocator, checked numbers, output folders, progress, Ctrl-C, messages and exit codes.
//!
//! Linking this crate installs the global allocator, so only binaries may depend on it.

pub mod allocator;
pub mod memory;
pub mod number;
mod options;
mod out;
mod parse;
mod process;
mod progress;
mod repeated;

pub use options::Options;
pub use out::{output_folder, result_folder};
pub use parse::{Parsed, parse, parse_all, parse_words};
pub use process::{finish, print, stop_on_ctrl_c, tell, tell_if};
pub use progress::{decoding_progress, progress_bar};
pub use repeated::{distinct, resolved};
