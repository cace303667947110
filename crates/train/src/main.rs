//! `cargo run -p train`: trains a U-Net score model on an image data set.

mod classifier;
mod command;
mod configuration;
mod export;
mod fine_tuning;
mod images;
mod place;
mod progress;
mod sample_grid;
mod score_model;

use std::process::ExitCode;

use command::{Command, TrainArgs};

fn main() -> ExitCode {
    datasway_cli::allocator::keep_memory();
    let arguments: TrainArgs = datasway_cli::parse();
    datasway_cli::finish(match &arguments.command {
        Some(Command::Classifier(classifier)) => classifier::run(classifier),
        None => match &arguments.from {
            Some(model) => fine_tuning::run(&arguments, model),
            None => score_model::run(&arguments),
        },
    })
}
