//! Reports of the solver for the weights as arrays, and back.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use datasway_fs::arrays::Array;
use datasway_sensitivity::learner::SolverReport;

use super::arrays::{Reader, rows, wide};

const DAMPING: &str = "solver/damping";
const LARGEST_EIGENVALUE: &str = "solver/largest_eigenvalue";
const RESIDUALS: &str = "solver/residuals";
const ERRORS: &str = "solver/errors";
const DELTA_CHANGES: &str = "solver/delta_changes";

/// Adds a report to the arrays of a batch.
pub fn put(report: &SolverReport, arrays: &mut BTreeMap<String, Array>) {
    let damping: Vec<f64> = report.damping.into_iter().collect();
    arrays.insert(DAMPING.to_owned(), wide(&damping));
    let largest = wide(&[report.largest_eigenvalue]);
    arrays.insert(LARGEST_EIGENVALUE.to_owned(), largest);
    put_histories(RESIDUALS, &report.residuals, arrays);
    put_histories(ERRORS, &report.errors, arrays);
    arrays.insert(DELTA_CHANGES.to_owned(), wide(&report.delta_changes));
}

/// Reads the output of [`put`].
///
/// # Errors
/// If an array is missing or damaged.
pub fn take(batch: &mut Reader<'_>) -> Result<SolverReport> {
    let damping = batch.take_wide(DAMPING)?;
    let [largest_eigenvalue] = batch.take_wide(LARGEST_EIGENVALUE)?[..] else {
        bail!(batch.damaged(LARGEST_EIGENVALUE));
    };
    Ok(SolverReport {
        damping: damping.first().copied(),
        largest_eigenvalue,
        residuals: take_histories(RESIDUALS, batch)?,
        errors: take_histories(ERRORS, batch)?,
        delta_changes: batch.take_wide(DELTA_CHANGES)?,
    })
}

/// The numbers of each right-hand side by iteration: how many there are in `NAME/count`, and all in `NAME`.
fn put_histories(name: &str, histories: &[Vec<f64>], arrays: &mut BTreeMap<String, Array>) {
    let counts: Vec<f32> = histories
        .iter()
        .map(|history| history.len() as f32)
        .collect();
    arrays.insert(format!("{name}/count"), rows(counts.len(), &counts));
    arrays.insert(name.to_owned(), wide(&histories.concat()));
}

/// Reads the output of [`put_histories`].
fn take_histories(name: &str, batch: &mut Reader<'_>) -> Result<Vec<Vec<f64>>> {
    let counts = batch.take(&format!("{name}/count"))?;
    let mut numbers = batch.take_wide(name)?.into_iter();
    let mut histories = Vec::with_capacity(counts.len());
    for count in counts {
        let history: Vec<f64> = numbers.by_ref().take(count as usize).collect();
        if history.len() as f32 != count {
            bail!(batch.damaged(name));
        }
        histories.push(history);
    }
    if numbers.next().is_some() {
        bail!(batch.damaged(name));
    }
    Ok(histories)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_report_is_read_as_it_was_written_to_the_last_bit() {
        let reports = [
            SolverReport {
                damping: Some(1.0 / 3.0),
                largest_eigenvalue: 1e300,
                residuals: vec![vec![0.1, 5e-324], vec![], vec![f64::MAX]],
                errors: vec![vec![1.0 / 7.0]; 3],
                delta_changes: vec![1.0 / 11.0, 0.0, 5e-324],
            },
            SolverReport {
                damping: None,
                largest_eigenvalue: -0.0,
                residuals: vec![],
                errors: vec![vec![f64::INFINITY, 2.0_f64.sqrt()]],
                delta_changes: vec![],
            },
        ];
        for report in reports {
            let mut arrays = BTreeMap::new();
            put(&report, &mut arrays);
            let mut reader = Reader::new((Path::new("a"), arrays.clone()));
            assert_eq!(take(&mut reader).unwrap(), report);
            arrays.get_mut(ERRORS).unwrap().values.truncate(1);
            let mut reader = Reader::new((Path::new("a"), arrays));
            let error = take(&mut reader).unwrap_err().to_string();
            assert!(error.contains("a: solver/errors is damaged"), "{error}");
        }
    }
}
