//! CelebA's tables.

use std::path::Path;

use datasway_data::{LoadOptions, Selection};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{answer, load, options, picture};
use crate::damage::text;
use crate::trial::{Answer, Reader};

/// The tables, the first byte of an input says which and, by its highest bit, whether bad images are left out.
const FILES: [&str; 3] = [
    "celeba/list_attr_celeba.txt",
    "celeba/list_eval_partition.txt",
    "celeba/identity_CelebA.txt",
];
/// Bad images are left out.
const SKIP: u8 = 0x80;

/// Reads tables.
pub struct Tables {
    tables: [String; 3],
    valid: Vec<Vec<u8>>,
}

impl Tables {
    /// Six images with three attributes.
    pub fn new(_: &Path) -> Self {
        std::fs::create_dir_all("celeba/img_align_celeba").expect("the folder is ours");
        let names: Vec<String> = (1..=6).map(|i| format!("{i:06}.png")).collect();
        for name in &names {
            let path = format!("celeba/img_align_celeba/{name}");
            std::fs::write(path, picture::png()).expect("the folder is ours");
        }
        let lines = |of: fn(usize) -> String| -> String {
            let line = |(i, name): (usize, &String)| format!("{name} {}\n", of(i));
            names.iter().enumerate().map(line).collect()
        };
        let sign = |i: usize| if i.is_multiple_of(2) { "1" } else { "-1" };
        let rows: String = (names.iter().enumerate())
            .map(|(i, name)| format!("{name}  {} {} {}\n", sign(i), sign(i / 2), sign(i / 3)))
            .collect();
        let tables = [
            format!("6\nMale Smiling Eyeglasses\n{rows}"),
            lines(|i| (i % 3).to_string()),
            lines(|i| (100 * i).to_string()),
        ];
        let all = tables.iter().enumerate();
        let valid = all.map(|(i, table)| named(i as u8, table.as_bytes()));
        let new = Self {
            valid: valid.collect(),
            tables,
        };
        new.restore();
        new
    }

    fn restore(&self) {
        for (file, table) in FILES.iter().zip(&self.tables) {
            std::fs::write(file, table).expect("the folder is ours");
        }
    }
}

fn named(file: u8, bytes: &[u8]) -> Vec<u8> {
    [&[file], bytes].concat()
}

impl Reader for Tables {
    fn valid(&self) -> &[Vec<u8>] {
        &self.valid
    }

    fn damage(&self, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let file = rng.random_range(0..FILES.len());
        let other = &self.tables[rng.random_range(0..FILES.len())];
        let damaged = text::damage(rng, &self.tables[file], other);
        let skip = if rng.random() { SKIP } else { 0 };
        named(file as u8 | skip, &damaged)
    }

    fn read(&mut self, input: &[u8]) -> Answer {
        let (first, table) = (input[0], &input[1..]);
        let file = FILES[usize::from(first & !SKIP) % FILES.len()];
        std::fs::write(file, table).expect("the folder is ours");
        let options = LoadOptions {
            skip_bad: first & SKIP != 0,
            ..options()
        };
        let set = load("celeba:celeba", &options);
        self.restore();
        if let Ok(set) = &set {
            for name in set.attributes.iter().flat_map(|a| &a.names) {
                let selection = Selection::Attributes(vec![(name.clone(), true)]);
                // It may select none.
                let _ = selection.resolve(set, &options);
            }
            if let Some(name) = set.names.iter().find(|n| n.contains(['/', '\\'])) {
                return Answer::Nonsense(format!("an image lies elsewhere: {name}"));
            }
        }
        answer(set)
    }
}
