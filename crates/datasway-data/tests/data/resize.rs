//! Crops and filters against torchvision and Pillow, whose images `scripts/fixtures/resize.py` wrote.

use datasway_data::{Crop, DataError, Dataset, Filter, LoadOptions, Source, load};
use image::{Rgb, RgbImage};
use serde::Deserialize;

const CASES: &str = include_str!("resize.json");

/// An image that torchvision made of a drawn picture.
#[derive(Deserialize)]
struct Case {
    width: u32,
    height: u32,
    size: usize,
    crop: Crop,
    filter: Filter,
    grey: bool,
    pixels: String,
}

/// Noise on bars, drawn as by the script.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let bar = if (x / 3 + y / 4) % 2 > 0 { 255 } else { 0_u8 };
        Rgb([0, 1, 2].map(|c| {
            let seed = u64::from(x) * 7919 + u64::from(y) * 104_729 + c * 1_299_709;
            let noise = (seed.wrapping_mul(2_654_435_761) % (1 << 32)) >> 26;
            bar.abs_diff(noise as u8)
        }))
    })
}

/// Loads a folder of one drawn picture.
fn open(width: u32, height: u32, options: &LoadOptions) -> Result<Dataset, DataError> {
    let dir = tempfile::tempdir().unwrap();
    picture(width, height)
        .save(dir.path().join("a.png"))
        .unwrap();
    load(&Source::Folder(dir.path().into()), options)
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits = hexadecimal.as_bytes().chunks_exact(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn images_are_those_of_torchvision_byte_by_byte() {
    let cases: Vec<Case> = serde_json::from_str(CASES).unwrap();
    assert_eq!(cases.len(), 96);
    for case in cases {
        let options = LoadOptions {
            size: Some(case.size),
            crop: case.crop,
            filter: case.filter,
            grey: case.grey,
            ..LoadOptions::default()
        };
        let set = open(case.width, case.height, &options).unwrap();
        // PyTorch interpolates in single precision, which may round a half the other way.
        let tolerance = u8::from(case.filter == Filter::BilinearNoAntialias);
        let expected = bytes(&case.pixels);
        let pairs = set.image(0).iter().zip(&expected);
        let most = pairs.map(|(a, b)| a.abs_diff(*b)).max();
        assert_eq!(set.image(0).len(), expected.len());
        assert!(
            most <= Some(tolerance),
            "{}x{} to {} by {} and {}: {most:?} grey levels",
            case.width,
            case.height,
            case.size,
            case.crop,
            case.filter
        );
    }
}

#[test]
fn every_filter_and_crop_gives_other_images() {
    let mut seen = std::collections::HashSet::new();
    for crop in [Crop::Square, Crop::Center, Crop::Stretch] {
        for filter in Filter::ALL {
            let options = LoadOptions {
                size: Some(13),
                crop,
                filter,
                ..LoadOptions::default()
            };
            let set = open(37, 23, &options).unwrap();
            assert!(seen.insert(set.fingerprint), "{crop} and {filter}");
        }
    }
}

#[test]
fn names_of_filters_and_crops_are_read_back_and_others_refused() {
    for filter in Filter::ALL {
        assert_eq!(filter.to_string().parse(), Ok(filter));
        assert_eq!(serde_json::json!(filter), filter.name());
    }
    for crop in Crop::ALL {
        assert_eq!(crop.to_string().parse(), Ok(crop));
        assert_eq!(serde_json::json!(crop), crop.name());
    }
    assert!("nearest".parse::<Filter>().unwrap_err().contains("lanczos"));
    assert!("left".parse::<Crop>().unwrap_err().contains("stretch"));
}

#[test]
fn the_default_is_the_square_of_the_format_by_areas_and_refuses_small_pictures() {
    let sized = |size, crop| LoadOptions {
        size: Some(size),
        crop,
        ..LoadOptions::default()
    };
    let default = open(24, 31, &sized(8, Crop::Format)).unwrap();
    let square = open(24, 31, &sized(8, Crop::Square)).unwrap();
    assert_eq!(default.image(0), square.image(0));
    for crop in [Crop::Format, Crop::Square, Crop::Center, Crop::Stretch] {
        let error = open(24, 31, &sized(25, crop)).unwrap_err();
        assert!(
            matches!(
                error,
                DataError::TooSmall {
                    have: 24,
                    want: 25,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn without_a_crop_a_picture_of_another_size_is_refused() {
    let sized = |size| LoadOptions {
        size,
        crop: Crop::None,
        ..LoadOptions::default()
    };
    let kept = open(9, 9, &sized(Some(9))).unwrap();
    let pixels: Vec<u8> = picture(9, 9).pixels().map(|p| p.0[0]).collect();
    assert_eq!(kept.image(0)[..81], pixels);
    for (width, height) in [(9, 10), (10, 10), (8, 9)] {
        let error = open(width, height, &sized(Some(9))).unwrap_err();
        assert!(
            matches!(error, DataError::OtherSize { want: 9, .. }),
            "{error}"
        );
        assert!(error.is_of_one_image());
    }
    assert!(open(9, 10, &sized(None)).is_err());
}

#[test]
fn a_long_narrow_picture_takes_no_memory_for_what_is_cut_away() {
    let options = LoadOptions {
        size: Some(1024),
        crop: Crop::Center,
        filter: Filter::Lanczos,
        ..LoadOptions::default()
    };
    // The whole picture would have 1024 × 4,096,000 pixels.
    let set = open(1, 4000, &options).unwrap();
    assert_eq!(set.shape.dim(), 3 << 20);
}
