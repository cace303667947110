//! Numbers of the results that `retrain` stores, pinned.
//!
//! A result is found again by its key. So whoever changes the numbers of a job with the same settings raises the revision in its key
//! (`revision` in crates/datasway-retraining/src/jobs/key.rs, `Attributor::revision` or `GroupMass::REVISION`), and replaces the lines
//! of the fixture.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use safetensors::SafeTensors;

/// Rows of an array that are pinned, and entries of each.
const ROWS: usize = 6;
const ENTRIES: usize = 2;

/// Difference of two numbers, relative to the largest of an array. Models differ by rounding between processors.
const TOLERANCE: f32 = 0.02;

/// Pinned numbers by job and array.
type Numbers = BTreeMap<String, Vec<f32>>;

/// Checks the arrays of the jobs of some kinds against the lines of a fixture, `job/array: numbers`.
#[track_caller]
pub fn check(jobs: &Path, kinds: &[&str], fixture: &str) {
    let found = stored(jobs, kinds);
    let pinned: Numbers = fixture.lines().map(parsed).collect();
    let near = |(name, numbers): (&String, &Vec<f32>)| {
        pinned.get(name).is_some_and(|pinned| {
            let mut pairs = pinned.iter().zip(numbers);
            pinned.len() == numbers.len() && pairs.all(|(a, b)| (a - b).abs() <= TOLERANCE)
        })
    };
    let others: Vec<&String> = (found.iter())
        .filter(|pair| !near(*pair))
        .map(|pair| pair.0)
        .collect();
    assert!(
        others.is_empty() && found.len() == pinned.len(),
        "{others:#?} differ from their fixture, which would be\n{}",
        text(&found)
    );
}

/// The first numbers of every array of these jobs, relative to the largest of the array.
fn stored(jobs: &Path, kinds: &[&str]) -> Numbers {
    let mut found = Numbers::new();
    for folder in std::fs::read_dir(jobs).unwrap() {
        let folder = folder.unwrap();
        let name = folder.file_name().into_string().unwrap();
        if !kinds
            .iter()
            .any(|kind| name.starts_with(&format!("{kind}-")))
        {
            continue;
        }
        // Without the key.
        let job = name.rsplit_once('-').unwrap().0;
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|end| end != "safetensors") {
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            for (array, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
                // A time.
                if array != "cost" {
                    let columns = *view.shape().last().unwrap();
                    found.insert(
                        format!("{job}/{array}"),
                        first_numbers(view.data(), columns),
                    );
                }
            }
        }
    }
    found
}

fn first_numbers(data: &[u8], columns: usize) -> Vec<f32> {
    let parts = data.as_chunks::<4>().0.iter();
    let values: Vec<f32> = parts.map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let largest = values.iter().fold(0.0_f32, |top, v| top.max(v.abs()));
    let rows = values.chunks_exact(columns).take(ROWS);
    let first = rows.flat_map(|row| &row[..ENTRIES.min(columns)]);
    first.map(|v| v / largest.max(f32::MIN_POSITIVE)).collect()
}

fn parsed(line: &str) -> (String, Vec<f32>) {
    let (name, numbers) = line.rsplit_once(": ").unwrap();
    let numbers = numbers.split(' ').map(|number| number.parse().unwrap());
    (name.to_owned(), numbers.collect())
}

fn text(numbers: &Numbers) -> String {
    let mut text = String::new();
    for (name, numbers) in numbers {
        let numbers: Vec<String> = numbers.iter().map(|v| format!("{v:.3}")).collect();
        writeln!(text, "{name}: {}", numbers.join(" ")).unwrap();
    }
    text
}
