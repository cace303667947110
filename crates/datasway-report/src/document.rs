//! A self-contained HTML document, its style sheet and the panel of run information.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::words::on_page;

/// Style sheet of a page with a header, an introduction of panels, and sections of panels, in light and in dark.
pub const STYLE: &str = include_str!("style.css");

/// An HTML page with a title, a style sheet, a body and the common footer.
pub fn document(title: &str, css: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // An empty icon keeps browsers from requesting one.
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(css)) }
            }
            body {
                (body)
                footer { "Made by Datasway. This file is complete in itself: it loads nothing from anywhere." }
            }
        }
    };
    on_page(&page.into_string())
}

/// A panel with the names and values of a run; nothing if there are none.
pub fn facts(facts: &[(String, String)]) -> Markup {
    html! {
        @if !facts.is_empty() {
            div.panel {
                h3 { "This run" }
                table { tbody { @for (name, value) in facts { tr { th scope="row" { (name) } td { (value) } } } } }
            }
        }
    }
}
