//! Procedural faces.

use std::fs;

use datasway_data::{Dataset, LoadOptions, Source, faces, load};

fn drawn(count: usize, seed: u64, size: usize) -> Dataset {
    let options = LoadOptions {
        size: Some(size),
        ..LoadOptions::default()
    };
    load(&Source::Faces { count, seed }, &options).unwrap()
}

#[test]
fn a_prefix_of_a_larger_set_is_the_smaller_set() {
    let (small, large) = (drawn(5, 3, 16), drawn(9, 3, 16));
    assert_eq!(
        large.subset(&[0, 1, 2, 3, 4]).fingerprint,
        small.fingerprint
    );
    assert_ne!(drawn(5, 4, 16).fingerprint, small.fingerprint);
}

#[test]
fn attributes_do_not_depend_on_the_size() {
    assert_eq!(drawn(20, 3, 8).attributes, drawn(20, 3, 24).attributes);
}

#[test]
fn attributes_are_independent_over_2000_faces() {
    let set = drawn(2000, 0, 4);
    let attributes = set.attributes.unwrap();
    let n = attributes.values.len() as f64;
    let k = attributes.names.len();
    assert!(k >= 10);
    let mean = |f: &dyn Fn(&[bool]) -> bool| {
        attributes.values.iter().filter(|row| f(row)).count() as f64 / n
    };
    for a in 0..k {
        let p = mean(&|row| row[a]);
        assert!((0.1..0.9).contains(&p), "{}: {p}", attributes.names[a]);
        for b in 0..a {
            let q = mean(&|row| row[b]);
            let joint = mean(&|row| row[a] && row[b]);
            // Under independence the correlation's standard deviation is 1/sqrt(2000) = 0.022.
            let correlation = (joint - p * q) / (p * (1.0 - p) * q * (1.0 - q)).sqrt();
            assert!(
                correlation.abs() < 0.09,
                "{} and {}: {correlation}",
                attributes.names[a],
                attributes.names[b]
            );
        }
    }
}

#[test]
fn faces_written_in_celebas_layout_load_as_the_same_bytes() {
    for size in [1, 7, 16, 33, 64] {
        let dir = tempfile::tempdir().unwrap();
        faces::write_celeba(dir.path(), 3, 1, size).unwrap();
        let source = Source::parse(dir.path().to_str().unwrap()).unwrap();
        let set = load(&source, &LoadOptions::default()).unwrap();
        assert_eq!((set.len(), set.shape.width), (3, size));
        // Names, attributes and pixels.
        assert_eq!(set.fingerprint, drawn(3, 1, size).fingerprint);
    }
}

#[test]
fn faces_saved_as_jpeg_load_within_its_tolerance() {
    let dir = tempfile::tempdir().unwrap();
    faces::write_celeba(dir.path(), 4, 1, 48).unwrap();
    let source = Source::Celeba(dir.path().into());
    let options = LoadOptions {
        size: Some(16),
        ..LoadOptions::default()
    };
    let png = load(&source, &options).unwrap();
    for name in &png.names {
        let path = dir.path().join("img_align_celeba").join(name);
        let picture = image::open(&path).unwrap().to_rgb8();
        let mut bytes = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95)
            .encode_image(&picture)
            .unwrap();
        fs::write(path, bytes).unwrap();
    }
    let jpeg = load(&source, &options).unwrap();
    let sum: f64 = (0..4)
        .flat_map(|i| png.image(i).iter().zip(jpeg.image(i)).collect::<Vec<_>>())
        .map(|(a, b)| f64::from(a.abs_diff(*b)))
        .sum();
    let mean = sum / (4 * png.shape.dim()) as f64;
    assert!(mean < 3.0, "{mean}");
}
