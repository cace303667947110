//! The output folder of a check: table, samples, summary and page.

use std::path::Path;

use anyhow::{Context, Result};
use datasway_data::Shape;
use datasway_fs::plural;
use datasway_report::section::rounded;
use datasway_report::{
    Axes, Corner, Curve, Figure, GridStyle, Picture, Section, Table, data_uri, document, facts,
    grid, line_plot, png_bytes,
};
use maud::html;

use super::run::{CheckRun, Level};

/// Writes `losses.csv`, `samples.png`, `summary.json` and `index.html`. `samples` are `[n, d]`.
///
/// # Errors
/// If a file cannot be written.
pub fn write(
    folder: &Path,
    run: &CheckRun,
    samples: &Option<Vec<f32>>,
    shape: Shape,
) -> Result<()> {
    let picture = samples.as_ref().map(|samples| {
        let pictures = samples.chunks_exact(shape.dim()).map(|values| Picture {
            channels: shape.channels,
            height: shape.height,
            width: shape.width,
            values,
        });
        let style = GridStyle {
            columns: 8,
            ..GridStyle::default()
        };
        grid(&pictures.collect::<Vec<_>>(), &style)
    });
    let picture = picture.transpose()?;
    datasway_fs::write(&folder.join("losses.csv"), csv(run).as_bytes())?;
    if let Some(picture) = &picture {
        datasway_fs::write(&folder.join("samples.png"), &png_bytes(picture)?)?;
    }
    let samples = picture.as_ref().map(data_uri).transpose()?;
    let page = page(run, samples.as_deref())?;
    datasway_fs::write(&folder.join("index.html"), page.as_bytes())?;
    let summary = serde_json::to_value(run).context("the results cannot be written as JSON")?;
    let summary = format!("{summary:#}\n");
    Ok(datasway_fs::write(
        &folder.join("summary.json"),
        summary.as_bytes(),
    )?)
}

/// One line for each noise level.
fn csv(run: &CheckRun) -> String {
    let mut text = "sigma,model,raw_weights,linear,blurred\n".to_owned();
    for level in &run.losses {
        let Level {
            sigma,
            model,
            linear,
            blurred,
            ..
        } = level;
        let raw = level
            .raw_weights
            .map_or(String::new(), |raw| raw.to_string());
        text += &format!("{sigma},{model},{raw},{linear},{blurred}\n");
    }
    text
}

fn page(run: &CheckRun, samples: Option<&str>) -> Result<String> {
    let title = "Does this model fit these data?";
    let verdict = match &run.reason {
        None => format!(
            "{} fits {}: it may be a model of these images.",
            run.checkpoint, run.data
        ),
        Some(reason) => format!("{} does not fit {}: {reason}.", run.checkpoint, run.data),
    };
    let body = html! {
        header.top {
            h1 { (title) }
            p.lead { (verdict) }
        }
        main {
            (losses(run)?.html())
            section {
                div.title { h2 { "Samples" } }
                @match samples {
                    Some(uri) => div.panel { img src=(uri) alt="Samples of the model"; },
                    None => p { "The samples are not finite numbers." },
                }
            }
            section { (facts(&rows(run))) }
        }
    };
    Ok(document(title, datasway_report::STYLE, &body))
}

/// The section with the losses.
fn losses(run: &CheckRun) -> Result<Section> {
    let curve = |name: &str, loss: &dyn Fn(&Level) -> Option<f64>| Curve {
        name: name.to_owned(),
        points: (run.losses.iter())
            .filter_map(|level| Some((level.sigma, (loss(level)? / level.linear).log10())))
            .collect(),
    };
    let mut curves = vec![
        curve("model", &|level| Some(level.model)),
        curve("best linear denoiser", &|level| Some(level.linear)),
        curve("blurred training images", &|level| Some(level.blurred)),
    ];
    let raw = curve("raw weights", &|level| level.raw_weights);
    let has_raw_weights = !raw.points.is_empty();
    if has_raw_weights {
        curves.push(raw);
    }
    let axes = Axes {
        x_label: "noise level σ".to_owned(),
        y_label: "log₁₀ of the loss over the linear one".to_owned(),
        log_x: true,
        legend: Corner::UpperLeft,
        ..Axes::default()
    };
    let mut table = Table::new(
        "losses",
        Some("Denoising loss ‖D(y + σn, σ) − y‖²/d by noise level.".to_owned()),
        &["σ", "model", "best linear", "blurred data"],
    );
    if has_raw_weights {
        table.columns.push("raw weights".to_owned());
    }
    for level in &run.losses {
        let cells = [level.sigma, level.model, level.linear, level.blurred];
        let cells = cells.into_iter().chain(level.raw_weights);
        table.rows.push(cells.map(rounded).collect());
    }
    let mut told = Table::new(
        "told",
        Some(format!(
            "Loss at σ = {}, the scale of the data, where the model is told another noise level. The least should be at 1.",
            rounded(run.data_scale)
        )),
        &["factor", "model"],
    );
    told.rows = (run.told.iter())
        .map(|(factor, loss)| vec![factor.to_string(), rounded(*loss)])
        .collect();
    Ok(Section {
        title: "Denoising loss",
        text: vec![format!(
            "Measured on {}. A model of these images has less loss than the best linear denoiser (of the {} of the images) at noise levels around the \
             scale of the data, where an image is half hidden. The blurred training images, with h = {}, are what sensitivity compares \
             directions with.",
            plural(run.plan.images, "image"),
            run.linear_text(),
            rounded(run.bandwidth)
        )],
        tables: vec![table, told],
        figures: vec![Figure {
            file: "losses".to_owned(),
            caption: "Below 0, a denoiser is better than the best linear one.".to_owned(),
            svg: line_plot(&axes, &curves)?,
        }],
    })
}

/// Names and values of the run.
fn rows(run: &CheckRun) -> Vec<(String, String)> {
    let range = run
        .sigma_range
        .map_or("not limited".to_owned(), |[low, high]| {
            format!("{} to {}", rounded(low), rounded(high))
        });
    let mut rows = vec![
        ("Model", run.checkpoint.clone()),
        (
            "Data",
            format!(
                "{} ({}), {}",
                run.data,
                plural(run.images, "image"),
                run.same_data_text()
            ),
        ),
        ("Data fingerprint", run.fingerprint.clone()),
        ("Noise levels of the training", range),
        ("Extent", run.plan.text()),
        ("Seed", run.seed.to_string()),
        ("Datasway", run.datasway.to_owned()),
    ];
    rows.extend(
        run.cost
            .as_ref()
            .map(|cost| ("Cost of a ranking", cost.text())),
    );
    let influence_cost = run.influence_cost.as_ref();
    rows.extend(influence_cost.map(|cost| ("Cost of influences", cost.text())));
    rows.extend(run.precision.map(|gap| ("Precision", gap.text())));
    rows.extend(run.clip_sample.map(|clip| ("clip_sample", clip.text())));
    let named = rows
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    named.collect()
}
