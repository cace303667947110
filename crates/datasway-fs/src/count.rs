//! Counts of things in messages and on pages.

/// A count with commas between thousands.
pub fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count of things whose plural ends in s: `1 image`, `2,547 images`.
pub fn plural(count: usize, thing: &str) -> String {
    counted(count, thing, &format!("{thing}s"))
}

/// A count of things with another plural: `1 batch`, `2 batches`.
pub fn counted(count: usize, singular: &str, plural: &str) -> String {
    let thing = if count == 1 { singular } else { plural };
    format!("{} {thing}", grouped(count))
}

/// As [`plural`], without commas between thousands: `2547 images`. Reports that other programs read, and that are compared with
/// those of earlier versions, have numbers so.
pub fn plain_plural(count: usize, thing: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_singular_and_thousands_are_grouped() {
        let images = [0, 1, 2, 999, 1_000, 30_000, 1_234_567].map(|count| plural(count, "image"));
        let expected = [
            "0 images",
            "1 image",
            "2 images",
            "999 images",
            "1,000 images",
            "30,000 images",
            "1,234,567 images",
        ];
        assert_eq!(images, expected);
        assert_eq!(plain_plural(1, "seed"), "1 seed");
        assert_eq!(plain_plural(2547, "image"), "2547 images");
        assert_eq!(counted(1, "batch", "batches"), "1 batch");
        assert_eq!(counted(4, "batch", "batches"), "4 batches");
    }
}
