//! The language of selections.

use std::fs;

use datasway_data::{DataError, Dataset, LoadOptions, Selected, Selection, Source, faces, load};
use image::{Rgb, RgbImage};

fn eight() -> Dataset {
    let options = LoadOptions {
        size: Some(16),
        ..LoadOptions::default()
    };
    load(&Source::Faces { count: 8, seed: 5 }, &options).unwrap()
}

fn resolve(text: &str, data: &Dataset) -> Result<Selected, DataError> {
    Selection::parse(text)
        .unwrap()
        .resolve(data, &LoadOptions::default())
}

fn indices(text: &str, data: &Dataset) -> Vec<usize> {
    match resolve(text, data).unwrap() {
        Selected::Indices(found) => found,
        Selected::External(_) => panic!("{text} is from elsewhere"),
    }
}

fn external(text: &str, data: &Dataset) -> Dataset {
    match resolve(text, data).unwrap() {
        Selected::External(found) => found,
        Selected::Indices(_) => panic!("{text} is from the set"),
    }
}

#[test]
fn what_is_written_is_read_back() {
    for text in [
        "all",
        "attr:Eyeglasses",
        "attr:!Smiling",
        "attr:Male&!Smiling&Eyeglasses",
        "class:8",
        "class:a:b",
        "index:3",
        "index:3,17,100-120",
        "folder:some/where else",
        "image:a:b.png",
    ] {
        assert_eq!(Selection::parse(text).unwrap().to_string(), text);
    }
    for text in [
        "faces:5@0",
        "celeba:a b",
        "mnist:x:y",
        "cifar10:.",
        "folder:/",
    ] {
        assert_eq!(Source::parse(text).unwrap().to_string(), text);
    }
}

#[test]
fn what_cannot_be_read_says_what_can() {
    for text in [
        "",
        "none",
        "attr:",
        "attr:!",
        "attr:A&",
        "index:",
        "index:a",
        "index:5-3",
        "index:1,,2",
        "kind:8",
        "attr",
        "index:-1",
    ] {
        let error = Selection::parse(text).unwrap_err().to_string();
        assert!(error.contains("write all, attr:NAME"), "{text}: {error}");
    }
    for text in ["faces:", "faces:x", "faces:3@y"] {
        let error = Source::parse(text).unwrap_err().to_string();
        assert!(error.contains("write celeba:PATH"), "{text}: {error}");
    }
    assert!(matches!(
        Source::parse("nowhere"),
        Err(DataError::Missing(_))
    ));
}

#[test]
fn attributes_select_those_that_have_and_have_not() {
    let set = eight();
    let attributes = set.attributes.as_ref().unwrap();
    let has = |i: usize, name: &str| {
        let column = attributes.names.iter().position(|n| n == name);
        attributes.values[i][column.unwrap()]
    };
    let expect = |f: &dyn Fn(usize) -> bool| (0..8).filter(|&i| f(i)).collect::<Vec<_>>();
    assert_eq!(
        indices("attr:Smiling", &set),
        expect(&|i| has(i, "Smiling"))
    );
    assert_eq!(
        indices("attr:!Smiling", &set),
        expect(&|i| !has(i, "Smiling"))
    );
    assert_eq!(
        indices("attr:No_Beard&!Blond_Hair", &set),
        expect(&|i| has(i, "No_Beard") && !has(i, "Blond_Hair"))
    );
    assert_eq!(indices("all", &set), expect(&|_| true));
}

#[test]
fn an_unknown_attribute_lists_the_nearest() {
    let error = resolve("attr:Eyeglases", &eight()).unwrap_err();
    let DataError::UnknownAttribute { name, nearest } = &error else {
        panic!("{error}");
    };
    assert_eq!(name, "Eyeglases");
    assert_eq!(nearest.split(", ").next(), Some("Eyeglasses"));
    assert_eq!(nearest.split(", ").count(), 3);
    assert!(resolve("attr:Smiling&hat", &eight()).is_err());
}

#[test]
fn indices_select_once_and_in_order() {
    let set = eight();
    assert_eq!(indices("index:3,1-2,2", &set), [1, 2, 3]);
    assert_eq!(indices("index:7", &set), [7]);
    let error = resolve("index:0,8", &set).unwrap_err().to_string();
    assert!(
        error.contains("asks for image 8 of 8; count from 0"),
        "{error}"
    );
}

#[test]
fn classes_select_by_name() {
    let dir = tempfile::tempdir().unwrap();
    for (class, value) in [("one", 1), ("two", 2)] {
        fs::create_dir(dir.path().join(class)).unwrap();
        for name in ["a.png", "b.png"] {
            RgbImage::from_pixel(4, 4, Rgb([value; 3]))
                .save(dir.path().join(class).join(name))
                .unwrap();
        }
    }
    let set = load(&Source::Folder(dir.path().into()), &LoadOptions::default()).unwrap();
    assert_eq!(indices("class:two", &set), [2, 3]);
    let error = resolve("class:three", &set).unwrap_err().to_string();
    assert!(
        error.contains("the nearest are two, one") || error.contains("the nearest are one, two"),
        "{error}"
    );
    let error = resolve("attr:Smiling", &set).unwrap_err().to_string();
    assert!(error.contains("needs attributes"), "{error}");
    let error = resolve("class:1", &eight()).unwrap_err().to_string();
    assert!(error.contains("needs classes"), "{error}");
}

#[test]
fn images_from_elsewhere_take_the_sets_shape() {
    let set = eight();
    let dir = tempfile::tempdir().unwrap();
    faces::write_celeba(dir.path(), 2, 5, 32).unwrap();
    let folder = dir.path().join("img_align_celeba");
    let faces = external(&format!("folder:{}", folder.display()), &set);
    assert_eq!((faces.len(), faces.shape), (2, set.shape));
    let second = folder.join("000002.png");
    let face = external(&format!("image:{}", second.display()), &set);
    assert_eq!((face.len(), face.shape), (1, set.shape));
    assert_eq!(face.image(0), faces.image(1));
    // The same face as the set's own, drawn larger and reduced: the crops line up.
    let distance: f64 = (face.image(0).iter().zip(set.image(1)))
        .map(|(&a, &b)| f64::from(a.abs_diff(b)))
        .sum();
    assert!(distance / (set.shape.dim() as f64) < 2.0, "{distance}");
    let options = LoadOptions {
        grey: true,
        size: Some(8),
        ..LoadOptions::default()
    };
    let grey = load(&Source::Faces { count: 2, seed: 5 }, &options).unwrap();
    let face = external(&format!("image:{}", second.display()), &grey);
    assert_eq!(face.shape, grey.shape);
}

#[test]
fn a_named_image_that_is_bad_is_never_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.png");
    let options = LoadOptions {
        skip_bad: true,
        ..LoadOptions::default()
    };
    let selection = Selection::parse(&format!("image:{}", path.display())).unwrap();
    let resolve = || selection.resolve(&eight(), &options).unwrap_err();
    assert!(matches!(resolve(), DataError::Missing(_)));
    fs::write(&path, "not a picture").unwrap();
    assert!(matches!(resolve(), DataError::BadImage { .. }));
    RgbImage::new(15, 15).save(&path).unwrap();
    assert!(matches!(
        resolve(),
        DataError::TooSmall {
            have: 15,
            want: 16,
            ..
        }
    ));
}

#[test]
fn an_empty_selection_is_an_error() {
    let set = eight();
    let error = resolve("attr:Smiling&!Smiling", &set).unwrap_err();
    assert!(matches!(error, DataError::Empty { .. }));
    assert!(
        error
            .to_string()
            .contains("`attr:Smiling&!Smiling` selects no image")
    );
    let dir = tempfile::tempdir().unwrap();
    let error = resolve(&format!("folder:{}", dir.path().display()), &set).unwrap_err();
    assert!(matches!(error, DataError::Empty { .. }));
}

#[test]
fn a_selection_that_cannot_be_meant_is_refused_in_one_short_line() {
    let set = eight();
    let many = format!("index:{}8", "0-7,".repeat(100_000));
    for (text, said) in [
        (
            "index:0-18446744073709551615",
            "asks for image 18446744073709551615 of 8",
        ),
        (
            "index:18446744073709551615",
            "asks for image 18446744073709551615 of 8",
        ),
        ("index:18446744073709551616", "is not understood"),
        ("index:5-3", "is not understood"),
        ("index:", "is not understood"),
        ("index: 3", "is not understood"),
        ("index:3, 5", "is not understood"),
        ("index:+3", "is not understood"),
        ("index:1e1", "is not understood"),
        ("index:1-2-3", "is not understood"),
        ("index:3-", "is not understood"),
        ("index:-3", "is not understood"),
        (" all", "is not understood"),
        ("ALL", "is not understood"),
        ("attr:Smilling", "the nearest are Smiling"),
        ("attr:smiling", "the nearest are Smiling"),
        ("attr: Smiling", "attribute ` Smiling` is unknown"),
        ("attr:Smiling & Bangs", "attribute `Smiling ` is unknown"),
        ("attr:!!Smiling", "attribute `!Smiling` is unknown"),
        ("attr:a\nb", "attribute `a\\nb` is unknown"),
        ("class:8", "needs classes"),
        ("class:", "is not understood"),
        ("folder:", "is not understood"),
        ("image:", "is not understood"),
        ("image:nowhere.png", "is missing"),
        ("image:/", "is a folder where a file is needed"),
        ("folder:nowhere", "is missing"),
        ("faces:3", "is not understood"),
        (&many, "asks for image 8 of 8"),
    ] {
        let error = Selection::parse(text)
            .and_then(|selection| selection.resolve(&set, &LoadOptions::default()))
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{said}: {error}");
        assert!(!error.contains('\n') && error.len() < 2000, "{error}");
    }
}

#[test]
fn ranges_that_overlap_any_number_of_times_take_each_image_once() {
    let set = eight();
    let many = format!("index:{}3", "0-7,5,2-6,".repeat(100_000));
    assert_eq!(indices(&many, &set), (0..8).collect::<Vec<_>>());
    assert_eq!(indices("index:6-7,0-2,1-3,7,0", &set), [0, 1, 2, 3, 6, 7]);
}
