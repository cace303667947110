//! Procedural faces: drawn by code from a seed, with independent binary attributes.
//!
//! Image `i` depends only on the seed and `i`, so a longer set starts with the shorter one.

use std::path::{Path, PathBuf};

use image::RgbImage;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tiny_skia::{
    Color, FillRule, LineCap, Paint, Path as Outline, PathBuilder, Pixmap, Rect, Stroke, Transform,
};

use crate::celeba::crop;
use crate::listing::{Listing, io};
use crate::{Attributes, DataError};

/// The attributes, by CelebA's names.
pub const ATTRIBUTES: [&str; 8] = [
    "Bangs",
    "Blond_Hair",
    "Eyeglasses",
    "Mouth_Slightly_Open",
    "No_Beard",
    "Pale_Skin",
    "Smiling",
    "Wearing_Hat",
];

/// Pixels drawn for one kept, along each side.
const OVERSAMPLING: u32 = 4;

/// Lists `count` faces of side `size` pixels.
pub(crate) fn list(count: usize, seed: u64, size: usize) -> Listing {
    let names: Vec<_> = (0..count).map(|i| format!("{:06}.png", i + 1)).collect();
    Listing {
        origins: names.iter().map(PathBuf::from).collect(),
        names,
        attributes: Some(Attributes {
            names: ATTRIBUTES.map(Into::into).to_vec(),
            values: (0..count)
                .map(|i| attributes(&mut stream(seed, i)).to_vec())
                .collect(),
        }),
        classes: None,
        files: Vec::new(),
        grey: false,
        decode: Box::new(move |i| {
            let image = draw(seed, i, size);
            let square = crop(image.width(), image.height());
            Ok((image, square))
        }),
    }
}

/// Writes `n` faces in CelebA's layout under `dir`; CelebA's crop of each has side `size` pixels.
///
/// # Errors
/// A folder or file that cannot be written.
pub fn write_celeba(dir: &Path, n: usize, seed: u64, size: usize) -> Result<(), DataError> {
    let folder = dir.join("img_align_celeba");
    std::fs::create_dir_all(&folder).map_err(|e| io(&folder, e))?;
    let mut table = format!("{n}\n{}\n", ATTRIBUTES.join(" "));
    for i in 0..n {
        let name = format!("{:06}.png", i + 1);
        let path = folder.join(&name);
        draw(seed, i, size)
            .save(&path)
            .map_err(|e| io(&path, std::io::Error::other(e)))?;
        let values = attributes(&mut stream(seed, i)).map(|v| if v { "1" } else { "-1" });
        table.push_str(&format!("{name} {}\n", values.join(" ")));
    }
    let path = dir.join("list_attr_celeba.txt");
    std::fs::write(&path, table).map_err(|e| io(&path, e))
}

/// Width and height of CelebA's proportions whose crop has side `size`.
fn frame(size: usize) -> (u32, u32) {
    let width = (size.max(1) as f64 * 178.0 / 148.0).round();
    (width as u32, (width * 218.0 / 178.0).round() as u32)
}

/// The random stream of image `i`.
fn stream(seed: u64, i: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(i as u64);
    rng
}

/// The first draws of a stream, in the order of [`ATTRIBUTES`].
fn attributes(rng: &mut ChaCha8Rng) -> [bool; 8] {
    [0.3, 0.3, 0.25, 0.4, 0.7, 0.3, 0.5, 0.2].map(|p| rng.random::<f64>() < p)
}

/// A canvas in face coordinates: the kept square is [0, 1] x [0, 1].
struct Canvas {
    pixmap: Pixmap,
    at: Transform,
}

impl Canvas {
    fn fill(&mut self, path: Option<Outline>, colour: [f32; 3]) {
        if let Some(path) = path {
            let rule = FillRule::Winding;
            self.pixmap
                .fill_path(&path, &paint(colour), rule, self.at, None);
        }
    }

    fn ellipse(&mut self, (x, y): (f32, f32), (rx, ry): (f32, f32), colour: [f32; 3]) {
        self.fill(oval(x, y, rx, ry), colour);
    }

    fn rect(&mut self, (x, y): (f32, f32), (w, h): (f32, f32), colour: [f32; 3]) {
        let path = Rect::from_xywh(x, y, w, h).map(PathBuilder::from_rect);
        self.fill(path, colour);
    }

    fn line(&mut self, path: Option<Outline>, width: f32, colour: [f32; 3]) {
        if let Some(path) = path {
            let stroke = Stroke {
                width,
                line_cap: LineCap::Round,
                ..Stroke::default()
            };
            self.pixmap
                .stroke_path(&path, &paint(colour), &stroke, self.at, None);
        }
    }
}

fn paint(colour: [f32; 3]) -> Paint<'static> {
    let [r, g, b] = colour.map(|v| v.clamp(0.0, 1.0));
    let mut paint = Paint::default();
    paint.set_color(Color::from_rgba(r, g, b, 1.0).unwrap_or(Color::BLACK));
    paint
}

fn oval(x: f32, y: f32, rx: f32, ry: f32) -> Option<Outline> {
    PathBuilder::from_oval(Rect::from_xywh(x - rx, y - ry, 2.0 * rx, 2.0 * ry)?)
}

/// A curve from (x - w, y) to (x + w, y) whose middle is pulled down by `sag`.
fn arc(x: f32, y: f32, w: f32, sag: f32) -> Option<Outline> {
    let mut path = PathBuilder::new();
    path.move_to(x - w, y);
    path.quad_to(x, y + 2.0 * sag, x + w, y);
    path.finish()
}

fn mix(a: [f32; 3], b: [f32; 3], t: f32) -> [f32; 3] {
    std::array::from_fn(|c| a[c] + (b[c] - a[c]) * t)
}

/// Draws face `i` in CelebA's proportions; the crop has side `size` pixels.
fn draw(seed: u64, i: usize, size: usize) -> RgbImage {
    let (width, height) = frame(size);
    let square = crop(width, height);
    let mut rng = stream(seed, i);
    let [bangs, blond, glasses, open, no_beard, pale, smiling, hat] = attributes(&mut rng);
    let mut vary = |low: f32, high: f32| low + (high - low) * rng.random::<f32>();
    let k = OVERSAMPLING as f32;
    let side = square.2 as f32 * k;
    let frame =
        Transform::from_scale(side, side).post_translate(square.0 as f32 * k, square.1 as f32 * k);
    let pixmap = Pixmap::new(width * OVERSAMPLING, height * OVERSAMPLING)
        .expect("an image has at least one pixel");
    let mut c = Canvas { pixmap, at: frame };

    let above = [vary(0.1, 0.9), vary(0.1, 0.9), vary(0.1, 0.9)];
    let below = mix(above, [vary(0.0, 1.0), vary(0.0, 1.0), vary(0.0, 1.0)], 0.5);
    for band in 0..48 {
        let y = -0.5 + band as f32 / 24.0;
        c.rect(
            (-0.5, y),
            (2.0, 0.06),
            mix(above, below, band as f32 / 47.0),
        );
    }

    let pose = Transform::from_rotate_at(vary(-10.0, 10.0), 0.5, 0.5)
        .post_translate(vary(-0.05, 0.05), vary(-0.04, 0.04));
    let scale = vary(0.9, 1.1);
    let pose = pose
        .post_translate(-0.5, -0.5)
        .post_scale(scale, scale)
        .post_translate(0.5, 0.5);
    c.at = pose.post_concat(frame);
    let yaw = vary(-0.04, 0.04);

    let tone = vary(0.0, 1.0);
    let skin = if pale {
        mix([0.98, 0.90, 0.86], [0.93, 0.85, 0.80], tone)
    } else {
        mix([0.85, 0.64, 0.50], [0.42, 0.27, 0.18], tone)
    };
    let shade = vary(0.0, 1.0);
    let hair = if blond {
        mix([0.93, 0.80, 0.45], [0.78, 0.62, 0.30], shade)
    } else {
        mix([0.08, 0.06, 0.05], [0.36, 0.20, 0.12], shade)
    };
    let (rx, ry) = (vary(0.25, 0.30), vary(0.34, 0.39));
    let length = vary(0.0, 0.35);
    c.ellipse((0.5, 0.42), (rx + 0.07, ry + 0.03), hair);
    c.rect((0.43 - rx, 0.42), (2.0 * rx + 0.14, length), hair);
    let clothes = [vary(0.0, 1.0), vary(0.0, 1.0), vary(0.0, 1.0)];
    c.rect((0.40, 0.75), (0.20, 0.25), mix(skin, [0.0; 3], 0.2));
    c.ellipse((0.5, 1.13), (0.45, 0.2), clothes);

    let light = vary(-1.0, 1.0);
    for layer in 0..12 {
        let t = layer as f32 / 11.0;
        let shade = mix(mix(skin, [0.0; 3], 0.25), mix(skin, [1.0; 3], 0.08), t);
        let shrink = 1.0 - 0.35 * t;
        let shift = light * 0.3 * rx * t;
        c.ellipse((0.5 + shift, 0.5), (rx * shrink, ry * shrink), shade);
    }
    let dark = mix(skin, [0.1, 0.03, 0.02], 0.45);
    if !no_beard {
        let beard = mix(hair, skin, 0.15);
        c.ellipse((0.5 + yaw, 0.76), (rx * 0.72, 0.13), beard);
        c.ellipse((0.5 + yaw, 0.66), (rx * 0.5, 0.05), beard);
    }

    let (gap, eye_y, eye) = (vary(0.10, 0.13), vary(0.44, 0.48), vary(0.035, 0.05));
    let iris = [vary(0.1, 0.4), vary(0.15, 0.45), vary(0.1, 0.6)];
    for x in [0.5 + yaw - gap, 0.5 + yaw + gap] {
        c.ellipse((x, eye_y), (eye, eye * 0.6), [0.96; 3]);
        c.ellipse((x + yaw * 0.2, eye_y), (eye * 0.5, eye * 0.55), iris);
        c.ellipse((x + yaw * 0.2, eye_y), (eye * 0.25, eye * 0.28), [0.02; 3]);
        c.line(
            arc(x, eye_y - 0.06, eye * 1.2, -0.012),
            0.018,
            mix(hair, [0.0; 3], 0.3),
        );
        if glasses {
            c.line(oval(x, eye_y, 0.085, 0.065), 0.022, [0.04; 3]);
        }
    }
    if glasses {
        c.line(arc(0.5 + yaw, eye_y, gap - 0.08, -0.01), 0.022, [0.04; 3]);
    }
    let nose = vary(0.025, 0.045);
    c.line(arc(0.5 + yaw * 1.3, 0.585, nose, 0.012), 0.016, dark);

    let mouth = vary(0.07, 0.09);
    let lips = mix(skin, [0.75, 0.12, 0.18], vary(0.4, 0.8));
    let (sag, wide) = if smiling {
        (0.04, mouth * 1.3)
    } else {
        (-0.005, mouth)
    };
    if open {
        c.ellipse((0.5 + yaw, 0.70), (wide * 0.8, 0.038), [0.22, 0.04, 0.05]);
        c.ellipse((0.5 + yaw, 0.685), (wide * 0.6, 0.014), [0.95; 3]);
    }
    c.line(arc(0.5 + yaw, 0.69 - sag * 0.4, wide, sag), 0.026, lips);

    if bangs {
        c.ellipse((0.5, 0.27), (rx * 0.92, 0.11), hair);
    }
    if hat {
        let felt = [vary(0.0, 0.9), vary(0.0, 0.9), vary(0.0, 0.9)];
        c.ellipse((0.5, 0.15), (rx + 0.06, 0.19), felt);
        c.ellipse((0.5, 0.25), (rx + 0.15, 0.045), mix(felt, [0.0; 3], 0.35));
    }
    shrink(&c.pixmap, width, height)
}

/// Averages blocks of `OVERSAMPLING` x `OVERSAMPLING` pixels.
fn shrink(pixmap: &Pixmap, width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let mut sum = [0u32; 3];
        for dy in 0..OVERSAMPLING {
            for dx in 0..OVERSAMPLING {
                let at = (y * OVERSAMPLING + dy) * pixmap.width() + x * OVERSAMPLING + dx;
                let p = pixmap.pixels()[at as usize];
                for (s, v) in sum.iter_mut().zip([p.red(), p.green(), p.blue()]) {
                    *s += u32::from(v);
                }
            }
        }
        let area = OVERSAMPLING * OVERSAMPLING;
        image::Rgb(sum.map(|s| ((s + area / 2) / area) as u8))
    })
}
