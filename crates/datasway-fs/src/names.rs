//! Distinct and portable file names made from labels.

use std::collections::HashSet;

/// Largest length of a name in bytes. An extension still fits into what file systems allow.
const LONGEST: usize = 120;

/// Names that Windows reserves for devices, with any extension.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
/// Prefixes of such names that end in one digit.
const NUMBERED: [&str; 2] = ["com", "lpt"];

/// File names without extensions, one for each label, in order.
///
/// Names consist of letters and digits of any script, `_` and `-`, and have at most 120 bytes. They differ even where case is
/// ignored. `attr:!Smiling` becomes `attr-not-Smiling`. If two labels would share a name, the later one gets a number.
pub fn unique_names(labels: &[String]) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut unique = |label: &String| {
        let plain = plain(label);
        let numbered = (2u64..).map(|number| {
            let ending = format!("-{number}");
            format!("{}{ending}", cut(&plain, LONGEST - ending.len()))
        });
        let mut tried = std::iter::once(plain.clone()).chain(numbered);
        let free = tried.find(|name| taken.insert(folded(name)));
        free.unwrap_or_else(|| unreachable!("numbers do not end"))
    };
    labels.iter().map(&mut unique).collect()
}

/// The longest prefix of a text with at most this many bytes.
pub fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// The words of a label, joined by hyphens.
fn plain(label: &str) -> String {
    let label = label.replace('!', "not-");
    let words = label.split(|c: char| !c.is_alphanumeric() && c != '_');
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let name = cut(&words.join("-"), LONGEST).to_owned();
    if reserved(&name) || name.is_empty() {
        name + "_"
    } else {
        name
    }
}

fn reserved(name: &str) -> bool {
    let name = name.to_lowercase();
    let numbered = |start: &&str| {
        let tail = name.strip_prefix(*start);
        tail.is_some_and(|tail| tail.chars().count() == 1 && tail.chars().all(char::is_numeric))
    };
    DEVICES.contains(&name.as_str()) || NUMBERED.iter().any(numbered)
}

/// A key that is equal for names that differ in case only.
fn folded(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(labels: &[&str]) -> Vec<String> {
        let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
        unique_names(&labels)
    }

    #[test]
    fn ordinary_selections_keep_their_names() {
        let labels = ["add attr:Eyeglasses", "remove attr:!Smiling", "add class:8"];
        assert_eq!(
            names(&labels),
            [
                "add-attr-Eyeglasses",
                "remove-attr-not-Smiling",
                "add-class-8"
            ]
        );
        assert_eq!(names(&["add attr:A&!B"]), ["add-attr-A-not-B"]);
        assert_eq!(names(&["add folder:../my faces"]), ["add-folder-my-faces"]);
    }

    #[test]
    fn names_are_distinct_and_portable_whatever_the_labels() {
        let long = "x".repeat(500);
        let long_kana = "猫".repeat(200);
        let labels = [
            "class:猫",
            "class:犬",
            "a-b",
            "a b",
            "a-b-2",
            "A-B",
            "attr:!X",
            "attr:not-X",
            "con",
            "CON",
            "com1",
            "LPT¹",
            "nul",
            "",
            "..",
            "../..",
            "/",
            "\\",
            ".hidden",
            "a\nb",
            "a\0b",
            "<b>",
            "🐈",
            "🐕",
            "ſ",
            "s",
            "ß",
            "ss",
            "e\u{301}",
            "é",
            "-rf",
            "*",
            "?",
            "a/b",
            "a\\b",
            "a:b",
            "a|b",
            &long,
            &long,
            &format!("{long}y"),
            &long_kana,
            &format!("{long_kana}犬"),
        ];
        let names = names(&labels);
        let mut seen = HashSet::new();
        for (label, name) in labels.iter().zip(&names) {
            assert!(seen.insert(name.to_lowercase()), "{label:?}: {name}");
            assert!((1..=LONGEST).contains(&name.len()), "{label:?}: {name}");
            let portable = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
            assert!(name.chars().all(portable), "{label:?}: {name}");
            assert!(
                !reserved(name) && !name.starts_with('-'),
                "{label:?}: {name}"
            );
        }
        assert_eq!(names[0], "class-猫");
        assert_eq!(names[1], "class-犬");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("猫猫", 5), "猫");
        assert_eq!(cut("ab", 5), "ab");
    }
}
