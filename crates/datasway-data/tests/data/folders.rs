//! Layouts of folders: what is read, what is refused and what is reported.

use std::fs;
use std::path::Path;

use datasway_data::{DataError, Dataset, LoadOptions, Source, load};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

/// A folder of files; an image of its own colour at every path that an image's ending ends.
fn place(paths: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (i, path) in paths.iter().enumerate() {
        let target = dir.path().join(path);
        if path.ends_with('/') {
            fs::create_dir_all(target).unwrap();
            continue;
        }
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        let picture = RgbImage::from_pixel(4, 4, Rgb([i as u8; 3]));
        picture
            .save_with_format(&target, image::ImageFormat::Png)
            .unwrap();
    }
    dir
}

/// Loads a folder twice, the second time from the cache, which must say the same.
fn open(dir: &TempDir) -> Result<Dataset, DataError> {
    let (source, cache) = (
        Source::Folder(dir.path().into()),
        tempfile::tempdir().unwrap(),
    );
    let options = LoadOptions {
        cache_dir: Some(cache.path().into()),
        ..LoadOptions::default()
    };
    let first = load(&source, &options)?;
    let second = load(&source, &options)?;
    assert!(second.from_cache);
    assert_eq!(first.summary(), second.summary());
    Ok(first)
}

#[test]
fn what_is_found_and_what_is_passed_over_is_said() {
    for (paths, said) in [
        (&["a.png"][..], "1 image"),
        (
            &[
                "a.png", "b.jpg", "c.JPEG", "d.jpe", "e.jfif", "f.bmp", "g.webp",
            ],
            "7 images",
        ),
        (
            &[
                "a.png", "b.gif", "c.GIF", "d.tif", "e.tiff", "f.heic", "g.avif", "h.npy",
            ],
            "1 image; passed over: 1 .avif, 2 .gif, 1 .heic, 1 .npy, 1 .tif, 1 .tiff",
        ),
        (
            &["a.png", "README", "notes.txt"],
            "1 image; passed over: 1 file without an ending, 1 .txt",
        ),
        (
            &["a.png", "._a.png", ".DS_Store", "Thumbs.db"],
            "1 image; passed over: 3 hidden files",
        ),
        (
            &[
                "a.png",
                ".git/x.png",
                ".ipynb_checkpoints/y.png",
                "__MACOSX/z.png",
            ],
            "1 image; passed over: 3 hidden folders",
        ),
        (
            &["a.png", "empty/", "gifs/a.gif"],
            "1 image; passed over: 1 .gif, 2 folders without images (empty, gifs)",
        ),
        (
            &["cat/a.png", "dog/b.png", "dog/c.png"],
            "3 images in 2 classes",
        ),
        (&["cat/a.png"], "1 image in 1 class"),
        (
            &["cat/a.png", "dog/b.png", ".git/c.png", "cat/._a.png"],
            "2 images in 2 classes; passed over: 1 hidden file, 1 hidden folder",
        ),
        (
            &["cat/a.png", "dog/b.png", "none/", "tifs/b.tif"],
            "2 images in 2 classes; passed over: 1 .tif, 2 folders without images (none, tifs)",
        ),
        (
            &[
                "cat/a.png",
                "dog/b.png",
                "dog/more/c.png",
                "dog/more/still/d.png",
            ],
            "2 images in 2 classes; passed over: 2 images in nested folders (dog/more)",
        ),
        (&["cat.png/a.png", "dog/b.png"], "2 images in 2 classes"),
        (
            &["Cat/a.png", "cat/b.png"],
            "2 images in 2 classes\nnote: the classes Cat, cat differ in upper and lower case alone",
        ),
        (
            &["train/a.png", "Validation/b.png"],
            "2 images in 2 classes\nnote: Validation, train are taken for classes; name one of the folders if they are parts of a \
             data set",
        ),
        (&["a\nb.png", "x.g\nif"], "1 image; passed over: 1 .g\\nif"),
    ] {
        let dir = place(paths);
        let summary = open(&dir).unwrap().summary();
        assert_eq!(summary, format!("folder:{}: {said}", dir.path().display()));
    }
}

#[cfg(unix)]
#[test]
fn a_class_that_is_a_link_to_another_counts_twice_and_says_so() {
    let dir = place(&["a/1.png", "c/2.png"]);
    std::os::unix::fs::symlink(dir.path().join("a"), dir.path().join("b")).unwrap();
    let summary = open(&dir).unwrap().summary();
    let said =
        "3 images in 3 classes\nnote: the classes a, b are one folder, whose images count twice";
    assert!(summary.ends_with(said), "{summary}");
}

#[test]
fn what_is_passed_over_is_said_as_it_is_now_though_the_images_come_from_the_cache() {
    let (dir, cache) = (place(&["a.png"]), tempfile::tempdir().unwrap());
    let options = LoadOptions {
        cache_dir: Some(cache.path().into()),
        ..LoadOptions::default()
    };
    let open = || load(&Source::Folder(dir.path().into()), &options).unwrap();
    assert!(open().summary().ends_with(": 1 image"));
    fs::write(dir.path().join("b.gif"), "").unwrap();
    let second = open();
    assert!(second.from_cache);
    assert!(second.summary().ends_with(": 1 image; passed over: 1 .gif"));
}

#[test]
fn what_can_be_read_in_two_ways_is_refused_with_both() {
    for (paths, said) in [
        (
            &["a.png", "cat/b.png", "dog/c.png"][..],
            "holds 1 image and 2 folders with images (cat, dog)",
        ),
        (
            &["a.png", "b.jpg", "cat/b.png"],
            "holds 2 images and 1 folder with images (cat)",
        ),
        (
            &["a.png", "cat/deep/b.png"],
            "holds 1 image and 1 folder with images (cat)",
        ),
    ] {
        let error = open(&place(paths)).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, DataError::Ambiguous { .. }), "{text}");
        assert!(
            text.contains(said) && text.contains("without classes"),
            "{text}"
        );
    }
}

#[test]
fn a_folder_without_images_says_what_it_holds() {
    for (paths, said) in [
        (&[][..], "the folder is empty"),
        (
            &["a.gif", "b.gif", ".hidden.png"],
            "passed over: 2 .gif, 1 hidden file",
        ),
        (&["cat/", "dog/"], "2 folders without images (cat, dog)"),
        (
            &["train/cat/a.png", "test/dog/b.png"],
            "deeper, such as in test/dog, train/cat: name the folder `",
        ),
    ] {
        let error = open(&place(paths)).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, DataError::Empty { .. }), "{text}");
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn a_file_in_the_place_of_a_folder_is_named() {
    let dir = place(&["a.png"]);
    let file = dir.path().join("a.png");
    for source in ["", "folder:", "celeba:", "mnist:", "cifar10:"] {
        let text = Source::parse(&format!("{source}{}", file.display()))
            .and_then(|source| load(&source, &LoadOptions::default()))
            .unwrap_err()
            .to_string();
        assert!(text.contains("a.png"), "{source}: {text}");
    }
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_circles_end() {
    use std::os::unix::fs::symlink;
    let elsewhere = place(&["a.png", "b.png"]);
    let dir = place(&["cat/c.png"]);
    symlink(elsewhere.path(), dir.path().join("dog")).unwrap();
    symlink(dir.path(), dir.path().join("self")).unwrap();
    symlink(dir.path().parent().unwrap(), dir.path().join("up")).unwrap();
    symlink(dir.path(), dir.path().join("cat/again")).unwrap();
    let set = open(&dir).unwrap();
    assert_eq!(set.names, ["cat/c.png", "dog/a.png", "dog/b.png"]);
    let summary = set.summary();
    assert!(summary.contains("3 images in 2 classes"), "{summary}");
    assert!(
        summary.contains("2 folders that lead back here"),
        "{summary}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_no_unicode_are_read_as_files_and_refused_as_classes() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let dir = place(&["a.png"]);
    let odd = |name: &[u8]| dir.path().join(OsStr::from_bytes(name));
    fs::copy(dir.path().join("a.png"), odd(b"\xff.png")).unwrap();
    assert_eq!(open(&dir).unwrap().len(), 2);
    let dir = place(&["cat/a.png"]);
    let folder = dir.path().join(OsStr::from_bytes(b"\xff"));
    fs::create_dir(&folder).unwrap();
    fs::copy(dir.path().join("cat/a.png"), folder.join("a.png")).unwrap();
    let text = open(&dir).unwrap_err().to_string();
    assert!(text.contains("its name is not Unicode"), "{text}");
}

#[test]
fn a_limit_takes_an_even_share_of_every_class_and_the_first_of_other_sets() {
    let classes = place(&[
        "a/1.png", "a/2.png", "a/3.png", "b/1.png", "c/1.png", "c/2.png",
    ]);
    let flat = place(&["a.png", "b.png", "c.png"]);
    for (dir, limit, names, said) in [
        (
            &classes,
            1,
            &["a/1.png"][..],
            "1 of 6 images in 1 of 3 classes",
        ),
        (
            &classes,
            3,
            &["a/1.png", "b/1.png", "c/1.png"],
            "3 of 6 images in 3 classes",
        ),
        (
            &classes,
            4,
            &["a/1.png", "a/2.png", "b/1.png", "c/1.png"],
            "4 of 6 images in 3 classes",
        ),
        (
            &classes,
            60,
            &[
                "a/1.png", "a/2.png", "a/3.png", "b/1.png", "c/1.png", "c/2.png",
            ],
            "6 images in 3 classes",
        ),
        (&flat, 2, &["a.png", "b.png"], "2 of 3 images"),
    ] {
        let options = LoadOptions {
            limit: Some(limit),
            ..LoadOptions::default()
        };
        let set = load(&Source::Folder(dir.path().into()), &options).unwrap();
        assert_eq!(set.names, names, "{limit}");
        assert!(set.summary().ends_with(said), "{}", set.summary());
    }
}

#[test]
fn images_left_out_are_said() {
    let dir = place(&["a.png", "b.png"]);
    fs::write(Path::join(dir.path(), "c.png"), "none").unwrap();
    let options = LoadOptions {
        skip_bad: true,
        ..LoadOptions::default()
    };
    let summary = load(&Source::Folder(dir.path().into()), &options)
        .unwrap()
        .summary();
    assert!(
        summary.contains("2 images; left out: 1 bad image, the first: "),
        "{summary}"
    );
    assert!(summary.contains("c.png"), "{summary}");
}
