//! Writes a synthetic sensitivity page: `cargo run -p report --example page -- FOLDER [SAMPLES]`.

#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

use datasway_report::{
    Card, DirectionSection, GridStyle, Picture, SensitivityPage, grid, write_png,
};
use std::path::PathBuf;

const SIDE: usize = 16;

fn main() -> Result<(), datasway_report::ReportError> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let count = arguments
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(20usize);

    let samples: Vec<_> = (0..count).map(|i| synthetic::picture(i, SIDE)).collect();
    let deltas: Vec<_> = (0..count)
        .map(|i| synthetic::delta(i, SIDE, 3.0 / (1.0 + 0.15 * i as f32)))
        .collect();
    let view = |values| Picture {
        channels: 3,
        height: SIDE,
        width: SIDE,
        values,
    };
    let mut cards: Vec<Card> = (0..count)
        .map(|i| Card {
            index: (i * 37) % count,
            sample: view(&samples[i]),
            delta: view(&deltas[i]),
            score: view(&deltas[i]).norm(),
            residual: Some(0.5),
            limit: Some(0.3 / (1 + i) as f64),
            log_ratio: synthetic::log_ratio(i),
            warnings: match i % 7 {
                1 => vec!["The log density ratio reaches 41 nats at σ = 0.3: one step dominates the whole path.".into()],
                5 => vec!["The trace estimate’s standard error is 9 nats.".into(), "δ grew 10⁴-fold below σ = 0.05.".into()],
                _ => vec![],
            },
        })
        .collect();
    cards.sort_by(|a, b| b.score.total_cmp(&a.score));
    let pictures: Vec<_> = samples
        .iter()
        .rev()
        .take(18)
        .map(|values| view(values))
        .collect();
    let section = |name: &str, removing| DirectionSection {
        name: name.into(),
        removing,
        pictures: pictures.clone(),
        picture_count: 674,
        cards: cards.clone(),
    };
    let fact = |name: &str, value: &str| (name.to_string(), value.to_string());
    let page = SensitivityPage {
        title: "Sensitivity of synthetic discs".into(),
        summary: format!("{count} made-up samples of a made-up model, to look at the page itself."),
        facts: vec![
            fact("seed", "17"),
            fact("sampler", "Heun, 18 steps, σ from 80 to 0"),
            fact("density", "probability flow, 1 probe"),
            fact("data", "10,000 images, 16×16"),
            fact("fingerprint", "9f2b4c017ad3e5586b1f0d2c"),
            fact("network evaluations", "35 path · 70 density · 70 tangent"),
            fact("time", "41 s"),
            fact("peak memory", "612 MiB"),
            fact("version", "datasway 0.1.0, burn 0.22.1"),
        ],
        directions: vec![
            section("attr:Eyeglasses", false),
            section("attr:Blond_Hair", true),
        ],
    };
    let path = folder.join("index.html");
    page.write(&path)?;
    let views: Vec<_> = samples.iter().map(|values| view(values)).collect();
    write_png(
        &folder.join("samples.png"),
        &grid(&views, &GridStyle::default())?,
    )?;
    println!("wrote {}", path.display());
    Ok(())
}
