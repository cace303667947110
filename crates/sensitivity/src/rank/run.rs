//! Run information of a ranking, and the result of its zero check.

use datasway_data::Shape;
use datasway_sensitivity::{Change, RankedSensitivities, Sensitivities};
use serde::Serialize;

use super::compare::ComparedForm;
use crate::picture_arguments::GivenPictures;
use crate::replay::RecordedOptions;
use crate::run_info::RunInfo;

/// Run information of a ranking.
#[derive(Debug, Clone, Serialize)]
pub struct RankRun {
    #[serde(flatten)]
    pub info: RunInfo,
    add: Vec<String>,
    remove: Vec<String>,
    pub limit: bool,
    /// The run of another form that was compared.
    pub compared_with: Option<ComparedForm>,
    /// The options of the run.
    #[serde(flatten)]
    pub recorded: RecordedOptions,
    #[serde(skip)]
    pub shape: Shape,
    /// The pictures in the place of samples.
    #[serde(skip)]
    pub pictures: Option<GivenPictures>,
}

impl RankRun {
    /// The information of a model, with the changes of its data and the shape of its samples.
    pub fn new(info: RunInfo, results: &RankedSensitivities, limit: bool, shape: Shape) -> Self {
        let selections = |change: Change| {
            let directions = results.directions.iter().map(|ranked| &ranked.direction);
            directions
                .filter(|direction| direction.change() == change)
                .map(|direction| direction.selection().to_owned())
                .collect()
        };
        Self {
            info,
            add: selections(Change::Add),
            remove: selections(Change::Remove),
            limit,
            compared_with: None,
            recorded: RecordedOptions::default(),
            shape,
            pictures: None,
        }
    }
}

/// The result of the zero check δ(all) = 0; none if it was not made.
pub fn zero_check_text(results: &Sensitivities) -> Option<String> {
    Some(match residual_extent(results)? {
        [_, 0.0] => "0, since density and D are of one measure".to_owned(),
        [median, largest] => format!(
            "median {median:.3}, at most {largest:.3}, where 0 is expected: the model's own error"
        ),
    })
}

/// The median and the largest `‖δ(ρ)‖` of the samples; none without the zero check.
pub fn residual_extent(results: &Sensitivities) -> Option<[f64; 2]> {
    let residuals = (0..results.count()).map(|sample| results.residual(sample));
    let mut residuals: Vec<f64> = residuals.collect::<Option<_>>()?;
    residuals.sort_by(f64::total_cmp);
    Some([*residuals.get(residuals.len() / 2)?, *residuals.last()?])
}
