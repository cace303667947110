//! A self-contained HTML document.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::words::on_page;

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
