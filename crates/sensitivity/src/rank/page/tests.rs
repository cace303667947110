//! A page made from synthetic pictures is self-contained and has every section.

use datasway_report::Picture;

use super::{DirectionSection, SampleCard, SensitivityPage, synthetic};

const SIDE: usize = 8;
const WARNING: &str = "The log ratio reaches 41 nats at σ = 0.3.";

/// A page of `count` samples, the last one with a warning, and what it holds borrowed pixels from.
fn with_page<T>(count: usize, check: impl FnOnce(&SensitivityPage<'_>) -> T) -> T {
    let samples: Vec<_> = (0..count).map(|i| synthetic::picture(i, SIDE)).collect();
    let deltas: Vec<_> = (0..count)
        .map(|i| synthetic::delta(i, SIDE, 2.0 / (1.0 + i as f32)))
        .collect();
    let view = |values| Picture {
        channels: 3,
        height: SIDE,
        width: SIDE,
        values,
    };
    let cards = (0..count)
        .map(|i| SampleCard {
            index: 100 + i,
            sample: view(&samples[i]),
            given: None,
            delta: view(&deltas[i]),
            mass: None,
            score: view(&deltas[i]).norm(),
            residual: Some(0.5),
            limit: (i == 0).then_some(0.25),
            draw_noise: None,
            agreement: None,
            log_ratio: synthetic::log_ratio(i),
            warnings: if i + 1 == count {
                vec![WARNING.into()]
            } else {
                vec![]
            },
        })
        .collect();
    check(&SensitivityPage {
        title: "Sensitivity <of> faces".into(),
        summary: "Synthetic.".into(),
        facts: vec![
            ("seed".into(), "17".into()),
            ("fingerprint".into(), "ab12".into()),
        ],
        directions: vec![DirectionSection {
            step_shares: Vec::new(),
            name: "attr:Male&Eyeglasses".into(),
            removing: true,
            mass: None,
            pictures: vec![view(&samples[0])],
            picture_count: 1,
            cards,
        }],
    })
}

#[test]
fn the_page_needs_nothing_from_outside() {
    let html = with_page(5, |page| page.render().unwrap());
    // The only addresses allowed are XML namespaces, which nothing fetches.
    let outside = html.replace("http://www.w3.org/2000/svg", "");
    for forbidden in [
        "http:", "https:", "src=\"//", "<script", "@import", "url(", "<iframe", "<object",
    ] {
        assert!(!outside.contains(forbidden), "the page holds {forbidden}");
    }
    let sources = html.matches("src=\"").count();
    assert_eq!(
        sources,
        html.matches("src=\"data:image/png;base64,").count()
    );
    assert_eq!(sources, 5 * 4 + 1);
}

#[test]
fn the_page_warns_explains_and_describes_its_pictures() {
    let html = with_page(5, |page| page.render().unwrap());
    assert_eq!(html.matches(WARNING).count(), 1);
    assert_eq!(html.matches("class=\"card warned\"").count(), 1);
    for said in [
        "per unit of mass",
        "η · δ",
        "‖δ‖",
        "removing is η &lt; 0",
        "fingerprint",
        "trusted up to |η| = 0.25",
        "Remove attr:Male&amp;Eyeglasses",
    ] {
        assert!(
            html.contains(said) || html.contains(&said.replace("&lt;", "<")),
            "the page does not say {said}"
        );
    }
    assert!(html.contains("Sensitivity &lt;of&gt; faces"));
    assert_eq!(
        html.matches("<img").count(),
        html.matches(" alt=\"").count()
    );
    // Of the two exaggerated pictures, the one that removes is marked.
    assert_eq!(html.matches("class=\"want\"").count(), 5);
    assert!(!html.contains("NaN"));
}

#[test]
fn samples_that_blew_up_and_empty_sections_still_make_a_page() {
    let sample = synthetic::picture(0, SIDE);
    let view = |values| Picture {
        channels: 3,
        height: SIDE,
        width: SIDE,
        values,
    };
    let mut delta = synthetic::delta(0, SIDE, 1e12);
    delta[3] = f32::NAN;
    delta[4] = f32::INFINITY;
    let card = SampleCard {
        index: 0,
        sample: view(&sample),
        given: None,
        delta: view(&delta),
        mass: None,
        score: f64::INFINITY,
        residual: Some(0.5),
        limit: None,
        draw_noise: None,
        agreement: None,
        log_ratio: vec![(1.0, f64::NAN)],
        warnings: vec!["Not finite.".into(), "Huge.".into()],
    };
    let section = DirectionSection {
        name: "all".into(),
        cards: vec![card.clone(), card],
        ..Default::default()
    };
    let page = SensitivityPage {
        directions: vec![section, DirectionSection::default()],
        ..Default::default()
    };
    let html = page.render().unwrap();
    assert!(html.contains("<li>Huge.</li>") && !html.contains("trusted up to"));
}

#[test]
fn two_hundred_and_fifty_six_samples_stay_small_and_are_written_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.html");
    with_page(256, |page| page.write(&path).unwrap());
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < 2 << 20, "{size} bytes");
    assert!(std::fs::read_to_string(&path).unwrap().ends_with("</html>"));
}
