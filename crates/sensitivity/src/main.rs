//! Command `sensitivity`: ranks samples by their sensitivity to changes of the training data.

mod check;
mod command;
mod default_model;
mod given_picture;
mod influence;
mod level_plot;
mod model_arguments;
#[cfg(test)]
mod odd_pages;
mod picture_arguments;
mod pretrained_arguments;
mod rank;
mod replay;
mod resolution;
mod run_info;
mod shard;
mod through_arguments;
mod verify;

use std::process::ExitCode;

fn main() -> ExitCode {
    datasway_cli::allocator::keep_memory();
    datasway_cli::finish(command::execute(datasway_cli::parse_all()))
}
