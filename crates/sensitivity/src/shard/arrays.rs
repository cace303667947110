//! Named arrays of a batch: taken out one by one, with the file in every error.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use datasway_fs::arrays::Array;

use super::folder::FileArrays;

/// Words of 16 bits in a number of 64, each of which f32 holds.
const WORDS: usize = 4;

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

/// Numbers in double precision, none of whose bits is lost.
pub fn wide(values: &[f64]) -> Array {
    let words = values.iter().flat_map(|value| {
        let bits = value.to_bits();
        (0..WORDS).map(move |word| f32::from((bits >> (16 * word)) as u16))
    });
    Array {
        shape: vec![values.len(), WORDS],
        values: words.collect(),
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

    /// The numbers of an array that [`wide`] made.
    ///
    /// # Errors
    /// If there is none of this name, or it was not made so.
    pub fn take_wide(&mut self, name: &str) -> Result<Vec<f64>> {
        let words = self.take(name)?;
        let is_word = |word: &f32| f32::from(*word as u16) == *word;
        if words.len() % WORDS != 0 || !words.iter().all(is_word) {
            return Err(self.damaged(name));
        }
        let numbers = words.chunks_exact(WORDS).map(|words| {
            let words = words.iter().enumerate();
            let bits = words.map(|(place, word)| u64::from(*word as u16) << (16 * place));
            f64::from_bits(bits.sum())
        });
        Ok(numbers.collect())
    }

    /// The error of an array with other numbers than a shard writes.
    pub fn damaged(&self, name: &str) -> anyhow::Error {
        anyhow!(
            "{}: {name} is damaged: remove the file and run its shard again",
            self.file.display()
        )
    }

    /// The file.
    pub fn file(&self) -> &Path {
        self.file
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
