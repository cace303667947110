//! Damage of text: its numbers, words and lines.

use std::ops::Range;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{bytes, one, times};

/// What stands where a number stood.
const NUMBERS: [&str; 28] = [
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "+1",
    "00",
    "0.1",
    "-0.5",
    "1.0",
    "127",
    "65536",
    "4294967295",
    "4294967296",
    "-4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e300",
    "-1e300",
    "1e-300",
    "1e999",
    "nan",
    "inf",
    "-inf",
    "1_000",
    "٣",
];

/// What stands where anything stood.
const ODDITIES: [&str; 30] = [
    "",
    " ",
    "\t",
    "\n",
    "\r\n",
    "\0",
    "\u{feff}",
    "\u{202e}",
    "\u{1b}[2J",
    "é",
    "猫",
    "👩‍👩‍👧",
    "'",
    "\"",
    "\"\"\"",
    "\\",
    "..",
    "../../x",
    "/",
    "~",
    ".",
    "%s",
    "{}",
    "-",
    "!",
    "!!",
    "&",
    ":",
    ",",
    "#",
];

/// Depth at which a parser that calls itself is out of stack.
const DEEP: usize = 50_000;
/// Characters of a word that nobody wrote.
const LONG: usize = 200_000;

/// The text with some of its parts changed, as bytes, for it may not be text any more; `other` is another valid text.
pub fn damage(rng: &mut ChaCha8Rng, text: &str, other: &str) -> Vec<u8> {
    if rng.random_bool(0.2) {
        return bytes::damage(rng, text.into(), other.as_bytes());
    }
    let mut text = text.to_owned();
    for _ in 0..times(rng) {
        once(rng, &mut text, other);
    }
    text.into_bytes()
}

fn once(rng: &mut ChaCha8Rng, text: &mut String, other: &str) {
    let number = |c: char| c.is_ascii_digit() || c == '.' || c == '-';
    let word = |c: char| c.is_alphanumeric() || c == '_';
    match rng.random_range(0..16) {
        0..=4 => {
            let with = *one(rng, &NUMBERS);
            replace(rng, text, number, with);
        }
        5 | 6 => {
            let donor = if rng.random() {
                text.clone()
            } else {
                other.to_owned()
            };
            let words = runs(&donor, word);
            if !words.is_empty() {
                let with = donor[one(rng, &words).clone()].to_owned();
                replace(rng, text, word, &with);
            }
        }
        7 => {
            let with = *one(rng, &ODDITIES);
            replace(rng, text, word, with);
        }
        8 | 9 => {
            let (at, what) = (place(rng, text), *one(rng, &ODDITIES));
            text.insert_str(at, what);
        }
        10..=13 => lines(rng, text, other),
        14 if rng.random_bool(0.1) => {
            let at = place(rng, text);
            let open = *one(rng, &["[", "{", "{\"a\":", "a.", "a={"]);
            text.insert_str(at, &open.repeat(DEEP));
        }
        15 if rng.random_bool(0.1) => {
            let with = one(rng, &["a", "1", "\u{e9}"]).repeat(LONG);
            replace(rng, text, word, &with);
        }
        _ => {
            let (a, b) = (place(rng, text), place(rng, text));
            text.replace_range(a.min(b)..a.max(b), "");
        }
    }
}

/// Removes, repeats, exchanges or brings in a line.
fn lines(rng: &mut ChaCha8Rng, text: &mut String, other: &str) {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(Into::into).collect();
    let others: Vec<&str> = other.split_inclusive('\n').collect();
    if lines.is_empty() || others.is_empty() {
        return;
    }
    let (a, b) = (
        rng.random_range(0..lines.len()),
        rng.random_range(0..lines.len()),
    );
    match rng.random_range(0..4) {
        0 => drop(lines.remove(a)),
        1 => lines.insert(b, lines[a].clone()),
        2 => lines.swap(a, b),
        _ => lines.insert(a, one(rng, &others).to_string()),
    }
    *text = lines.concat();
}

/// Replaces one run of such characters.
fn replace(rng: &mut ChaCha8Rng, text: &mut String, of: impl Fn(char) -> bool, with: &str) {
    let found = runs(text, of);
    if !found.is_empty() {
        let range = one(rng, &found).clone();
        text.replace_range(range, with);
    }
}

/// Where such characters stand side by side.
fn runs(text: &str, of: impl Fn(char) -> bool) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, c) in text.char_indices().filter(|&(_, c)| of(c)) {
        let end = at + c.len_utf8();
        match found.last_mut() {
            Some(last) if last.end == at => last.end = end,
            _ => found.push(at..end),
        }
    }
    found
}

/// A place between two characters.
fn place(rng: &mut ChaCha8Rng, text: &str) -> usize {
    let mut at = rng.random_range(0..=text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
