//! Sources as they are written, and sizes that cannot be.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use datasway_data::{LoadOptions, Source, load};

/// The number of images is told before the decoding, every image while it lasts, and its end by dropping what it tells.
#[test]
fn a_decoding_tells_how_far_it_is() {
    static DECODED: AtomicUsize = AtomicUsize::new(0);
    static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            let decoded = DECODED.load(Ordering::Relaxed);
            SEEN.lock().unwrap().push(format!("end after {decoded}"));
        }
    }
    fn begin(images: usize) -> Box<dyn Fn(usize) + Send + Sync> {
        SEEN.lock().unwrap().push(format!("{images} images"));
        let end = End;
        Box::new(move |more| {
            let _ = &end;
            DECODED.fetch_add(more, Ordering::Relaxed);
        })
    }
    let options = LoadOptions {
        progress: Some(begin),
        ..LoadOptions::default()
    };
    load(&Source::parse("faces:37").unwrap(), &options).unwrap();
    assert_eq!(*SEEN.lock().unwrap(), ["37 images", "end after 37"]);
}

#[test]
fn what_is_no_source_is_refused_in_one_line() {
    for (text, said) in [
        ("", "names no folder"),
        ("celeba:", "names no folder"),
        ("mnist:", "names no folder"),
        ("cifar10:", "names no folder"),
        ("folder:", "names no folder"),
        ("faces:", "1 to 1,000,000 faces"),
        ("faces:0", "1 to 1,000,000 faces"),
        ("faces:1000001", "1 to 1,000,000 faces"),
        ("faces:4000000000", "1 to 1,000,000 faces"),
        ("faces:18446744073709551616", "1 to 1,000,000 faces"),
        ("faces:1e9", "1 to 1,000,000 faces"),
        ("faces:-1", "1 to 1,000,000 faces"),
        ("faces:+1", "1 to 1,000,000 faces"),
        ("faces: 1", "1 to 1,000,000 faces"),
        ("faces:1.5", "1 to 1,000,000 faces"),
        ("faces:10@", "a seed that is no whole number"),
        ("faces:10@x", "a seed that is no whole number"),
        ("faces:10@-1", "a seed that is no whole number"),
        (
            "faces:10@18446744073709551616",
            "a seed that is no whole number",
        ),
        ("cifar100:somewhere", "no known kind `cifar100`"),
        ("https://example.org/images", "no known kind `https`"),
        ("no\nwhere", "no\\nwhere is missing"),
        ("nowhere/at/all", "is missing"),
    ] {
        let text = Source::parse(text).unwrap_err().to_string();
        assert!(
            text.contains(said) && !text.contains('\n'),
            "{said}: {text}"
        );
    }
    let long = Source::parse(&"x".repeat(100_000)).unwrap_err().to_string();
    assert!(long.len() < 1000);
}

#[test]
fn more_pixels_than_memory_holds_and_sizes_that_cannot_be_are_refused_at_once() {
    for (text, size, said) in [
        ("faces:1000000", Some(4096), "is the most that is held"),
        (
            "faces:10",
            Some(0),
            "images of 0 pixels a side cannot be made",
        ),
        ("faces:10", Some(4097), "ask for 1 to 4096"),
        ("faces:10", Some(1_000_000_000), "ask for 1 to 4096"),
        ("faces:10", Some(usize::MAX), "ask for 1 to 4096"),
    ] {
        let options = LoadOptions {
            size,
            ..LoadOptions::default()
        };
        let text = load(&Source::parse(text).unwrap(), &options)
            .unwrap_err()
            .to_string();
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[test]
fn a_limit_of_nothing_is_refused_and_one_beyond_the_set_is_all() {
    let limited_to = |limit| LoadOptions {
        size: Some(8),
        limit: Some(limit),
        ..LoadOptions::default()
    };
    let source = Source::parse("faces:5").unwrap();
    assert!(load(&source, &limited_to(0)).is_err());
    assert_eq!(load(&source, &limited_to(usize::MAX)).unwrap().len(), 5);
    let three = load(&source, &limited_to(3)).unwrap();
    assert_eq!(three.names, ["000001.png", "000002.png", "000003.png"]);
    assert_eq!(
        three.summary(),
        "faces:5@0: 3 of 5 images with 11 attributes"
    );
}
