//! The cache: hits, what makes it stale, and damage.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use datasway_data::{Crop, Dataset, Filter, LoadOptions, Source, faces, load};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

/// Three faces in CelebA's layout and a cache beside them.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        faces::write_celeba(dir.path(), 3, 1, 16).unwrap();
        Self(dir)
    }

    fn options(&self) -> LoadOptions {
        LoadOptions {
            size: Some(8),
            cache_dir: Some(self.0.path().join("cache")),
            ..LoadOptions::default()
        }
    }

    fn open(&self) -> Dataset {
        load(&Source::Celeba(self.0.path().into()), &self.options()).unwrap()
    }

    fn image(&self) -> PathBuf {
        self.0.path().join("img_align_celeba/000002.png")
    }

    fn cached(&self) -> PathBuf {
        let mut files = fs::read_dir(self.0.path().join("cache")).unwrap();
        files.next().unwrap().unwrap().path()
    }
}

fn set_modified(path: &Path, time: SystemTime) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

/// Everything but where it came from.
fn same(a: &Dataset, b: &Dataset) -> bool {
    (0..a.len().max(b.len())).all(|i| a.image(i) == b.image(i))
        && (&a.names, &a.attributes, &a.fingerprint) == (&b.names, &b.attributes, &b.fingerprint)
        && (&a.name, a.shape, a.skipped) == (&b.name, b.shape, b.skipped)
}

#[test]
fn the_second_load_decodes_nothing_and_gives_the_same_set() {
    let place = Place::new();
    let first = place.open();
    assert!(!first.from_cache);
    let second = place.open();
    assert!(second.from_cache && same(&first, &second));
    assert_eq!(first.summary(), second.summary());
}

/// Every way to put other content in a file's place that keeps its length and its time.
#[test]
fn a_file_of_other_content_is_seen_though_its_length_and_time_are_the_same() {
    type Edit = fn(&Path, &[u8]);
    let edits: [(&str, Edit); 4] = [
        ("written in place", |path, bytes| {
            fs::write(path, bytes).unwrap();
        }),
        ("put in its place by renaming", |path, bytes| {
            let other = path.with_extension("new");
            fs::write(&other, bytes).unwrap();
            let time = fs::metadata(path).unwrap().modified().unwrap();
            set_modified(&other, time);
            fs::rename(other, path).unwrap();
        }),
        ("removed and made anew", |path, bytes| {
            fs::remove_file(path).unwrap();
            fs::write(path, bytes).unwrap();
        }),
        #[cfg(unix)]
        ("led to by another link", |path, bytes| {
            let target = path.with_extension("target");
            fs::write(&target, bytes).unwrap();
            fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink(target, path).unwrap();
        }),
        #[cfg(not(unix))]
        ("written again", |path, bytes| {
            fs::write(path, bytes).unwrap()
        }),
    ];
    for (edit, apply) in edits {
        let place = Place::new();
        // Bitmaps: the length is a function of the size alone.
        let pictures = [10, 200].map(|value| {
            let path = place.0.path().join("picture.bmp");
            RgbImage::from_pixel(19, 24, Rgb([value; 3]))
                .save(&path)
                .unwrap();
            fs::read(path).unwrap()
        });
        assert_eq!(pictures[0].len(), pictures[1].len());
        fs::write(place.image(), &pictures[0]).unwrap();
        let first = place.open();
        let time = fs::metadata(place.image()).unwrap().modified().unwrap();
        apply(&place.image(), &pictures[1]);
        set_modified(&place.image(), time);
        let second = place.open();
        assert!(!second.from_cache, "{edit}");
        assert_ne!(first.fingerprint, second.fingerprint, "{edit}");
        assert_eq!(second.image(1)[0], 200, "{edit}");
    }
}

#[test]
fn a_table_of_other_content_is_seen_though_its_length_and_time_are_the_same() {
    let place = Place::new();
    let table = place.0.path().join("list_attr_celeba.txt");
    let text = fs::read_to_string(&table).unwrap();
    let first = place.open();
    let time = fs::metadata(&table).unwrap().modified().unwrap();
    fs::write(&table, text.replace("Smiling", "Smirked")).unwrap();
    set_modified(&table, time);
    let second = place.open();
    assert!(!second.from_cache);
    assert_ne!(first.fingerprint, second.fingerprint);
}

#[test]
fn a_cache_that_cannot_be_written_is_a_notice() {
    let place = Place::new();
    let first = place.open();
    let file = place.0.path().join("file");
    fs::write(&file, "in the way").unwrap();
    for folder in [
        file.clone(),
        file.join("below"),
        PathBuf::from("/proc/nowhere"),
        PathBuf::from("a\0b"),
    ] {
        let options = LoadOptions {
            cache_dir: Some(folder.clone()),
            ..place.options()
        };
        let set = load(&Source::Celeba(place.0.path().into()), &options).unwrap();
        assert!(same(&first, &set), "{}", folder.display());
        let [notice] = &set.report.notices[..] else {
            panic!("{}: {:?}", folder.display(), set.report.notices);
        };
        assert!(notice.contains("are not kept"), "{notice}");
        assert!(set.summary().contains(notice));
    }
}

/// Headers that are whole by their checksum and yet cannot be.
#[test]
fn a_cache_whose_header_cannot_be_is_never_believed() {
    for (from, to) in [
        ("\"channels\":3", "\"channels\":0"),
        ("\"channels\":3", "\"channels\":2"),
        ("\"channels\":3", "\"channels\":18446744073709551615"),
        ("\"channels\":3", "\"channels\":-3"),
        ("\"width\":8", "\"width\":9223372036854775808"),
        ("\"width\":8", "\"width\":16"),
        ("\"height\":8,\"width\":8", "\"height\":4,\"width\":16"),
        ("\"000001.png\",", ""),
        ("true,", ""),
        ("\"key\":\"", "\"key\":\"0"),
        ("{", "["),
        ("\"Bangs\",", ""),
    ] {
        let place = Place::new();
        let first = place.open();
        let whole = fs::read(place.cached()).unwrap();
        let length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        let header = std::str::from_utf8(&whole[16..16 + length]).unwrap();
        assert!(header.contains(from), "{from} in {header}");
        let header = header.replacen(from, to, 1);
        let body = [header.as_bytes(), &whole[16 + length..]].concat();
        let mut crc = flate2::Crc::new();
        crc.update(&body);
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(u64::from(crc.sum()).to_le_bytes());
        bytes.extend(body);
        fs::write(place.cached(), bytes).unwrap();
        let again = place.open();
        assert!(!again.from_cache && same(&first, &again), "{from} to {to}");
    }
}

#[test]
fn two_that_write_one_cache_at_once_both_load() {
    let place = Place::new();
    let sets: Vec<Dataset> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| place.open())).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(sets.iter().all(|set| same(set, &sets[0])));
    assert_eq!(
        fs::read_dir(place.0.path().join("cache")).unwrap().count(),
        1
    );
    assert!(place.open().from_cache);
}

#[test]
fn another_time_or_length_of_a_source_file_makes_the_cache_stale() {
    let place = Place::new();
    place.open();
    let file = File::options().write(true).open(place.image()).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1))
        .unwrap();
    assert!(!place.open().from_cache);
    assert!(place.open().from_cache);
    // Bytes after the end of a PNG change its length alone.
    let mut bytes = fs::read(place.image()).unwrap();
    bytes.push(0);
    fs::write(place.image(), bytes).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1))
        .unwrap();
    assert!(!place.open().from_cache);
    fs::remove_file(place.image()).unwrap();
    assert!(load(&Source::Celeba(place.0.path().into()), &place.options()).is_err());
}

#[test]
fn other_settings_have_another_cache() {
    let place = Place::new();
    place.open();
    let source = Source::Celeba(place.0.path().into());
    for options in [
        LoadOptions {
            size: Some(4),
            ..place.options()
        },
        LoadOptions {
            grey: true,
            ..place.options()
        },
        LoadOptions {
            limit: Some(2),
            ..place.options()
        },
        LoadOptions {
            skip_bad: true,
            ..place.options()
        },
        LoadOptions {
            filter: Filter::Lanczos,
            ..place.options()
        },
        LoadOptions {
            crop: Crop::Center,
            ..place.options()
        },
    ] {
        assert!(!load(&source, &options).unwrap().from_cache);
        assert!(load(&source, &options).unwrap().from_cache);
    }
    assert!(place.open().from_cache);
}

#[test]
fn skipped_images_are_remembered() {
    let place = Place::new();
    fs::remove_file(place.image()).unwrap();
    let options = LoadOptions {
        skip_bad: true,
        ..place.options()
    };
    let source = Source::Celeba(place.0.path().into());
    let first = load(&source, &options).unwrap();
    let second = load(&source, &options).unwrap();
    assert!(second.from_cache && same(&first, &second));
    assert_eq!(second.skipped, 1);
    assert_eq!(first.first_skipped, second.first_skipped);
}

#[test]
fn a_truncated_or_damaged_cache_is_rebuilt() {
    let place = Place::new();
    let first = place.open();
    let whole = fs::read(place.cached()).unwrap();
    let last = whole.len() - 1;
    for length in [0, 7, 12, 40, last - 1, last] {
        fs::write(place.cached(), &whole[..length]).unwrap();
        let again = place.open();
        assert!(!again.from_cache && same(&first, &again), "{length} bytes");
        assert!(place.open().from_cache);
    }
    // In the length, the checksum, the header and the pixels.
    for offset in [0, 7, 8, 15, 20, 60, last - 100, last] {
        let mut damaged = whole.clone();
        damaged[offset] ^= 0x10;
        fs::write(place.cached(), damaged).unwrap();
        let again = place.open();
        assert!(!again.from_cache && same(&first, &again), "byte {offset}");
        assert_eq!(fs::read(place.cached()).unwrap(), whole);
    }
}
