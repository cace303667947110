//! Real data, where they are at hand: `shared/datasets` beside the workspace.

use std::path::PathBuf;

use datasway_data::{Dataset, LoadOptions, Selected, Selection, Source, load};

/// The folder `name`, or a printed line that names what was skipped.
fn at_hand(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/datasets")
        .join(name);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: {} is absent", path.display());
    None
}

fn count(text: &str, data: &Dataset) -> usize {
    let selection = Selection::parse(text).unwrap();
    match selection.resolve(data, &LoadOptions::default()).unwrap() {
        Selected::Indices(found) => found.len(),
        Selected::External(set) => set.len(),
    }
}

#[test]
fn celebas_ten_thousand_photos_have_their_published_attributes() {
    let Some(path) = at_hand("celeba") else {
        return;
    };
    let options = LoadOptions {
        size: Some(16),
        ..LoadOptions::default()
    };
    let set = load(&Source::parse(path.to_str().unwrap()).unwrap(), &options).unwrap();
    assert_eq!((set.len(), set.skipped), (10_000, 0));
    assert_eq!(set.attributes.as_ref().unwrap().names.len(), 40);
    assert_eq!(count("attr:Eyeglasses", &set), 674);
    assert_eq!(count("attr:Blond_Hair", &set), 1452);
    assert_eq!(count("attr:!Blond_Hair", &set), 10_000 - 1452);
}

#[test]
fn mnists_sixty_thousand_digits_have_their_published_classes() {
    let Some(path) = at_hand("mnist") else {
        return;
    };
    let source = Source::parse(path.to_str().unwrap()).unwrap();
    let set = load(&source, &LoadOptions::default()).unwrap();
    assert_eq!((set.len(), set.shape.dim()), (60_000, 28 * 28));
    assert_eq!(count("class:8", &set), 5851);
}
