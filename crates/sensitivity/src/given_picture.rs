//! A given picture on a page, beside the sample that the model draws from its noise.

use datasway_report::plot::number;
use datasway_report::{Picture, ReportError, data_uri};
use maud::{Markup, html};

/// A given picture.
#[derive(Debug, Clone)]
pub struct GivenPicture<'a> {
    /// Name of the picture.
    pub name: String,
    /// Pixels in [-1, 1].
    pub picture: Picture<'a>,
    /// Root mean square of its difference from the sample, in grey levels.
    pub error: f64,
}

impl GivenPicture<'_> {
    /// The picture beside `sample`, which was drawn from its noise.
    ///
    /// # Errors
    /// If a picture's values do not fill its shape.
    pub fn render(&self, sample: &Picture<'_>) -> Result<Markup, ReportError> {
        let figure = |picture: &Picture<'_>, alt: String, caption: &str| {
            let uri = data_uri(&picture.to_rgb()?)?;
            Ok::<Markup, ReportError>(
                html! { figure { img src=(uri) alt=(alt) loading="lazy"; figcaption { (caption) } } },
            )
        };
        let given = figure(&self.picture, format!("Picture {}", self.name), "given")?;
        let drawn = figure(sample, format!("{} drawn again", self.name), "drawn again")?;
        Ok(html! {
            div.four { (given) (drawn) }
            p.limit { (self.name) ": off by " (number(self.error)) " grey levels" }
        })
    }
}
