//! Damage of JSON values.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::one;

/// Entries of a list that nobody wrote.
const MANY: usize = 100_000;
/// Depth of a value that nobody wrote.
const DEEP: usize = 200;

/// Changes one value somewhere inside.
pub fn damage(rng: &mut ChaCha8Rng, root: &mut Value) {
    let paths = paths(root);
    let path = one(rng, &paths).clone();
    let donor = root.pointer(one::<String>(rng, &paths)).cloned();
    let Some(value) = root.pointer_mut(&path) else {
        return;
    };
    match (rng.random_range(0..8), value) {
        (0, Value::Object(entries)) if !entries.is_empty() => {
            let keys: Vec<String> = entries.keys().cloned().collect();
            entries.remove(one(rng, &keys));
        }
        (1, Value::Object(entries)) if !entries.is_empty() => {
            let keys: Vec<String> = entries.keys().cloned().collect();
            let copy = entries[one(rng, &keys)].clone();
            entries.insert("another".into(), copy.clone());
            entries.insert(one(rng, &keys).clone(), copy);
        }
        (0, Value::Array(list)) if !list.is_empty() => {
            list.remove(rng.random_range(0..list.len()));
        }
        (1, Value::Array(list)) if !list.is_empty() => {
            let copy = one(rng, list).clone();
            list.extend(vec![copy; *one(rng, &[1, 2, 70])]);
        }
        (2, value) => *value = donor.unwrap_or_default(),
        (3, Value::String(text)) => {
            let changed = super::text::damage(rng, text, text);
            *text = String::from_utf8_lossy(&changed).into_owned();
        }
        (_, value @ Value::Number(_)) => *value = number(rng),
        (_, value) => *value = oddity(rng),
    }
}

fn number(rng: &mut ChaCha8Rng) -> Value {
    let numbers = [
        json!(0),
        json!(-1),
        json!(1),
        json!(2),
        json!(3),
        json!(64),
        json!(1_000_000),
        json!(1_u64 << 31),
        json!(1_u64 << 32),
        json!(1_u64 << 61),
        json!(1_u64 << 63),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(0.5),
        json!(-0.5),
        json!(1e300),
        json!(-1e300),
        json!(5e-324),
        json!(1e30),
        json!(null),
        json!("1"),
    ];
    one(rng, &numbers).clone()
}

fn oddity(rng: &mut ChaCha8Rng) -> Value {
    match rng.random_range(0..12) {
        0 => json!(null),
        1 => json!(true),
        2 => json!(""),
        3 => json!("a\nb\u{0}"),
        4 => json!([]),
        5 => json!({}),
        6 => json!("x".repeat(MANY)),
        7 => json!(vec![0; MANY]),
        8 => (0..DEEP).fold(json!(1), |inner, _| json!([inner])),
        9 => json!([1, 1, 1]),
        _ => number(rng),
    }
}

/// Every value's place.
fn paths(root: &Value) -> Vec<String> {
    fn walk(value: &Value, path: &str, found: &mut Vec<String>) {
        found.push(path.to_owned());
        match value {
            Value::Object(entries) => {
                for (key, inner) in entries {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    walk(inner, &format!("{path}/{key}"), found);
                }
            }
            Value::Array(list) => {
                for (i, inner) in list.iter().enumerate().take(8) {
                    walk(inner, &format!("{path}/{i}"), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(root, "", &mut found);
    found
}
