//! Drawing of a face from its parameters, back to front.

use image::RgbImage;
use tiny_skia::{Path, Transform};

use super::canvas::{Canvas, Colour, arc, crescent, curves, mix, oval, rect};
use super::look::Look;
use crate::celeba::crop;

const BLACK: Colour = [0.0; 3];
const WHITE: Colour = [1.0; 3];
/// The head's middle.
const MIDDLE: (f32, f32) = (0.5, 0.5);

/// Draws a face on `size` pixels, CelebA's crop of which is the unit square.
pub(super) fn draw(look: &Look, size: (u32, u32)) -> RgbImage {
    let c = &mut Canvas::new(size, crop(size.0, size.1));
    background(c, look);
    let scale = look.scale;
    c.pose(
        Transform::from_translate(-0.5, -0.55)
            .post_scale(scale, scale)
            .post_rotate(look.roll)
            .post_translate(0.5 + look.shift.0, 0.55 + look.shift.1),
    );
    back_hair(c, look);
    body(c, look);
    ears(c, look);
    if look.long {
        locks(c, look);
    }
    skin(c, look);
    if look.beard {
        beard(c, look);
    }
    eyes(c, look);
    nose(c, look);
    mouth(c, look);
    front_hair(c, look);
    if look.hat {
        hat(c, look);
    }
    if look.glasses {
        glasses(c, look);
    }
    if look.earrings {
        earrings(c, look);
    }
    c.finish(look.gain)
}

fn background(c: &mut Canvas, look: &Look) {
    let (sin, cos) = look.slope.sin_cos();
    let everywhere = rect((-1.0, -1.0), (3.0, 3.0));
    let [a, b] = look.ground;
    c.linear(
        &everywhere,
        (0.5 - 0.6 * cos, 0.5 - 0.6 * sin),
        (0.5 + 0.6 * cos, 0.5 + 0.6 * sin),
        [(a, 1.0), (b, 1.0)],
    );
    for (place, radius, colour) in look.spots {
        c.glow(place, radius, colour, 0.8);
    }
}

/// Fills `path` with `colour`, lighter on the side of the light and darker away from it.
fn lit(c: &mut Canvas, look: &Look, path: &Option<Path>, colour: Colour, alpha: f32) {
    let (x, y) = look.light;
    let reach = 0.4;
    let dark = colour.map(|v| v * (1.0 - 0.65 * look.contrast));
    c.linear(
        path,
        (0.5 + x * reach, 0.5 + y * reach),
        (0.5 - x * reach, 0.5 - y * reach),
        [
            (mix(colour, WHITE, 0.2 * look.contrast), alpha),
            (dark, alpha),
        ],
    );
}

fn back_hair(c: &mut Canvas, look: &Look) {
    let (rx, _) = look.head;
    let w = rx + look.volume;
    let top = 0.10 - look.volume;
    let path = if look.long {
        let end = look.length;
        let flare = w + 0.04;
        curves(
            (0.5 - w, 0.42),
            &[
                [(0.5 - w, top + 0.06), (0.5 - 0.16, top), (0.5, top)],
                [(0.5 + 0.16, top), (0.5 + w, top + 0.06), (0.5 + w, 0.42)],
                [(0.5 + w, 0.65), (0.5 + flare, 0.8), (0.5 + flare, end)],
                [(0.6, end + 0.05), (0.4, end + 0.05), (0.5 - flare, end)],
                [(0.5 - flare, 0.8), (0.5 - w, 0.65), (0.5 - w, 0.42)],
            ],
        )
    } else {
        oval((0.5, 0.36), (w, 0.36 - top))
    };
    lit(c, look, &path, mix(look.hair, BLACK, 0.25), 1.0);
}

fn body(c: &mut Canvas, look: &Look) {
    let neck = rect((0.39, 0.7), (0.22, 0.4));
    c.fill(&neck, mix(look.skin, BLACK, 0.3), 1.0);
    let shoulders = oval((0.5, 1.26), (0.62, 0.3));
    lit(c, look, &shoulders, look.clothes, 1.0);
    let collar = oval((0.5, 0.965), (0.13, 0.07));
    c.fill(&collar, mix(look.skin, BLACK, 0.22), 1.0);
}

fn ears(c: &mut Canvas, look: &Look) {
    for side in [-1.0, 1.0] {
        let place = (0.5 + side * (look.head.0 + 0.005), 0.51);
        c.fill(&oval(place, (0.04, 0.07)), mix(look.skin, BLACK, 0.2), 1.0);
    }
}

/// Hair that falls in front of the shoulders, on both sides.
fn locks(c: &mut Canvas, look: &Look) {
    let (rx, _) = look.head;
    let (inner, outer) = (rx - 0.035, rx + look.volume);
    let end = look.length;
    for side in [-1.0, 1.0] {
        let x = |d: f32| 0.5 + side * d;
        let path = curves(
            (x(inner), 0.3),
            &[
                [(x(outer), 0.3), (x(outer), 0.4), (x(outer), 0.5)],
                [
                    (x(outer), 0.7),
                    (x(outer + 0.04), 0.8),
                    (x(outer + 0.03), end),
                ],
                [
                    (x(outer - 0.05), end + 0.04),
                    (x(inner), end),
                    (x(inner - 0.02), end - 0.1),
                ],
                [
                    (x(inner + 0.02), 0.75),
                    (x(inner + 0.03), 0.6),
                    (x(inner), 0.3),
                ],
            ],
        );
        lit(c, look, &path, look.hair, 1.0);
    }
}

/// The head's outline.
fn outline(look: &Look) -> Option<Path> {
    let (rx, ry) = look.head;
    let k = 0.5523;
    let (x, y) = MIDDLE;
    let jaw = rx * look.jaw;
    curves(
        (x - rx, y),
        &[
            [(x - rx, y - ry * k), (x - rx * k, y - ry), (x, y - ry)],
            [(x + rx * k, y - ry), (x + rx, y - ry * k), (x + rx, y)],
            [(x + rx, y + ry * 0.6), (x + jaw * 0.6, y + ry), (x, y + ry)],
            [(x - jaw * 0.6, y + ry), (x - rx, y + ry * 0.6), (x - rx, y)],
        ],
    )
}

fn skin(c: &mut Canvas, look: &Look) {
    let path = outline(look);
    let (x, y) = look.light;
    // Round: bright where the light falls, redder and darker towards the rim, shaded away from the light.
    let bright = mix(look.skin, [1.0, 0.97, 0.92], 0.22);
    let [r, g, b] = look.skin;
    let rim = [r * 0.80, g * 0.66, b * 0.60];
    c.radial(
        &path,
        (0.5 + 0.1 * x, 0.47 + 0.08 * y),
        0.44,
        [(bright, 1.0), (rim, 1.0)],
    );
    let shadow = [r * 0.4, g * 0.26, b * 0.22];
    c.linear(
        &path,
        (0.5 + 0.05 * x, 0.5 + 0.05 * y),
        (0.5 - 0.36 * x, 0.5 - 0.36 * y),
        [(shadow, 0.0), (shadow, 0.75 * look.contrast)],
    );
    let rouge = mix(look.skin, [0.85, 0.2, 0.2], 0.7);
    for side in [-1.0, 1.0] {
        let place = (0.5 + look.yaw + side * 0.16, 0.6);
        c.glow(place, 0.1, rouge, look.blush);
    }
}

fn beard(c: &mut Canvas, look: &Look) {
    let (rx, ry) = look.head;
    let (x, y) = MIDDLE;
    let jaw = rx * look.jaw;
    let x1 = x + look.yaw;
    let edge = look.whiskers;
    let path = curves(
        (x - rx * 0.99, y + 0.03),
        &[
            [
                (x - rx * 0.9, edge),
                (x1 - 0.16, edge + 0.02),
                (x1 - 0.1, edge + 0.05),
            ],
            [
                (x1 - 0.04, 0.63),
                (x1 + 0.04, 0.63),
                (x1 + 0.1, edge + 0.05),
            ],
            [
                (x1 + 0.16, edge + 0.02),
                (x + rx * 0.9, edge),
                (x + rx * 0.99, y + 0.03),
            ],
            [
                (x + rx, y + ry * 0.65),
                (x + jaw * 0.6, y + ry + 0.02),
                (x, y + ry + 0.02),
            ],
            [
                (x - jaw * 0.6, y + ry + 0.02),
                (x - rx, y + ry * 0.65),
                (x - rx * 0.99, y + 0.03),
            ],
        ],
    );
    lit(
        c,
        look,
        &path,
        mix(look.hair, [0.16, 0.08, 0.04], 0.35),
        0.93,
    );
}

fn eyes(c: &mut Canvas, look: &Look) {
    let (eye, y) = (look.eye, look.eye_y);
    for side in [-1.0, 1.0] {
        let x = 0.5 + look.yaw + side * look.gap;
        c.glow((x, y), 0.1, mix(look.skin, [0.15, 0.05, 0.04], 0.7), 0.6);
        c.fill(&oval((x, y), (eye, eye * 0.58)), [0.95, 0.94, 0.93], 1.0);
        let gaze = x + look.yaw * 0.4;
        c.fill(&oval((gaze, y), (eye * 0.56, eye * 0.58)), look.iris, 1.0);
        c.fill(&oval((gaze, y), (eye * 0.28, eye * 0.3)), [0.02; 3], 1.0);
        c.line(
            &arc((x, y - 0.012), eye, -0.012),
            0.013,
            [0.08, 0.04, 0.03],
            0.9,
        );
        let brow = mix(look.hair, [0.1, 0.06, 0.04], 0.45);
        c.line(
            &arc((x, y - 0.07), eye * 1.25, -0.013),
            look.brows,
            brow,
            0.95,
        );
    }
}

fn nose(c: &mut Canvas, look: &Look) {
    let x = 0.5 + look.yaw * 1.4;
    let shadow = mix(look.skin, [0.12, 0.03, 0.02], 0.5);
    let away = -look.light.0.signum();
    let side = crescent((x, 0.53), look.nose * 0.9, 0.035, 0.045);
    c.glow((x + away * 0.03, 0.55), 0.06, shadow, 0.5);
    c.glow((x, 0.56), 0.04, mix(look.skin, WHITE, 0.4), 0.5);
    c.fill(&side, shadow, 0.3);
    c.line(&arc((x, 0.59), look.nose, 0.01), 0.014, shadow, 0.9);
}

fn mouth(c: &mut Canvas, look: &Look) {
    let (x, y, w) = (0.5 + look.yaw, look.mouth_y, look.mouth);
    let inside = [0.17, 0.03, 0.04];
    let teeth = [0.97, 0.96, 0.93];
    let full = if look.lipstick { 0.034 } else { 0.024 };
    match (look.smiling, look.open) {
        (true, true) => {
            let centre = (x, y - 0.035);
            let w = w * 1.45;
            let path = crescent(centre, w, 0.01, 0.1);
            c.line(&path, full, look.lips, 1.0);
            c.fill(&path, inside, 1.0);
            c.fill(&crescent(centre, w * 0.95, 0.012, 0.065), teeth, 1.0);
        }
        (true, false) => {
            let centre = (x, y - 0.03);
            let w = w * 1.5;
            c.line(&arc(centre, w * 0.8, 0.075), full * 1.3, look.lips, 1.0);
            c.line(&arc(centre, w, 0.055), 0.032, inside, 1.0);
        }
        (false, true) => {
            let path = oval((x, y + 0.005), (w * 0.7, 0.045));
            c.fill(&path, inside, 1.0);
            c.line(&path, full, look.lips, 1.0);
        }
        (false, false) => {
            c.fill(&oval((x, y), (w, full)), look.lips, 1.0);
            c.line(
                &arc((x, y), w * 0.95, 0.0015),
                0.013,
                mix(look.lips, inside, 0.75),
                1.0,
            );
        }
    }
}

fn front_hair(c: &mut Canvas, look: &Look) {
    let (rx, _) = look.head;
    let w = rx + look.volume * 0.8;
    let top = 0.10 - look.volume;
    let low = if look.long { 0.46 } else { 0.42 };
    let parting = 0.5 + 0.14 * look.parting;
    // From temple to temple over the top, and back along the hairline.
    let cap = curves(
        (0.5 - w, low),
        &[
            [(0.5 - w, top + 0.08), (0.5 - 0.17, top), (0.5, top)],
            [(0.5 + 0.17, top), (0.5 + w, top + 0.08), (0.5 + w, low)],
            [
                (0.5 + rx * 0.85, 0.27),
                (parting + 0.1, 0.19),
                (parting, 0.185),
            ],
            [
                (parting - 0.1, 0.19),
                (0.5 - rx * 0.85, 0.27),
                (0.5 - w, low),
            ],
        ],
    );
    lit(c, look, &cap, look.hair, 1.0);
    let shine = mix(look.hair, WHITE, 0.35);
    c.glow((0.5 + 0.12 * look.light.0, 0.12), 0.13, shine, 0.5);
    if look.bangs {
        let (w, y) = (rx * 0.93, look.fringe);
        let fringe = curves(
            (0.5 - w, y),
            &[
                [(0.5 - w, 0.2), (0.5 - 0.15, 0.13), (0.5, 0.13)],
                [(0.5 + 0.15, 0.13), (0.5 + w, 0.2), (0.5 + w, y)],
                [
                    (0.5 + w * 0.5, y + 0.02),
                    (0.5 - w * 0.5, y + 0.02),
                    (0.5 - w, y),
                ],
            ],
        );
        lit(c, look, &fringe, look.hair, 1.0);
    }
}

fn hat(c: &mut Canvas, look: &Look) {
    let (rx, _) = look.head;
    let w = rx + look.volume + 0.02;
    let crown = curves(
        (0.5 - w, 0.22),
        &[
            [(0.5 - w, -0.03), (0.5 - 0.2, -0.1), (0.5, -0.1)],
            [(0.5 + 0.2, -0.1), (0.5 + w, -0.03), (0.5 + w, 0.22)],
            [
                (0.5 + w * 0.5, 0.19),
                (0.5 - w * 0.5, 0.19),
                (0.5 - w, 0.22),
            ],
        ],
    );
    lit(c, look, &crown, look.felt, 1.0);
    let band = mix(look.felt, BLACK, 0.4);
    let reach = if look.brim { 0.12 } else { 0.01 };
    c.line(&arc((0.5, 0.215), w + reach, -0.02), 0.05, band, 1.0);
}

fn glasses(c: &mut Canvas, look: &Look) {
    let x = 0.5 + look.yaw;
    let y = look.eye_y + 0.005;
    let (rx, ry) = (look.gap - 0.03, 0.077);
    for side in [-1.0, 1.0] {
        let lens = oval((x + side * look.gap, y), (rx, ry));
        c.fill(&lens, [0.08, 0.08, 0.1], look.tint);
        c.line(&lens, 0.034, look.frames, 1.0);
        let temple = [
            x + side * (look.gap + rx),
            0.5 + side * (look.head.0 + 0.01),
        ];
        let centre = (temple[0] + temple[1]) / 2.0;
        let w = (temple[1] - temple[0]).abs() / 2.0;
        c.line(
            &arc((centre, y - 0.015), w, 0.0005),
            0.026,
            look.frames,
            1.0,
        );
    }
    c.line(&arc((x, y - 0.015), 0.035, -0.006), 0.03, look.frames, 1.0);
}

fn earrings(c: &mut Canvas, look: &Look) {
    for side in [-1.0, 1.0] {
        let place = (0.5 + side * (look.head.0 + 0.02), 0.645);
        c.fill(
            &oval(place, (0.047, 0.062)),
            mix(look.metal, BLACK, 0.65),
            0.8,
        );
        c.fill(&oval(place, (0.037, 0.052)), look.metal, 1.0);
    }
}
