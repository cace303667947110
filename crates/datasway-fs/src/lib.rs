//! Files and folders that are complete or absent, and small helpers for result files.
//!
//! A file is written under a temporary name in the same folder, flushed to disk and then renamed.

pub mod arrays;
pub mod claim;
mod count;
pub mod csv;
mod leftovers;
mod line;
pub mod names;
pub mod output;
pub mod process;
mod read;
pub mod shard;
mod write;

pub use count::{counted, grouped, plain_plural, plural};
pub use leftovers::remove_leftovers;
pub use line::one_line;
pub use read::{ReadError, read, read_text};
pub use write::{WriteError, ensure_writable, folder_of, write, write_with};
