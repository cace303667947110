//! Command `sensitivity`: ranks samples by their sensitivity to changes of the training data.

mod check;
mod command;
mod default_model;
mod influence;
mod model_arguments;
#[cfg(test)]
mod odd_pages;
mod rank;
mod run_info;
mod through_arguments;
mod verify;

use std::process::ExitCode;

fn main() -> ExitCode {
    datasway_cli::allocator::keep_memory();
    datasway_cli::finish(command::execute(datasway_cli::parse()))
}
