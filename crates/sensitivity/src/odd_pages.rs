//! Pages of odd numbers and names: no panic, and no name is read as HTML.

#[path = "../../datasway-report/tests/odd_values/mod.rs"]
mod odd_values;

use datasway_report::Picture;

use crate::influence::page::{FunctionalSection, InfluenceCard, InfluencePage, InfluentialImage};
use crate::rank::page::{DirectionSection, SampleCard, SensitivityPage};
use crate::rank::strip::{ChangeSize, strip_png};

use odd_values::{NAMES, NUMBERS};

#[test]
fn pages_of_any_numbers_are_drawn() {
    let values = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        0.0,
        1e-45,
    ];
    for value in values {
        let pixels = [value; 4];
        let picture = Picture {
            channels: 1,
            height: 2,
            width: 2,
            values: &pixels,
        };
        strip_png(&[picture], &[picture], ChangeSize::Visible { sign: -1.0 }).unwrap();
        for numbers in NUMBERS {
            let curve: Vec<(f64, f64)> = numbers.iter().map(|&x| (x, x)).collect();
            let score = numbers.first().copied().unwrap_or(f64::from(value));
            strip_png(&[picture], &[picture], ChangeSize::Mass(score)).unwrap();
            let name = NAMES[numbers.len() % NAMES.len()].to_owned();
            let card = SampleCard {
                index: 0,
                sample: picture,
                given: None,
                delta: picture,
                mass: (numbers.len() % 2 == 0).then_some(score),
                score,
                residual: Some(score),
                limit: Some(score),
                draw_noise: Some(score),
                agreement: Some(score),
                log_ratio: curve.clone(),
                warnings: vec![name.clone()],
            };
            let section = DirectionSection {
                name: name.clone(),
                mass: Some(score),
                cards: vec![card.clone(), card],
                ..DirectionSection::default()
            };
            let page = SensitivityPage {
                title: name.clone(),
                facts: vec![(name.clone(), name.clone())],
                directions: vec![section],
                ..SensitivityPage::default()
            };
            let html = page.render().unwrap();
            assert!(!html.contains("<script>alert") && !html.contains('\u{0}'));
            let pushed = InfluentialImage {
                name: name.clone(),
                picture: Some(picture),
                share: score,
                along: curve.clone(),
            };
            let card = InfluenceCard {
                index: 0,
                sample: picture,
                given: None,
                gradient: picture,
                value: score,
                proponents: vec![pushed.clone()],
                opponents: vec![pushed],
                candidates: None,
                strength: curve,
                groups: vec![(name.clone(), 1, score)],
                warnings: Vec::new(),
            };
            let page = InfluencePage {
                functionals: vec![FunctionalSection {
                    name,
                    cards: vec![card],
                    ..FunctionalSection::default()
                }],
                ..InfluencePage::default()
            };
            page.render().unwrap();
        }
    }
}
