//! Real values that an earlier run has written.

use std::path::{Path, PathBuf};

use datasway_attribution::AttributionTarget;

use super::result::SubsetDesign;
use super::values::Values;
use crate::RetrainError;
use crate::evaluation::SeedScope;

/// Columns before those of the parts: `functional,seed,row`.
const KEYS: usize = 3;

/// Real values of all targets and seeds.
pub(super) struct PublishedValues {
    path: PathBuf,
    values: Vec<(AttributionTarget, u64, Values)>,
}

impl PublishedValues {
    /// Reads the `-real.csv` of a design in a folder of tables, whose models are those of `parts` parts.
    ///
    /// # Errors
    /// If the file cannot be read, or a line is not one of such a file.
    pub fn read(folder: &Path, design: SubsetDesign, parts: usize) -> Result<Self, RetrainError> {
        let path = folder.join(format!("{}-real.csv", design.name()));
        let text = std::fs::read_to_string(&path);
        let text = text.map_err(RetrainError::file(&path, "cannot be read"))?;
        let mut values: Vec<(AttributionTarget, u64, Values)> = Vec::new();
        for (index, line) in text.lines().enumerate().skip(1) {
            let row = Row::parse(line, parts).map_err(|why| {
                let what = format!("line {}: {why}", index + 1);
                RetrainError::file(&path, "holds no real values of this experiment")(what)
            })?;
            // The mean over seeds is computed again.
            let Some((target, seed, numbers)) = row.of_seed() else {
                continue;
            };
            match values.last_mut() {
                Some((t, s, rows)) if (*t, *s) == (target, seed) => rows.push(numbers),
                _ => values.push((target, seed, vec![numbers])),
            }
        }
        Ok(Self { path, values })
    }

    /// The values of a target for each seed.
    pub fn values(&self, target: AttributionTarget) -> Vec<(SeedScope, Values)> {
        let of_target = self.values.iter().filter(|(t, ..)| *t == target);
        of_target
            .map(|(_, seed, values)| (SeedScope::Seed(*seed), values.clone()))
            .collect()
    }

    /// Checks that every seed of a target has `count` functionals.
    ///
    /// # Errors
    /// If it has another number, or there is no seed.
    pub fn check(&self, target: AttributionTarget, count: usize) -> Result<(), RetrainError> {
        let values = self.values(target);
        let fits = values.iter().all(|(_, rows)| rows.len() == count);
        if fits && !values.is_empty() {
            return Ok(());
        }
        let what = format!("{} needs {count} rows for each seed", target.name());
        Err(RetrainError::file(
            &self.path,
            "holds no real values of this experiment",
        )(what))
    }
}

/// One line of the file.
struct Row {
    target: AttributionTarget,
    /// None for the mean over seeds.
    seed: Option<u64>,
    numbers: Vec<f64>,
}

impl Row {
    fn parse(line: &str, parts: usize) -> Result<Self, String> {
        let fields: Vec<&str> = line.split(',').collect();
        if fields.len() != KEYS + parts {
            return Err(format!(
                "it has {} fields, and {parts} parts need {}",
                fields.len(),
                KEYS + parts
            ));
        }
        let target = AttributionTarget::ALL
            .into_iter()
            .find(|target| target.name() == fields[0])
            .ok_or_else(|| format!("{} is no functional", fields[0]))?;
        let seed = match fields[1] {
            "mean" => None,
            seed => Some(seed.parse().map_err(|_| format!("{seed} is no seed"))?),
        };
        let number = |text: &&str| match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(format!("{text} is no finite number")),
        };
        let numbers = fields[KEYS..].iter().map(number);
        Ok(Self {
            target,
            seed,
            numbers: numbers.collect::<Result<_, _>>()?,
        })
    }

    fn of_seed(self) -> Option<(AttributionTarget, u64, Vec<f64>)> {
        Some((self.target, self.seed?, self.numbers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "functional,seed,row,part_0,part_1\nsample,0,0,1.5,-2\nsample,0,1,3,4\nsample,mean,0,1,1\n";

    fn read(text: &str) -> Result<PublishedValues, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("attribution-real.csv"), text).unwrap();
        PublishedValues::read(folder.path(), SubsetDesign::Subsets, 2).map_err(|e| e.to_string())
    }

    #[test]
    fn the_rows_of_each_seed_are_read_and_those_of_the_mean_are_not() {
        let values = read(GOOD).unwrap();
        let rows = vec![vec![1.5, -2.0], vec![3.0, 4.0]];
        let expected = vec![(SeedScope::Seed(0), rows)];
        assert_eq!(values.values(AttributionTarget::Sample), expected);
        values.check(AttributionTarget::Sample, 2).unwrap();
        assert!(values.check(AttributionTarget::Sample, 3).is_err());
        assert!(values.check(AttributionTarget::SampleLoss, 2).is_err());
    }

    #[test]
    fn a_damaged_line_is_named() {
        for (from, to) in [
            ("1.5,-2", "1.5"),
            ("1.5", "x"),
            ("1.5", "NaN"),
            ("sample,0,0", "image,0,0"),
            ("sample,0,0", "sample,-1,0"),
        ] {
            let Err(error) = read(&GOOD.replacen(from, to, 1)) else {
                panic!("{to} was accepted");
            };
            assert!(error.contains("attribution-real.csv"), "{error}");
            assert!(error.contains("line 2"), "{error}");
        }
    }
}
