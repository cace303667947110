//! Image files: formats, orientation, transparency, damage, and what is no image.

use std::fs;
use std::io::Cursor;
#[cfg(unix)]
use std::path::Path;

use datasway_data::{DataError, Dataset, LoadOptions, Source, load, mask};
use flate2::Crc;
use image::codecs::jpeg::JpegEncoder;
use image::{
    DynamicImage, GrayAlphaImage, ImageBuffer, ImageEncoder, ImageFormat, LumaA, Rgb, RgbImage,
    Rgba, RgbaImage,
};

/// 24 x 24 pixels of patterns with halved colours, saved by libjpeg in every way.
const BASELINE: &[u8] = include_bytes!("jpeg/baseline.jpg");
const RESTARTS: &[u8] = include_bytes!("jpeg/restarts.jpg");
const PROGRESSIVE: &[u8] = include_bytes!("jpeg/progressive.jpg");
const GREY_PROGRESSIVE: &[u8] = include_bytes!("jpeg/grey-progressive.jpg");
/// 16 x 16 pixels of the ink (10, 200, 60, 30).
const CMYK: &[u8] = include_bytes!("jpeg/cmyk.jpg");

/// Loads a folder of one file.
fn open(name: &str, bytes: &[u8]) -> Result<Dataset, DataError> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name), bytes).unwrap();
    load(&Source::Folder(dir.path().into()), &LoadOptions::default())
}

/// The pixel at (`x`, `y`) of the only image.
fn pixel(set: &Dataset, x: usize, y: usize) -> [u8; 3] {
    let side = set.shape.width;
    [0, 1, 2].map(|c| set.image(0)[(c * side + y) * side + x])
}

fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A picture whose four quarters differ in brightness: 0, 80 above 160, 240.
fn quarters(side: u32) -> RgbImage {
    RgbImage::from_fn(side, side, |x, y| {
        let quarter = u8::from(x >= side / 2) + 2 * u8::from(y >= side / 2);
        Rgb([80 * quarter; 3])
    })
}

/// A TIFF header with one entry: the orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    bytes.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

fn jpeg(image: &RgbImage, exif: Option<Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
    if let Some(exif) = exif {
        encoder.set_exif_metadata(exif).unwrap();
    }
    encoder.encode_image(image).unwrap();
    bytes
}

fn png(image: &RgbImage, exif: Vec<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder.set_exif_metadata(exif).unwrap();
    let (width, height) = image.dimensions();
    encoder
        .write_image(image, width, height, image::ExtendedColorType::Rgb8)
        .unwrap();
    bytes
}

fn webp(image: &RgbImage, exif: Vec<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::webp::WebPEncoder::new_lossless(&mut bytes);
    encoder.set_exif_metadata(exif).unwrap();
    let (width, height) = image.dimensions();
    encoder
        .encode(image, width, height, image::ExtendedColorType::Rgb8)
        .unwrap();
    bytes
}

#[test]
fn every_orientation_is_turned_upright_in_every_format() {
    // The corners top left, top right, bottom left, bottom right as they should be seen, of the stored 0, 80, 160, 240.
    let corners = [
        (0, [0, 80, 160, 240]),
        (1, [0, 80, 160, 240]),
        (2, [80, 0, 240, 160]),
        (3, [240, 160, 80, 0]),
        (4, [160, 240, 0, 80]),
        (5, [0, 160, 80, 240]),
        (6, [160, 0, 240, 80]),
        (7, [240, 80, 160, 0]),
        (8, [80, 240, 0, 160]),
        (9, [0, 80, 160, 240]),
    ];
    let image = quarters(32);
    for (orientation, expected) in corners {
        let exif = exif(orientation);
        for (name, bytes) in [
            ("a.jpg", jpeg(&image, Some(exif.clone()))),
            ("a.png", png(&image, exif.clone())),
            ("a.webp", webp(&image, exif.clone())),
        ] {
            let set = open(name, &bytes).unwrap();
            let corners = [(4, 4), (28, 4), (4, 28), (28, 28)].map(|(x, y)| pixel(&set, x, y)[0]);
            for (f, e) in corners.iter().zip(expected) {
                assert!(f.abs_diff(e) < 6, "{name}, {orientation}: {corners:?}");
            }
        }
    }
}

/// EXIF data where other programs put them: behind the pixels of a PNG, and in a WebP with JPEG's prefix.
#[test]
fn an_orientation_is_found_wherever_it_stands() {
    let image = quarters(32);
    let plain = encode(image.clone(), ImageFormat::Png);
    let tail = plain.len() - 12;
    let content = [b"eXIf", &exif(3)[..]].concat();
    let mut crc = Crc::new();
    crc.update(&content);
    let length = (content.len() as u32 - 4).to_be_bytes();
    let late = [
        &plain[..tail],
        &length,
        &content,
        &crc.sum().to_be_bytes(),
        &plain[tail..],
    ];
    let prefixed = [b"Exif\0\0", &exif(3)[..]].concat();
    for (name, bytes) in [("a.png", late.concat()), ("a.webp", webp(&image, prefixed))] {
        let set = open(name, &bytes).unwrap();
        assert_eq!(
            (pixel(&set, 4, 4)[0], pixel(&set, 28, 28)[0]),
            (240, 0),
            "{name}"
        );
    }
}

#[test]
fn a_turned_photo_is_cropped_as_it_is_seen() {
    // Stored lying, 218 wide, CelebA's proportions when upright.
    let stored = RgbImage::from_fn(218, 178, |x, _| Rgb([x as u8; 3]));
    let upright = RgbImage::from_fn(178, 218, |_, y| Rgb([y as u8; 3]));
    let turned = open("a.png", &png(&stored, exif(5))).unwrap();
    let plain = open("a.png", &encode(upright, ImageFormat::Png)).unwrap();
    assert_eq!(
        (turned.shape, turned.image(0)),
        (plain.shape, plain.image(0))
    );
}

/// A palette of a hidden red that is transparent and a blue, two by two pixels: red, blue above blue, blue.
fn palette() -> Vec<u8> {
    fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let body = [&name[..], content].concat();
        let mut crc = Crc::new();
        crc.update(&body);
        let length = (content.len() as u32).to_be_bytes();
        [&length[..], &body, &crc.sum().to_be_bytes()].concat()
    }
    let mut rows = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut rows, &[0, 0, 1, 0, 1, 1]).unwrap();
    [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &[0, 0, 0, 2, 0, 0, 0, 2, 8, 3, 0, 0, 0]),
        chunk(b"PLTE", &[255, 0, 0, 0, 0, 255]),
        chunk(b"tRNS", &[0, 255]),
        chunk(b"IDAT", &rows.finish().unwrap()),
        chunk(b"IEND", &[]),
    ]
    .concat()
}

#[test]
fn what_is_transparent_is_white_in_an_image_and_black_in_a_mask_whatever_colour_hides_there() {
    let rgba = RgbaImage::from_fn(2, 2, |x, y| match (x, y) {
        (0, 0) => Rgba([255, 0, 0, 0]),
        (1, 0) => Rgba([0, 100, 200, 255]),
        (0, 1) => Rgba([0, 100, 200, 128]),
        _ => Rgba([7, 7, 7, 255]),
    });
    let wide: ImageBuffer<Rgba<u16>, Vec<u16>> = ImageBuffer::from_fn(2, 2, |x, y| {
        Rgba(rgba.get_pixel(x, y).0.map(|v| u16::from(v) * 257))
    });
    for bytes in [
        encode(rgba.clone(), ImageFormat::Png),
        encode(rgba.clone(), ImageFormat::WebP),
        encode(wide, ImageFormat::Png),
    ] {
        let set = open("a.png", &bytes).unwrap();
        assert_eq!(pixel(&set, 0, 0), [255, 255, 255]);
        assert_eq!(pixel(&set, 1, 0), [0, 100, 200]);
        assert_eq!(pixel(&set, 0, 1), [127, 177, 227]);
        assert_eq!(pixel(&set, 1, 1), [7, 7, 7]);
    }
    let grey = GrayAlphaImage::from_fn(2, 2, |x, y| LumaA([90, if x + y == 0 { 0 } else { 255 }]));
    let set = open("a.png", &encode(grey, ImageFormat::Png)).unwrap();
    assert_eq!((pixel(&set, 0, 0), pixel(&set, 1, 1)), ([255; 3], [90; 3]));
    let set = open("a.png", &palette()).unwrap();
    assert_eq!(
        (pixel(&set, 0, 0), pixel(&set, 1, 1)),
        ([255; 3], [0, 0, 255])
    );

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mask.png");
    let hidden = RgbaImage::from_fn(2, 2, |x, _| {
        Rgba([255, 255, 255, if x == 0 { 0 } else { 255 }])
    });
    hidden.save(&path).unwrap();
    assert_eq!(mask(&path).unwrap().into_raw(), [0, 255, 0, 255]);
}

#[test]
fn an_opaque_image_is_the_same_in_every_form() {
    let image = quarters(8);
    let expected = open("a.png", &encode(image.clone(), ImageFormat::Png)).unwrap();
    let dynamic = DynamicImage::from(image);
    for other in [
        DynamicImage::from(dynamic.to_luma8()),
        dynamic.to_luma_alpha8().into(),
        dynamic.to_rgba8().into(),
        dynamic.to_luma16().into(),
        dynamic.to_rgb16().into(),
        dynamic.to_rgba16().into(),
    ] {
        let set = open("a.png", &encode(other, ImageFormat::Png)).unwrap();
        assert_eq!(set.image(0), expected.image(0));
    }
    for format in [ImageFormat::Bmp, ImageFormat::WebP] {
        // The content decides, not the name.
        let set = open("a.jpg", &encode(dynamic.clone(), format)).unwrap();
        assert_eq!(set.image(0), expected.image(0));
    }
    let set = open("a.png", &jpeg(&dynamic.to_rgb8(), None)).unwrap();
    assert!(
        set.image(0)
            .iter()
            .zip(expected.image(0))
            .all(|(a, b)| a.abs_diff(*b) < 12)
    );
}

#[test]
fn a_jpeg_of_ordinary_kind_gives_the_bytes_of_the_plain_decoder() {
    let noise = RgbImage::from_fn(61, 61, |x, y| {
        Rgb([(x * y) as u8, (x * 7) as u8, (y * 5) as u8])
    });
    let grey = DynamicImage::from(noise.clone()).to_luma8();
    let mut grey_bytes = Vec::new();
    JpegEncoder::new(&mut grey_bytes)
        .encode_image(&grey)
        .unwrap();
    for bytes in [
        jpeg(&noise, None),
        grey_bytes,
        BASELINE.to_vec(),
        RESTARTS.to_vec(),
        PROGRESSIVE.to_vec(),
        GREY_PROGRESSIVE.to_vec(),
    ] {
        let plain = image::load_from_memory(&bytes).unwrap().to_rgb8();
        // Bytes behind the end, such as a second picture, change nothing.
        for tail in [&b""[..], b"\xff\xd8 and more \xff\xd9", &[0; 9]] {
            let set = open("a.jpg", &[&bytes, tail].concat()).unwrap();
            let side = set.shape.width as u32;
            let expected: Vec<u8> = (0..3)
                .flat_map(|c| (0..side * side).map(move |pixel| (c, pixel)))
                .map(|(c, pixel)| plain.get_pixel(pixel % side, pixel / side).0[c])
                .collect();
            assert_eq!(set.image(0), expected);
        }
    }
}

#[test]
fn an_ink_jpeg_is_converted_to_light() {
    let set = open("a.jpg", CMYK).unwrap();
    // As libjpeg and Pillow have it: white less the ink, less the black.
    let expected = [216, 49, 172];
    for (value, expected) in pixel(&set, 3, 3).iter().zip(expected) {
        assert!(value.abs_diff(expected) < 5, "{:?}", pixel(&set, 3, 3));
    }
}

/// The lengths at which a cut file is accepted, with what `mend` puts behind the cut.
fn accepted(name: &str, whole: &[u8], mend: fn(&[u8]) -> Vec<u8>) -> Vec<usize> {
    open(name, whole).unwrap();
    let passes = |length: &usize| match open(name, &mend(&whole[..*length])) {
        Ok(_) => true,
        Err(error) => {
            assert!(matches!(error, DataError::BadImage { .. }), "{error}");
            false
        }
    };
    let end = whole.len() - 8;
    (0..end)
        .step_by(3)
        .chain(end..whole.len())
        .filter(passes)
        .collect()
}

#[test]
fn a_cut_image_is_refused_wherever_it_ends() {
    let noise = RgbImage::from_fn(24, 24, |x, y| {
        Rgb([(x * y * 3) as u8, (x * 37) as u8, (y * 59) as u8])
    });
    for (name, whole) in [
        ("a.jpg", jpeg(&noise, Some(exif(6)))),
        ("a.jpg", BASELINE.to_vec()),
        ("a.jpg", RESTARTS.to_vec()),
        ("a.jpg", PROGRESSIVE.to_vec()),
        ("a.jpg", GREY_PROGRESSIVE.to_vec()),
        ("a.png", encode(noise.clone(), ImageFormat::Png)),
        ("a.bmp", encode(noise.clone(), ImageFormat::Bmp)),
        ("a.webp", encode(noise.clone(), ImageFormat::WebP)),
    ] {
        let accepted = accepted(name, &whole, <[u8]>::to_vec);
        assert!(
            accepted.is_empty(),
            "{name} of {}: {accepted:?}",
            whole.len()
        );
    }
}

/// A file whose lengths were mended after a cut, so that only its data can tell.
#[test]
fn a_png_or_webp_with_fewer_data_than_pixels_is_refused() {
    let noise = RgbImage::from_fn(24, 24, |x, y| {
        Rgb([(x * y * 3) as u8, (x * 37) as u8, (y * 59) as u8])
    });
    let png = encode(noise.clone(), ImageFormat::Png);
    let data = png.windows(4).position(|w| w == b"IDAT").unwrap();
    let length = u32::from_be_bytes(png[data - 4..data].try_into().unwrap()) as usize;
    for kept in [0, 1, length / 4, length / 2, length - 40] {
        let body = &png[data..data + 4 + kept];
        let mut crc = Crc::new();
        crc.update(body);
        let bytes = [
            &png[..data - 4],
            &(kept as u32).to_be_bytes(),
            body,
            &crc.sum().to_be_bytes(),
            &png[data + 4 + length + 4..],
        ];
        assert!(open("a.png", &bytes.concat()).is_err(), "{kept}");
    }
    let webp = encode(noise, ImageFormat::WebP);
    for kept in [20, webp.len() / 4, webp.len() / 2, webp.len() - 20] {
        let mut bytes = webp[..kept / 2 * 2].to_vec();
        let length = bytes.len() as u32;
        bytes[4..8].copy_from_slice(&(length - 8).to_le_bytes());
        bytes[16..20].copy_from_slice(&(length - 20).to_le_bytes());
        assert!(open("a.webp", &bytes).is_err(), "{kept}");
    }
}

#[test]
fn an_end_marker_inside_a_segment_is_not_the_end() {
    let thumbnail = [exif(1), jpeg(&quarters(8), None)].concat();
    let whole = jpeg(&quarters(24), Some(thumbnail));
    open("a.jpg", &whole).unwrap();
    assert!(open("a.jpg", &whole[..whole.len() - 30]).is_err());
}

#[test]
fn a_cut_jpeg_is_refused_though_an_end_marker_follows() {
    let noise = RgbImage::from_fn(24, 24, |x, y| {
        Rgb([(x * y * 3) as u8, (x * 37) as u8, (y * 59) as u8])
    });
    let ended = |cut: &[u8]| [cut, &[0xff, 0xd9]].concat();
    for whole in [
        jpeg(&noise, None),
        BASELINE.to_vec(),
        RESTARTS.to_vec(),
        PROGRESSIVE.to_vec(),
        GREY_PROGRESSIVE.to_vec(),
    ] {
        let accepted = accepted("a.jpg", &whole, ended);
        // The last bits of the last value may be ones themselves.
        let last = whole.len() - 4;
        assert!(
            accepted.iter().all(|&a| a >= last),
            "{}: {accepted:?}",
            whole.len()
        );
    }
}

#[test]
fn what_is_no_usable_image_is_named_with_its_reason() {
    let image = quarters(8);
    let whole = encode(image.clone(), ImageFormat::Png);
    let with_length = |offset: usize, bytes: &[u8]| {
        let mut png = whole.clone();
        png[offset..offset + bytes.len()].copy_from_slice(bytes);
        // The header's checksum.
        let mut crc = Crc::new();
        crc.update(&png[12..29]);
        png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        png
    };
    let mut flipped = whole.clone();
    let middle = whole.len() / 2;
    flipped[middle] ^= 1;
    let mut bitmap = encode(image.clone(), ImageFormat::Bmp);
    bitmap[18..26].copy_from_slice(&[0x60, 0xea, 0, 0, 0x60, 0xea, 0, 0]);
    let mut frame = jpeg(&image, None);
    let marker = frame.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    frame[marker + 5..marker + 9].fill(0xff);
    let transparent = RgbaImage::from_pixel(4, 4, Rgba([9, 9, 9, 0]));
    let blank = RgbaImage::from_fn(4, 4, |x, _| {
        Rgba([255, 255, 255, if x == 0 { 0 } else { 255 }])
    });
    for (name, bytes, said) in [
        ("a.png", Vec::new(), "it is empty"),
        (
            "a.png",
            b"GIF89a\x01\0\x01\0\0\0\0;".to_vec(),
            "holds a Gif picture",
        ),
        ("a.png", b"II*\0\x08\0\0\0".to_vec(), "holds a Tiff picture"),
        ("a.jpg", b"\0\0\0\x18ftypheic".to_vec(), "not an image"),
        ("a.png", b"<svg/>".to_vec(), "not an image"),
        (
            "a.png",
            with_length(16, &[0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0]),
            "100000x100000 pixels take more than 448 MiB",
        ),
        ("a.png", with_length(16, &[0; 4]), "not an image"),
        ("a.bmp", bitmap, "more than 448 MiB"),
        ("a.jpg", frame, "65535x65535 pixels take more than 448 MiB"),
        ("a.png", flipped, "does not have its checksum"),
        (
            "a.png",
            encode(transparent, ImageFormat::Png),
            "transparent everywhere",
        ),
        (
            "a.png",
            encode(blank, ImageFormat::Png),
            "nothing of it is left on a white background",
        ),
        ("a.jpg", vec![0xff, 0xd8], "end too early"),
        ("a.jpg", vec![0xff, 0xd8, 0xff, 0xd9], "end too early"),
    ] {
        let text = open(name, &bytes).unwrap_err().to_string();
        assert!(text.contains(name) && text.contains(said), "{said}: {text}");
        assert!(!text.contains('\n') && !text.contains("--"), "{text}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused_without_opening_it() {
    use std::os::unix::fs::symlink;
    type Make = fn(&Path);
    let make: [(&str, Make); 5] = [
        ("pipe", |path| {
            let status = std::process::Command::new("mkfifo").arg(path).status();
            assert!(status.unwrap().success());
        }),
        ("socket", |path| {
            std::os::unix::net::UnixListener::bind(path).unwrap();
        }),
        ("endless", |path| symlink("/dev/zero", path).unwrap()),
        ("nowhere", |path| symlink("nowhere", path).unwrap()),
        ("circle", |path| symlink(path, path).unwrap()),
    ];
    for (kind, make) in make {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        make(&path);
        let folder = Source::Folder(dir.path().into());
        let text = load(&folder, &LoadOptions::default())
            .unwrap_err()
            .to_string();
        assert!(text.contains("a.png"), "{kind}: {text}");
        assert!(mask(&path).is_err());
        let image = quarters(8);
        image.save(dir.path().join("b.png")).unwrap();
        let options = LoadOptions {
            skip_bad: true,
            ..LoadOptions::default()
        };
        let set = load(&folder, &options).unwrap();
        assert_eq!((set.len(), set.skipped), (1, 1), "{kind}");
    }
}
