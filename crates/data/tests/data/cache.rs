//! The cache: hits, what makes it stale, and damage.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use data::{Dataset, LoadOptions, Source, faces, load};
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
    // The same length and time, but no longer an image: only a decoder would notice.
    let (time, length) = {
        let state = fs::metadata(place.image()).unwrap();
        (state.modified().unwrap(), state.len())
    };
    fs::write(place.image(), vec![0; length as usize]).unwrap();
    let file = File::options().write(true).open(place.image()).unwrap();
    file.set_modified(time).unwrap();
    let second = place.open();
    assert!(second.from_cache && same(&first, &second));
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
    for at in [0, 7, 8, 15, 20, 60, last - 100, last] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(place.cached(), damaged).unwrap();
        let again = place.open();
        assert!(!again.from_cache && same(&first, &again), "byte {at}");
        assert_eq!(fs::read(place.cached()).unwrap(), whole);
    }
}
