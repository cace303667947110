//! What every page has: one file of HTML that asks for nothing else.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::words::on_page;

/// A page of this title, style sheet and body, with the footer that says it is complete.
pub fn document(title: &str, css: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // An empty icon, so that a browser does not ask a server for one.
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
