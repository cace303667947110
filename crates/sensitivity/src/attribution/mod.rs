//! `sensitivity influence`: which training images made a sample what it is.

mod groups;
mod output;
mod question;

use std::path::PathBuf;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use sensitivity::influence::run;
use sensitivity::measure::Images;

use crate::arguments::Common;
use crate::facts;

/// For each sample the influence of every training image on what you ask of it, by one sweep back through the sampler:
/// which images made it so, and which stood against it. Writes tensors, tables and a page. Unless told otherwise, what a
/// model learns from an image is that of the blurred training set: --bandwidth auto.
#[derive(clap::Args)]
pub struct Arguments {
    /// What is asked of a sample; repeatable.
    /// principal: how far it is along the line on which training images move it most.
    /// region:X,Y,WIDTH,HEIGHT or region:MASK.png: the mean of its pixels there.
    /// image:PATH or image:INDEX: its squared distance to that image, or that training image.
    /// log-odds:FILE.safetensors:LABEL: the log-odds of a label, such as attr:Eyeglasses, by a classifier of `train classifier`.
    /// linear:FILE.safetensors:TENSOR: its product with a direction of d numbers, or of `[n, d]`, one for each sample
    #[arg(
        long = "of",
        value_name = "FUNCTIONAL",
        default_value = "principal",
        verbatim_doc_comment
    )]
    of: Vec<String>,
    /// Samples to draw
    #[arg(long, default_value_t = 16)]
    samples: usize,
    /// Images to show at either end for each sample
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    top: usize,
    #[command(flatten)]
    common: Common,
    /// Leave training images out of the page
    #[arg(long)]
    no_photos: bool,
    /// Where the results go
    #[arg(long, default_value = "runs/influence")]
    out: PathBuf,
}

/// Answers the questions and writes the folder.
pub fn execute(mut arguments: Arguments) -> Result<()> {
    arguments.common.choose_form(false);
    let model = arguments.common.model()?;
    let settings = arguments.common.settings(arguments.samples, &model)?;
    let images = Images::new(&model.images, model.mirrored, &model.device);
    let questions = arguments
        .of
        .iter()
        .map(|text| question::parse(text, &model))
        .collect::<Result<Vec<_>>>()?;
    eprintln!(
        "{} samples of {}: which of its {} training images made them so?",
        arguments.samples,
        model.name,
        model.images.len()
    );
    let bar = ProgressBar::new(1000);
    bar.set_style(ProgressStyle::with_template(
        "{bar:30} {percent} %  {eta} left",
    )?);
    let results = run(
        &model.network,
        &images,
        &questions,
        &settings,
        arguments.top,
        |part| bar.set_position((1000.0 * part) as u64),
    )?;
    bar.finish_and_clear();

    let mut facts = facts::common(&arguments.common, &model, &settings);
    facts.summary = format!(
        "{} samples of a model trained on {}, and which of its {} images made them so.",
        arguments.samples,
        model.checkpoint.header.data,
        model.images.len()
    );
    facts.json["of"] = serde_json::json!(arguments.of);
    let time = format!("{:.1} s", results.seconds);
    facts.rows.push(("Time".to_owned(), time));
    output::write(
        &arguments.out,
        &results,
        &model.images,
        &facts,
        !arguments.no_photos,
    )?;
    eprintln!(
        "{} samples in {:.0} s; open {}",
        arguments.samples,
        results.seconds,
        arguments.out.join("index.html").display()
    );
    Ok(())
}
