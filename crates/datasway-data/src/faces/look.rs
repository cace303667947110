//! Parameters of a face.
//!
//! Every parameter is drawn whatever the attributes are, so an attribute changes only the feature that it names.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::attributes::ATTRIBUTES;
use super::canvas::{Colour, mix};

pub(super) struct Look {
    pub bangs: bool,
    pub glasses: bool,
    pub long: bool,
    pub open: bool,
    pub beard: bool,
    pub smiling: bool,
    pub earrings: bool,
    pub hat: bool,
    pub lipstick: bool,

    /// The colours at both ends of the background, and the angle between them.
    pub ground: [Colour; 2],
    pub slope: f32,
    /// Out-of-focus spots: place, radius, colour.
    pub spots: [((f32, f32), f32, Colour); 4],
    pub clothes: Colour,

    /// Degrees, shift and scale of the head.
    pub roll: f32,
    pub shift: (f32, f32),
    pub scale: f32,
    /// Horizontal shift of the features.
    pub yaw: f32,

    /// The direction that light comes from (a unit vector), its strength, and the gain of each channel.
    pub light: (f32, f32),
    pub contrast: f32,
    pub gain: Colour,

    pub skin: Colour,
    pub blush: f32,
    pub hair: Colour,
    pub felt: Colour,
    pub brim: bool,
    pub metal: Colour,
    pub frames: Colour,
    /// Opacity of the lenses.
    pub tint: f32,
    pub lips: Colour,
    pub iris: Colour,

    /// Half width and half height of the head, and how wide the jaw is.
    pub head: (f32, f32),
    pub jaw: f32,
    pub parting: f32,
    pub volume: f32,
    pub length: f32,
    pub fringe: f32,
    pub whiskers: f32,
    /// Half the distance of the eyes, their height and size.
    pub gap: f32,
    pub eye_y: f32,
    pub eye: f32,
    pub brows: f32,
    pub nose: f32,
    pub mouth: f32,
    pub mouth_y: f32,
}

impl Look {
    /// Random proportions and colours of a face whose attributes are `has`, in the order of [`ATTRIBUTES`].
    pub fn new(has: [bool; ATTRIBUTES.len()], rng: &mut ChaCha8Rng) -> Self {
        let [
            bangs,
            blond,
            glasses,
            long,
            open,
            no_beard,
            pale,
            smiling,
            earrings,
            hat,
            lipstick,
        ] = has;
        let mut vary = |low: f32, high: f32| low + (high - low) * rng.random::<f32>();

        let ground = soft(vary(0.0, 1.0), vary(0.0, 0.35), vary(0.15, 0.9));
        let other = soft(vary(0.0, 1.0), vary(0.0, 0.35), vary(0.15, 0.9));
        let ground = [ground, mix(ground, other, vary(0.2, 0.8))];
        let slope = vary(0.0, std::f32::consts::TAU);
        let spots = std::array::from_fn(|_| {
            let place = (vary(-0.2, 1.2), vary(-0.3, 1.1));
            let colour = soft(vary(0.0, 1.0), vary(0.0, 0.4), vary(0.1, 1.0));
            (place, vary(0.2, 0.5), mix(ground[0], colour, 0.7))
        });
        let clothes = soft(vary(0.0, 1.0), vary(0.0, 0.6), vary(0.08, 0.9));

        let light = vary(-3.3, 0.15);
        let (exposure, warmth) = (vary(0.86, 1.12), vary(-0.06, 0.06));

        // Two independent tones, so that neither skin nor hair is a single line of colours.
        let (tone, hue) = (vary(0.0, 1.0), vary(-0.04, 0.04));
        let skin = if pale {
            mix([0.97, 0.87, 0.82], [0.92, 0.80, 0.74], tone)
        } else {
            let light = mix([0.87, 0.67, 0.53], [0.72, 0.50, 0.36], tone * 1.6);
            mix(light, [0.45, 0.29, 0.20], ((tone - 0.5) / 0.5).max(0.0))
        };
        let skin = [skin[0] + hue * 0.4, skin[1], skin[2] - hue];
        let (shade, red) = (vary(0.0, 1.0), vary(0.0, 1.0));
        let hair = if blond {
            mix([0.95, 0.83, 0.52], [0.76, 0.58, 0.28], shade)
        } else {
            let brown = mix([0.24, 0.15, 0.10], [0.36, 0.17, 0.09], red);
            mix([0.07, 0.055, 0.05], brown, shade)
        };
        let felt = soft(vary(0.0, 1.0), vary(0.1, 0.7), vary(0.15, 0.85));
        let gold = vary(0.0, 1.0);
        let dark = vary(0.0, 1.0);
        let frames = mix([0.03, 0.03, 0.04], [0.20, 0.08, 0.05], dark);
        let tint = vary(0.0, 1.0);
        let natural = mix(skin, [0.66, 0.22, 0.24], vary(0.35, 0.6));
        let painted = mix([0.80, 0.06, 0.14], [0.62, 0.04, 0.22], vary(0.0, 1.0));

        Self {
            bangs,
            glasses,
            long,
            open,
            beard: !no_beard,
            smiling,
            earrings,
            hat,
            lipstick,
            ground,
            slope,
            spots,
            clothes,
            roll: vary(-9.0, 9.0),
            shift: (vary(-0.035, 0.035), vary(-0.03, 0.03)),
            scale: vary(1.0, 1.16),
            yaw: vary(-0.045, 0.045),
            light: (light.cos(), light.sin()),
            contrast: vary(0.15, 1.0),
            gain: [
                exposure * (1.0 + warmth),
                exposure,
                exposure * (1.0 - warmth),
            ],
            skin,
            blush: vary(0.0, 0.3),
            hair,
            felt,
            brim: vary(0.0, 1.0) < 0.5,
            metal: mix([0.93, 0.95, 0.98], [0.98, 0.80, 0.28], gold),
            frames,
            tint: if tint > 0.8 { 0.85 } else { 0.1 + 0.3 * tint },
            lips: if lipstick { painted } else { natural },
            iris: mix(
                mix([0.20, 0.11, 0.06], [0.35, 0.30, 0.15], vary(0.0, 1.0)),
                [0.25, 0.42, 0.55],
                vary(0.0, 1.0).powi(3),
            ),
            head: (vary(0.255, 0.295), vary(0.345, 0.385)),
            jaw: vary(0.72, 1.0),
            parting: vary(-1.0, 1.0),
            volume: vary(0.03, 0.075),
            length: vary(0.85, 1.2),
            fringe: vary(0.34, 0.38),
            whiskers: vary(0.56, 0.64),
            gap: vary(0.122, 0.14),
            eye_y: vary(0.445, 0.47),
            eye: vary(0.042, 0.052),
            brows: vary(0.014, 0.026),
            nose: vary(0.03, 0.045),
            mouth: vary(0.08, 0.095),
            mouth_y: vary(0.69, 0.715),
        }
    }
}

/// A colour by hue, saturation and value, all in [0, 1].
fn soft(hue: f32, saturation: f32, value: f32) -> Colour {
    [5.0, 3.0, 1.0].map(|n| {
        let k = (n + hue * 6.0) % 6.0;
        value * (1.0 - saturation * k.min(4.0 - k).clamp(0.0, 1.0))
    })
}
