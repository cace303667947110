//! What the data sets promise.

mod cache;
mod celeba;
mod formats;

use data::{DataError, LoadOptions, Selected, Selection, Source, faces, load};

fn faces(n: usize, seed: u64) -> data::Dataset {
    let options = LoadOptions {
        size: Some(16),
        ..LoadOptions::default()
    };
    load(&Source::Faces { count: n, seed }, &options).unwrap()
}

#[test]
fn a_prefix_of_a_larger_set_of_faces_is_the_smaller_set() {
    let (small, large) = (faces(5, 3), faces(9, 3));
    assert_eq!(
        large.subset(&[0, 1, 2, 3, 4]).fingerprint,
        small.fingerprint
    );
}

#[test]
fn faces_in_celebas_layout_load_and_the_cache_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    faces::write_celeba(dir.path(), 4, 1, 16).unwrap();
    let source = Source::parse(dir.path().to_str().unwrap()).unwrap();
    let options = LoadOptions {
        size: Some(16),
        cache_dir: Some(dir.path().join("cache")),
        ..LoadOptions::default()
    };
    let first = load(&source, &options).unwrap();
    assert_eq!(first.len(), 4);
    assert_eq!(first.attributes, faces(4, 1).attributes);
    let second = load(&source, &options).unwrap();
    assert_eq!(first.image(3), second.image(3));
}

#[test]
fn selections_read_back_as_written() {
    for text in [
        "all",
        "attr:!Smiling&Bangs",
        "class:8",
        "index:3,17,100-120",
    ] {
        assert_eq!(Selection::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn an_unknown_attribute_lists_the_nearest() {
    let selection = Selection::parse("attr:Eyeglases").unwrap();
    let error = selection.resolve(&faces(2, 0), &LoadOptions::default());
    assert!(error.unwrap_err().to_string().contains("Eyeglasses"));
}

#[test]
fn indices_select_once_and_in_order() {
    let selected = Selection::parse("index:3,1-2,2").unwrap();
    match selected.resolve(&faces(4, 0), &LoadOptions::default()) {
        Ok(Selected::Indices(found)) => assert_eq!(found, [1, 2, 3]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_path_is_named() {
    assert!(matches!(
        Source::parse("nowhere"),
        Err(DataError::Missing(_))
    ));
}
