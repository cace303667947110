//! CelebA's layout: tables, missing and bad images.

use std::fs;
use std::path::Path;

use datasway_data::{DataError, Dataset, LoadOptions, Source, faces, load};
use tempfile::TempDir;

/// Six procedural faces in CelebA's layout, 16 pixels after the crop.
fn six() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    faces::write_celeba(dir.path(), 6, 1, 16).unwrap();
    dir
}

fn open(dir: &TempDir, size: usize, skip_bad: bool) -> Result<Dataset, DataError> {
    let options = LoadOptions {
        size: Some(size),
        skip_bad,
        ..LoadOptions::default()
    };
    load(&Source::Celeba(dir.path().into()), &options)
}

fn table(dir: &TempDir, change: impl Fn(&str) -> String) {
    let path = dir.path().join("list_attr_celeba.txt");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, change(&text)).unwrap();
}

fn image(dir: &TempDir, name: &str) -> std::path::PathBuf {
    Path::join(dir.path(), "img_align_celeba").join(name)
}

#[test]
fn a_listed_image_that_is_missing_is_named() {
    let dir = six();
    fs::remove_file(image(&dir, "000003.png")).unwrap();
    let error = open(&dir, 16, false).unwrap_err();
    assert!(matches!(error, DataError::MissingImage { .. }));
    let text = error.to_string();
    assert!(text.contains("000003.png is listed in"), "{text}");
    assert!(text.contains("list_attr_celeba.txt"), "{text}");
}

#[test]
fn skip_bad_counts_missing_images_and_keeps_labels_with_their_images() {
    let dir = six();
    let whole = open(&dir, 16, false).unwrap();
    fs::remove_file(image(&dir, "000003.png")).unwrap();
    let remaining = open(&dir, 16, true).unwrap();
    assert_eq!((remaining.len(), remaining.skipped), (5, 1));
    assert!(
        remaining
            .first_skipped
            .as_ref()
            .unwrap()
            .contains("000003.png")
    );
    assert_eq!(
        remaining.fingerprint,
        whole.subset(&[0, 1, 3, 4, 5]).fingerprint
    );
}

#[test]
fn a_table_whose_count_or_names_do_not_match_is_named() {
    let announced = six();
    table(&announced, |t| t.replacen('6', "7", 1));
    let text = open(&announced, 16, true).unwrap_err().to_string();
    assert!(text.contains("announces 7 images and lists 6"), "{text}");

    let short = six();
    table(&short, |t| t.trim_end().rsplit_once(' ').unwrap().0.into());
    let text = open(&short, 16, true).unwrap_err().to_string();
    assert!(text.contains("values to 000006.png"), "{text}");

    let headless = six();
    table(&headless, |t| t.split_once('\n').unwrap().1.into());
    let text = open(&headless, 16, true).unwrap_err().to_string();
    assert!(text.contains("instead of a count"), "{text}");
}

#[test]
fn a_partition_that_lacks_an_image_is_named() {
    let dir = six();
    let lines: String = (1..6).map(|i| format!("{i:06}.png 0\n")).collect();
    fs::write(dir.path().join("list_eval_partition.txt"), lines).unwrap();
    let text = open(&dir, 16, false).unwrap_err().to_string();
    assert!(
        text.contains("list_eval_partition.txt does not list 000006.png"),
        "{text}"
    );
}

#[test]
fn a_missing_table_or_folder_is_named() {
    let dir = six();
    fs::remove_dir_all(image(&dir, "")).unwrap();
    let text = open(&dir, 16, true).unwrap_err().to_string();
    assert!(text.contains("img_align_celeba"), "{text}");
    fs::remove_file(dir.path().join("list_attr_celeba.txt")).unwrap();
    let text = open(&dir, 16, true).unwrap_err().to_string();
    assert!(text.contains("list_attr_celeba.txt is missing"), "{text}");
}

#[test]
fn a_truncated_jpeg_is_named_wherever_it_ends() {
    let dir = six();
    let picture = image::open(image(&dir, "000002.png")).unwrap();
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture
        .resize_exact(89, 109, image::imageops::FilterType::Triangle)
        .write_to(&mut bytes, image::ImageFormat::Jpeg)
        .unwrap();
    let jpeg = bytes.into_inner();
    fs::write(image(&dir, "000002.png"), &jpeg).unwrap();
    open(&dir, 16, false).unwrap();
    for tenths in [0, 1, 2, 5, 8, 9] {
        fs::write(image(&dir, "000002.png"), &jpeg[..jpeg.len() * tenths / 10]).unwrap();
        let error = open(&dir, 16, false).unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, DataError::BadImage { .. }),
            "{tenths}: {text}"
        );
        assert!(text.contains("000002.png is truncated"), "{text}");
    }
    assert_eq!(open(&dir, 16, true).unwrap().skipped, 1);
}

#[test]
fn an_image_smaller_than_asked_is_named() {
    let dir = six();
    let text = open(&dir, 17, false).unwrap_err().to_string();
    assert!(text.contains("000001.png gives only 16x16"), "{text}");
    assert!(text.contains("17x17"), "{text}");
}

#[test]
fn nothing_left_after_skipping_is_an_error() {
    let dir = six();
    fs::remove_dir_all(image(&dir, "")).unwrap();
    fs::create_dir(image(&dir, "")).unwrap();
    assert!(matches!(open(&dir, 16, true), Err(DataError::Empty { .. })));
}

#[test]
fn a_table_of_attributes_that_cannot_be_meant_is_named() {
    type Change = fn(&str) -> String;
    let changes: [(&str, Change); 16] = [
        ("lists 000001.png twice", |t| t.replace("000002", "000001")),
        ("has the attribute Smiling twice, in columns 1 and 8", |t| {
            t.replace("Bangs", "Smiling")
        }),
        (
            "lists `../000001.png`, which is not the name of a file",
            |t| t.replace("000001", "../000001"),
        ),
        ("lists `/etc/000001.png`", |t| {
            t.replace("000001", "/etc/000001")
        }),
        ("lists `a\\000001.png`", |t| {
            t.replace("000001", "a\\000001")
        }),
        ("lists `..`", |t| t.replace("000001.png", "..")),
        ("announces 60 images and lists 6", |t| {
            t.replacen('6', "60", 1)
        }),
        ("announces 18,446,744,073,709,551,615 images", |t| {
            t.replacen('6', "18446744073709551615", 1)
        }),
        ("starts with `-6` instead of a count", |t| {
            t.replacen('6', "-6", 1)
        }),
        ("starts with `1e9` instead of a count", |t| {
            t.replacen('6', "1e9", 1)
        }),
        ("starts with `` instead of a count", |_| String::new()),
        ("names no attribute", |_| "0\n".into()),
        ("has the number -1 in its second line", |t| {
            t.replace("Bangs", "-1")
        }),
        ("each 1 or -1", |t| t.replacen(" -1", " 2", 1)),
        ("does not give 11 values to 000001.png", |t| {
            t.replace("000001.png", "000001.png 1")
        }),
        ("starts with `image_id,Bangs`", |_| {
            "image_id,Bangs\n000001.png,1\n".into()
        }),
    ];
    for (said, change) in changes {
        let dir = six();
        table(&dir, change);
        for skip_bad in [false, true] {
            let text = open(&dir, 16, skip_bad).unwrap_err().to_string();
            assert!(text.contains("list_attr_celeba.txt"), "{text}");
            assert!(text.contains(said), "{said}: {text}");
        }
    }
    let dir = six();
    fs::write(dir.path().join("list_attr_celeba.txt"), [0xff, 0xfe, 0x36]).unwrap();
    let text = open(&dir, 16, true).unwrap_err().to_string();
    assert!(text.contains("is not text in UTF-8"), "{text}");
}

#[test]
fn a_table_saved_by_any_editor_is_the_same() {
    type Change = fn(&str) -> String;
    let changes: [Change; 5] = [
        |t| t.replace('\n', "\r\n"),
        |t| format!("\u{feff}{t}"),
        |t| t.replace(' ', "\t"),
        |t| format!("{t}\n  \n"),
        |t| t.trim_end().into(),
    ];
    let expected = open(&six(), 16, false).unwrap().fingerprint;
    for change in changes {
        let dir = six();
        table(&dir, change);
        assert_eq!(open(&dir, 16, false).unwrap().fingerprint, expected);
    }
}

#[test]
fn the_optional_tables_are_read_to_the_last_line() {
    let rows =
        |value: &str| -> String { (1..=6).map(|i| format!("{i:06}.png {value}\n")).collect() };
    for (file, text, said) in [
        ("list_eval_partition.txt", rows("2"), ""),
        ("list_eval_partition.txt", rows("2") + "000007.png 1\n", ""),
        (
            "list_eval_partition.txt",
            rows("3"),
            "gives 000001.png the value `3`",
        ),
        (
            "list_eval_partition.txt",
            rows("x"),
            "gives 000001.png the value `x`",
        ),
        (
            "list_eval_partition.txt",
            rows("1") + "000003.png 0\n",
            "lists 000003.png twice",
        ),
        (
            "list_eval_partition.txt",
            rows("1") + "000007.png\n",
            "has the line `000007.png`",
        ),
        ("list_eval_partition.txt", rows("1 1"), "has the line"),
        (
            "list_eval_partition.txt",
            String::new(),
            "does not list 000001.png",
        ),
        (
            "list_eval_partition.txt",
            rows("0").replace("000002", "../2"),
            "lists `../2.png`",
        ),
        ("identity_CelebA.txt", rows("10177"), ""),
        (
            "identity_CelebA.txt",
            rows("-1"),
            "gives 000001.png the value `-1`",
        ),
        (
            "identity_CelebA.txt",
            rows("Bob"),
            "gives 000001.png the value `Bob`",
        ),
    ] {
        let dir = six();
        fs::write(dir.path().join(file), text).unwrap();
        match open(&dir, 16, true) {
            Ok(_) => assert_eq!(said, "", "{file}"),
            Err(error) => {
                let text = error.to_string();
                assert!(!said.is_empty() && text.contains(said), "{said}: {text}");
                assert!(text.contains(file), "{text}");
            }
        }
    }
}

#[test]
fn images_of_another_ending_or_without_a_row_are_said() {
    let dir = six();
    table(&dir, |t| t.replace(".png", ".jpg"));
    let text = open(&dir, 16, false).unwrap_err().to_string();
    assert!(text.contains("000001.jpg is listed in"), "{text}");
    assert!(
        text.contains("(there is ") && text.contains("000001.png)"),
        "{text}"
    );
    let dir = six();
    table(&dir, |t| {
        t.lines()
            .take(6)
            .collect::<Vec<_>>()
            .join("\n")
            .replacen('6', "4", 1)
    });
    let summary = open(&dir, 16, false).unwrap().summary();
    let said =
        "4 images with 11 attributes; passed over: 2 files that list_attr_celeba.txt does not list";
    assert!(summary.ends_with(said), "{summary}");
    // A folder of aligned images without their table is not read as one class.
    fs::remove_file(dir.path().join("list_attr_celeba.txt")).unwrap();
    let source = Source::parse(dir.path().to_str().unwrap()).unwrap();
    assert!(matches!(
        load(&source, &LoadOptions::default()),
        Err(DataError::Missing(_))
    ));
}
