//! Anti-aliased drawing in face coordinates: the kept square is [0, 1] x [0, 1], y downwards.

use image::{Rgb, RgbImage};
use tiny_skia::{
    Color, FillRule, GradientStop, LineCap, LinearGradient, Paint, Path, PathBuilder, Pixmap,
    Point, RadialGradient, Rect, Shader, SpreadMode, Stroke, Transform,
};

/// Red, green, blue in [0, 1].
pub(super) type Colour = [f32; 3];

/// Drawn pixels for each final pixel, along each side.
const OVERSAMPLING: u32 = 4;

/// A colour at each end, with its opacity.
pub(super) type Ends = [(Colour, f32); 2];

pub(super) struct Canvas {
    pixmap: Pixmap,
    frame: Transform,
    placement: Transform,
}

impl Canvas {
    /// `width` x `height` pixels, whose square of side `side` at (`x`, `y`) is the unit square.
    pub fn new((width, height): (u32, u32), (x, y, side): (u32, u32, u32)) -> Self {
        let k = OVERSAMPLING as f32;
        let frame = Transform::from_scale(side as f32 * k, side as f32 * k)
            .post_translate(x as f32 * k, y as f32 * k);
        Self {
            pixmap: Pixmap::new(width * OVERSAMPLING, height * OVERSAMPLING)
                .expect("an image has at least one pixel"),
            frame,
            placement: frame,
        }
    }

    /// Applies `pose` to everything that is drawn later, in face coordinates.
    pub fn pose(&mut self, pose: Transform) {
        self.placement = pose.post_concat(self.frame);
    }

    /// Fills a path with one colour.
    pub fn fill(&mut self, path: &Option<Path>, colour: Colour, alpha: f32) {
        self.fill_with(path, Some(Shader::SolidColor(rgba(colour, alpha))));
    }

    /// Fills a path with a gradient from `from` to `to`.
    pub fn linear(&mut self, path: &Option<Path>, from: (f32, f32), to: (f32, f32), ends: Ends) {
        self.fill_with(
            path,
            LinearGradient::new(
                from.into(),
                to.into(),
                stops(ends),
                SpreadMode::Pad,
                Transform::identity(),
            ),
        );
    }

    /// Fills a path with a gradient from `centre` outwards to `radius`.
    pub fn radial(&mut self, path: &Option<Path>, centre: (f32, f32), radius: f32, ends: Ends) {
        let centre = Point::from(centre);
        self.fill_with(
            path,
            RadialGradient::new(
                centre,
                0.0,
                centre,
                radius,
                stops(ends),
                SpreadMode::Pad,
                Transform::identity(),
            ),
        );
    }

    /// A spot that fades out at `radius`.
    pub fn glow(&mut self, centre: (f32, f32), radius: f32, colour: Colour, alpha: f32) {
        let path = oval(centre, (radius, radius));
        self.radial(&path, centre, radius, [(colour, alpha), (colour, 0.0)]);
    }

    /// Strokes a path with round ends.
    pub fn line(&mut self, path: &Option<Path>, width: f32, colour: Colour, alpha: f32) {
        let Some(path) = path else { return };
        let stroke = Stroke {
            width,
            line_cap: LineCap::Round,
            ..Stroke::default()
        };
        let paint = paint(Shader::SolidColor(rgba(colour, alpha)));
        self.pixmap
            .stroke_path(path, &paint, &stroke, self.placement, None);
    }

    fn fill_with(&mut self, path: &Option<Path>, shader: Option<Shader<'static>>) {
        if let (Some(path), Some(shader)) = (path, shader) {
            let rule = FillRule::Winding;
            self.pixmap
                .fill_path(path, &paint(shader), rule, self.placement, None);
        }
    }

    /// Averages blocks of `OVERSAMPLING` x `OVERSAMPLING` pixels; each channel is multiplied by its `gain`.
    pub fn finish(&self, gain: Colour) -> RgbImage {
        let area = (OVERSAMPLING * OVERSAMPLING) as f32;
        let across = self.pixmap.width();
        let (width, height) = (across / OVERSAMPLING, self.pixmap.height() / OVERSAMPLING);
        RgbImage::from_fn(width, height, |x, y| {
            let mut sum = [0u32; 3];
            for dy in 0..OVERSAMPLING {
                let start = ((y * OVERSAMPLING + dy) * across + x * OVERSAMPLING) as usize;
                for p in &self.pixmap.pixels()[start..start + OVERSAMPLING as usize] {
                    for (s, v) in sum.iter_mut().zip([p.red(), p.green(), p.blue()]) {
                        *s += u32::from(v);
                    }
                }
            }
            Rgb(std::array::from_fn(|c| {
                (sum[c] as f32 / area * gain[c]).round().min(255.0) as u8
            }))
        })
    }
}

fn paint(shader: Shader<'static>) -> Paint<'static> {
    Paint {
        shader,
        ..Paint::default()
    }
}

fn rgba(colour: Colour, alpha: f32) -> Color {
    let [r, g, b] = colour.map(|v| v.clamp(0.0, 1.0));
    Color::from_rgba(r, g, b, alpha.clamp(0.0, 1.0)).unwrap_or(Color::BLACK)
}

fn stops(ends: Ends) -> Vec<GradientStop> {
    let [(a, alpha), (b, beta)] = ends;
    vec![
        GradientStop::new(0.0, rgba(a, alpha)),
        GradientStop::new(1.0, rgba(b, beta)),
    ]
}

/// From `a` (t = 0) to `b` (t = 1).
pub(super) fn mix(a: Colour, b: Colour, t: f32) -> Colour {
    std::array::from_fn(|c| a[c] + (b[c] - a[c]) * t)
}

pub(super) fn rect((x, y): (f32, f32), (w, h): (f32, f32)) -> Option<Path> {
    Rect::from_xywh(x, y, w, h).map(PathBuilder::from_rect)
}

pub(super) fn oval((x, y): (f32, f32), (rx, ry): (f32, f32)) -> Option<Path> {
    PathBuilder::from_oval(Rect::from_xywh(x - rx, y - ry, 2.0 * rx, 2.0 * ry)?)
}

/// A curve from (x - w, y) to (x + w, y) whose middle is pulled down by `sag`.
pub(super) fn arc((x, y): (f32, f32), w: f32, sag: f32) -> Option<Path> {
    let mut path = PathBuilder::new();
    path.move_to(x - w, y);
    path.quad_to(x, y + 2.0 * sag, x + w, y);
    path.finish()
}

/// The area between two such curves with the same ends.
pub(super) fn crescent((x, y): (f32, f32), w: f32, upper: f32, lower: f32) -> Option<Path> {
    let mut path = PathBuilder::new();
    path.move_to(x - w, y);
    path.quad_to(x, y + 2.0 * upper, x + w, y);
    path.quad_to(x, y + 2.0 * lower, x - w, y);
    path.close();
    path.finish()
}

/// A closed path of cubic curves: a start, then two control points and an end for each.
pub(super) fn curves(start: (f32, f32), parts: &[[(f32, f32); 3]]) -> Option<Path> {
    let mut path = PathBuilder::new();
    path.move_to(start.0, start.1);
    for [a, b, end] in parts {
        path.cubic_to(a.0, a.1, b.0, b.1, end.0, end.1);
    }
    path.close();
    path.finish()
}
