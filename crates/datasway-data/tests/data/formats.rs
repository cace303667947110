//! MNIST's idx files, CIFAR-10's batches and plain folders.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use datasway_data::{DataError, Dataset, LoadOptions, Source, load};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

fn open(source: &Source, skip_bad: bool) -> Result<Dataset, DataError> {
    let options = LoadOptions {
        skip_bad,
        ..LoadOptions::default()
    };
    load(source, &options)
}

/// An idx file of unsigned bytes.
fn idx(sizes: &[u32], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|s| bytes.extend(s.to_be_bytes()));
    bytes.extend(body);
    bytes
}

/// Two 2 x 2 images, 1 to 8, of classes 7 and 3.
fn mnist(gz: bool) -> (TempDir, Source) {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        (
            "train-images-idx3-ubyte",
            idx(&[2, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8]),
        ),
        ("train-labels-idx1-ubyte", idx(&[2], &[7, 3])),
    ] {
        if gz {
            let file = File::create(dir.path().join(format!("{name}.gz"))).unwrap();
            let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            encoder.write_all(&bytes).unwrap();
            encoder.finish().unwrap();
        } else {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
    }
    let source = Source::Mnist(dir.path().into());
    (dir, source)
}

#[test]
fn idx_plain_and_gzipped_give_the_bytes_and_labels_written() {
    for gz in [false, true] {
        let (dir, source) = mnist(gz);
        let set = open(&source, false).unwrap();
        assert_eq!((set.len(), set.shape.channels, set.shape.width), (2, 1, 2));
        assert_eq!(set.image(0), [1, 2, 3, 4]);
        assert_eq!(set.image(1), [5, 6, 7, 8]);
        assert_eq!(set.classes.unwrap().labels, [7, 3]);
        assert_eq!(Source::parse(dir.path().to_str().unwrap()).unwrap(), source);
    }
}

#[test]
fn idx_with_the_wrong_magic_length_or_count_is_named() {
    for (name, bytes, said) in [
        (
            "train-images-idx3-ubyte",
            idx(&[2], &[7, 3]),
            "images-idx3-ubyte has the wrong idx magic (not 0x0803)",
        ),
        (
            "train-labels-idx1-ubyte",
            vec![0, 0],
            "labels-idx1-ubyte has the wrong idx magic (not 0x0801)",
        ),
        (
            "train-images-idx3-ubyte",
            idx(&[2, 2, 2], &[1, 2, 3, 4, 5, 6, 7]),
            "images-idx3-ubyte has the wrong length: 7 bytes for sizes [2, 2, 2]",
        ),
        (
            "train-images-idx3-ubyte",
            idx(&[u32::MAX, u32::MAX, u32::MAX], &[1]),
            "images-idx3-ubyte has the wrong length",
        ),
        (
            "train-labels-idx1-ubyte",
            idx(&[3], &[7, 3, 1]),
            "labels-idx1-ubyte has 3 labels for 2 images",
        ),
        (
            "train-labels-idx1-ubyte",
            idx(&[2], &[7, 10]),
            "labels-idx1-ubyte has a label above 9",
        ),
    ] {
        let (dir, source) = mnist(false);
        fs::write(dir.path().join(name), bytes).unwrap();
        let text = open(&source, true).unwrap_err().to_string();
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn truncated_gzip_and_a_missing_idx_file_are_named() {
    let (dir, source) = mnist(true);
    let path = dir.path().join("train-labels-idx1-ubyte.gz");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    let text = open(&source, false).unwrap_err().to_string();
    assert!(text.contains("ubyte.gz is not whole gzip"), "{text}");
    fs::remove_file(&path).unwrap();
    let text = open(&source, false).unwrap_err().to_string();
    assert!(
        text.contains("train-labels-idx1-ubyte is missing"),
        "{text}"
    );
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Two images and two labels, as files of these names and contents.
fn files(files: &[(&str, Vec<u8>)]) -> Result<Dataset, DataError> {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    open(&Source::parse(dir.path().to_str().unwrap())?, true)
}

#[test]
fn idx_files_are_read_under_every_name_and_in_every_packing() {
    let images = idx(&[2, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8]);
    let labels = idx(&[2], &[7, 3]);
    let members = |bytes: &[u8]| [gzip(&bytes[..9]), gzip(&bytes[9..])].concat();
    for (i, l) in [
        (
            ("train-images-idx3-ubyte", images.clone()),
            ("train-labels-idx1-ubyte", labels.clone()),
        ),
        (
            ("train-images.idx3-ubyte", images.clone()),
            ("train-labels.idx1-ubyte", labels.clone()),
        ),
        (
            ("train-images.idx3-ubyte.gz", gzip(&images)),
            ("train-labels-idx1-ubyte.gz", gzip(&labels)),
        ),
        (
            ("train-images-idx3-ubyte.gz", members(&images)),
            ("train-labels.idx1-ubyte", members(&labels)),
        ),
        // Packing is recognised by content.
        (
            ("train-images-idx3-ubyte", gzip(&images)),
            ("train-labels-idx1-ubyte.gz", labels.clone()),
        ),
    ] {
        let set = files(&[i, l]).unwrap();
        assert_eq!(
            (set.image(0), set.image(1)),
            (&[1, 2, 3, 4][..], &[5, 6, 7, 8][..])
        );
        assert_eq!(set.classes.as_ref().unwrap().labels, [7, 3]);
        assert!(
            set.summary().ends_with("2 images in 2 of 10 classes"),
            "{}",
            set.summary()
        );
    }
}

#[test]
fn idx_files_that_cannot_be_meant_are_named_and_never_unpacked_beyond_their_sizes() {
    let (images, labels) = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte");
    let bomb = gzip(&[idx(&[2, 2, 2], &[]), vec![0; 64 << 20]].concat());
    let absurd = gzip(&idx(&[u32::MAX, 28, 28], &[0; 100]));
    let tail = [gzip(&idx(&[2], &[7, 3])), b"tail".to_vec()].concat();
    let typed = |kind: u8| [vec![0, 0, kind, 3], vec![0; 40]].concat();
    for (name, bytes, said) in [
        (images, Vec::new(), "has the wrong idx magic"),
        (
            images,
            bomb,
            "has the wrong length: 9 or more bytes for sizes [2, 2, 2]",
        ),
        (images, absurd, "cannot hold what its sizes"),
        (
            images,
            idx(&[0, 2, 2], &[]),
            "holds nothing: its sizes are [0, 2, 2]",
        ),
        (images, idx(&[2, 0, 2], &[]), "holds nothing"),
        (
            images,
            idx(&[2, 2, 2], &[0; 9]),
            "has the wrong length: 9 or more bytes",
        ),
        (images, idx(&[2, 2], &[0; 4]), "it has 2 dimensions, not 3"),
        (images, typed(9), "it holds signed bytes"),
        (images, typed(0x0b), "it holds longer whole numbers"),
        (images, typed(0x0d), "it holds floating-point numbers"),
        (images, vec![0x1f, 0x8b], "is not whole gzip"),
        (labels, tail, "is not whole gzip"),
        (labels, idx(&[2], &[7, 255]), "has a label above 9, 255"),
        (
            labels,
            idx(&[2, 2, 2], &[0; 8]),
            "it has 3 dimensions, not 1",
        ),
        (labels, idx(&[0], &[]), "holds nothing"),
    ] {
        let (dir, source) = mnist(false);
        fs::write(dir.path().join(name), bytes).unwrap();
        let text = open(&source, true).unwrap_err().to_string();
        assert!(text.contains(name) && text.contains(said), "{said}: {text}");
    }
}

/// One CIFAR-10 record: a label, then planes of constant red, green and blue.
fn record(label: u8, colour: [u8; 3]) -> Vec<u8> {
    let mut bytes = vec![label];
    colour.iter().for_each(|&v| bytes.extend([v; 1024]));
    bytes
}

#[test]
fn cifar_batches_give_the_planes_and_labels_written() {
    let dir = tempfile::tempdir().unwrap();
    let first = [record(6, [1, 2, 3]), record(0, [4, 5, 6])].concat();
    fs::write(dir.path().join("data_batch_1.bin"), first).unwrap();
    fs::write(dir.path().join("data_batch_2.bin"), record(9, [7, 8, 9])).unwrap();
    let source = Source::parse(dir.path().to_str().unwrap()).unwrap();
    let set = open(&source, false).unwrap();
    assert_eq!(
        (set.len(), set.shape.channels, set.shape.height),
        (3, 3, 32)
    );
    for (i, colour) in [[1, 2, 3], [4, 5, 6], [7, 8, 9]].iter().enumerate() {
        assert_eq!(set.image(i), &record(0, *colour)[1..]);
    }
    let classes = set.classes.unwrap();
    assert_eq!(classes.labels, [6, 0, 9]);
    assert_eq!(classes.names[6], "frog");
}

#[test]
fn a_truncated_cifar_batch_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let source = Source::Cifar10(dir.path().into());
    let text = open(&source, true).unwrap_err().to_string();
    assert!(text.contains("data_batch_1.bin is missing"), "{text}");
    let path = dir.path().join("data_batch_1.bin");
    for (bytes, said) in [
        (
            record(1, [0; 3])[..3000].to_vec(),
            "wrong length: 3000 bytes",
        ),
        (Vec::new(), "wrong length: 0 bytes"),
        (record(10, [0; 3]), "label above 9"),
    ] {
        fs::write(&path, bytes).unwrap();
        let text = open(&source, true).unwrap_err().to_string();
        assert!(text.contains("data_batch_1.bin has"), "{text}");
        assert!(text.contains(said), "{text}");
    }
}

/// Saves a picture whose left half is red and right half blue.
fn save(path: &Path, width: u32, height: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_fn(width, height, |x, _| {
        Rgb(if x < width / 2 {
            [255, 0, 0]
        } else {
            [0, 0, 255]
        })
    })
    .save(path)
    .unwrap();
}

#[test]
fn a_subfolder_is_a_class() {
    let dir = tempfile::tempdir().unwrap();
    save(&dir.path().join("dogs/b.png"), 4, 4);
    save(&dir.path().join("cats/a.bmp"), 4, 6);
    save(&dir.path().join("cats/c.png"), 6, 4);
    fs::create_dir(dir.path().join("empty")).unwrap();
    fs::write(dir.path().join("cats/README.txt"), "not a picture").unwrap();
    let set = open(&Source::parse(dir.path().to_str().unwrap()).unwrap(), false).unwrap();
    assert_eq!(set.names, ["cats/a.bmp", "cats/c.png", "dogs/b.png"]);
    let classes = set.classes.as_ref().unwrap();
    assert_eq!(classes.names, ["cats", "dogs"]);
    assert_eq!(classes.labels, [0, 0, 1]);
    // The centre square: half red, half blue, in every one.
    for i in 0..3 {
        assert_eq!(set.image(i)[..4], [255, 255, 0, 0], "{}", set.names[i]);
    }
}

#[test]
fn a_folder_of_images_has_no_classes() {
    let dir = tempfile::tempdir().unwrap();
    save(&dir.path().join("one.png"), 4, 4);
    let set = open(&Source::Folder(dir.path().into()), false).unwrap();
    assert_eq!(set.names, ["one.png"]);
    assert!(set.classes.is_none());
}

#[test]
fn aligned_proportions_are_cropped_as_celeba_crops_them_and_others_in_the_centre() {
    for (width, height) in [(178, 218), (89, 109), (45, 55), (44, 54)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("img_align_celeba/000001.png");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 0]))
            .save(&path)
            .unwrap();
        let table = "1\nSmiling\n000001.png 1\n";
        fs::write(dir.path().join("list_attr_celeba.txt"), table).unwrap();
        let celeba = open(&Source::Celeba(dir.path().into()), false).unwrap();
        let folder = open(&Source::Folder(path.parent().unwrap().into()), false).unwrap();
        assert_eq!(celeba.image(0), folder.image(0), "{width} x {height}");
        let (side, middle_row) = (celeba.shape.width, celeba.shape.dim() / 3);
        assert_eq!(
            side as u32,
            (f64::from(width) * 148.0 / 178.0).round() as u32
        );
        // The eyes' line is above the middle of the photo: so is the square's top left corner.
        let corner = (folder.image(0)[0], folder.image(0)[middle_row]);
        if (width, height) == (178, 218) {
            assert_eq!(corner, (15, 47));
        }
    }
    for (width, height) in [(178, 217), (109, 89), (80, 100), (148, 148)] {
        let dir = tempfile::tempdir().unwrap();
        save(&dir.path().join("a.png"), width, height);
        let set = open(&Source::Folder(dir.path().into()), false).unwrap();
        assert_eq!(set.shape.width as u32, width.min(height));
    }
}

#[test]
fn files_that_are_no_images_are_named_or_with_skip_bad_counted() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a.png", "c.png", "e.png"] {
        save(&dir.path().join(name), 4, 4);
    }
    fs::write(dir.path().join("b.jpg"), "not a picture").unwrap();
    let png = fs::read(dir.path().join("c.png")).unwrap();
    fs::write(dir.path().join("d.png"), &png[..png.len() / 2]).unwrap();
    save(&dir.path().join("f.png"), 3, 3);
    let source = Source::Folder(dir.path().into());
    let text = open(&source, false).unwrap_err().to_string();
    assert!(
        text.contains("b.jpg is truncated or not an image"),
        "{text}"
    );
    let set = open(&source, true).unwrap();
    assert_eq!(set.names, ["a.png", "c.png", "e.png"]);
    assert_eq!(set.skipped, 3);
    assert!(set.first_skipped.unwrap().contains("b.jpg"));
}

#[test]
fn an_empty_or_missing_folder_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = open(&Source::Folder(dir.path().into()), false).unwrap_err();
    assert!(matches!(error, DataError::Empty { .. }));
    let error = open(&Source::Folder(dir.path().join("none")), false).unwrap_err();
    assert!(matches!(error, DataError::Missing(_)));
}

#[test]
fn cifar_in_another_form_or_with_batches_missing_or_twice_is_named() {
    let (first, second) = (record(1, [1, 2, 3]), record(2, [4, 5, 6]));
    let third = record(3, [7, 8, 9]);
    for (names, said) in [
        (
            &[("data_batch_1.bin", &first), ("data_batch_3.bin", &second)][..],
            "data_batch_2.bin is missing",
        ),
        (
            &[("data_batch_2.bin", &first)],
            "data_batch_1.bin is missing",
        ),
        (
            &[
                ("data_batch_1.bin", &first),
                ("data_batch_2.bin", &second),
                ("data_batch_4.bin", &third),
            ],
            "data_batch_3.bin is missing",
        ),
        (
            &[("data_batch_1.bin", &first), ("data_batch_2.bin", &first)],
            "data_batch_2.bin holds the same as data_batch_1.bin",
        ),
        (
            &[("data_batch_1", &first)],
            "holds the Python version of CIFAR-10",
        ),
        (
            &[("train.bin", &first), ("fine_label_names.txt", &first)],
            "holds CIFAR-100",
        ),
    ] {
        let named: Vec<_> = names.iter().map(|&(n, b)| (n, b.clone())).collect();
        let text = files(&named).unwrap_err().to_string();
        assert!(text.contains(said), "{said}: {text}");
    }
    let set = files(&[("data_batch_1.bin", first), ("data_batch_2.bin", second)]).unwrap();
    let summary = set.summary();
    assert!(summary.contains("2 images in 2 of 10 classes"), "{summary}");
    assert!(
        summary.contains("holds 2 of CIFAR-10's 5 training batches"),
        "{summary}"
    );
}
