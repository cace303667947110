//! Named arrays of a batch: taken out one by one, with the file in every error.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use datasway_fs::arrays::Array;

use super::folder::FileArrays;

/// The arrays of a batch that are still to be read.
pub struct Reader<'a> {
    file: &'a Path,
    arrays: BTreeMap<String, Array>,
}

/// An array of one row for each sample.
pub fn rows(n: usize, values: &[f32]) -> Array {
    Array {
        shape: vec![n, values.len() / n.max(1)],
        values: values.to_vec(),
    }
}

impl<'a> Reader<'a> {
    /// The arrays of a file.
    pub fn new((file, arrays): FileArrays<'a>) -> Self {
        Self { file, arrays }
    }

    /// The numbers of an array.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn take(&mut self, name: &str) -> Result<Vec<f32>> {
        let array = self.arrays.remove(name);
        let missing = || {
            format!(
                "{}: has no array {name}: remove the file and run its shard again",
                self.file.display()
            )
        };
        Ok(array.with_context(missing)?.values)
    }

    /// The numbers of an array that a run may have or not.
    pub fn take_if_any(&mut self, name: &str) -> Option<Vec<f32>> {
        Some(self.arrays.remove(name)?.values)
    }

    /// Appends the numbers of an array, a row of `width` numbers for each of `n` samples.
    ///
    /// # Errors
    /// If there is none of this name, or it has another size.
    pub fn append(&mut self, name: &str, [n, width]: [usize; 2], to: &mut Vec<f32>) -> Result<()> {
        let values = self.take(name)?;
        ensure!(
            values.len() == n * width,
            "{}: {name} has {} numbers, and {} are expected: remove the file and run its shard again",
            self.file.display(),
            values.len(),
            n * width
        );
        to.extend(values);
        Ok(())
    }
}
