//! The ranking: its folder and page.

pub mod output;
