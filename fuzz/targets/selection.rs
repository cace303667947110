//! Selections: what is read can be written and read again, and names images that are there.
#![no_main]

mod seeds;

use std::sync::OnceLock;

use datasway_data::{Dataset, LoadOptions, Selected, Selection, Source};
use libfuzzer_sys::fuzz_target;

const SEEDS: [&str; 9] = [
    "all",
    "attr:Smiling",
    "attr:Male&!Smiling",
    "index:3",
    "index:3,7,10-11",
    "index:0-11",
    "class:8",
    "folder:pictures",
    "image:pictures/one.png",
];

/// A few images with attributes.
fn images() -> &'static Dataset {
    static IMAGES: OnceLock<Dataset> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let options = LoadOptions {
            size: Some(8),
            ..LoadOptions::default()
        };
        datasway_data::load(&Source::Faces { count: 12, seed: 0 }, &options).expect("faces are drawn")
    })
}

fuzz_target!(init: seeds::write(SEEDS.map(Into::into)), |text: &str| {
    let Ok(selection) = Selection::parse(text) else {
        return;
    };
    let again = Selection::parse(&selection.to_string());
    assert_eq!(again.ok().as_ref(), Some(&selection), "read again");
    // Files of this machine are none of the fuzzer's business.
    if matches!(selection, Selection::Folder(_) | Selection::Image(_)) {
        return;
    }
    let images = images();
    match selection.resolve(images, &LoadOptions::default()) {
        Ok(Selected::Indices(found)) => {
            assert!(!found.is_empty(), "no image is selected");
            assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "ascending");
            assert!(found.iter().all(|&i| i < images.len()), "images of the set");
        }
        Ok(Selected::External(_)) => panic!("no image is from elsewhere"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
