//! The page: the same picture in one file, and the arrow keys go through it row by row.

use crate::svg::{Words, escape};

const PAGE: &str = include_str!("page.html");

/// The parts of a story in order, in one page that loads nothing.
pub(crate) fn page(svgs: &[String], words: &Words) -> String {
    // Ids have to be different in one document.
    let unique = svgs.iter().enumerate().map(|(number, svg)| {
        ["t", "d", "z", "m0", "m1", "m2", "m3", "m4", "m5"].iter().fold(svg.clone(), |svg, id| {
            svg.replace(&format!(r#"id="{id}""#), &format!(r#"id="{id}-{number}""#))
                .replace(&format!("url(#{id})"), &format!("url(#{id}-{number})"))
        })
    });
    let pictures: String = unique
        .enumerate()
        .map(|(number, svg)| svg.replace(r#"="t d""#, &format!(r#"="t-{number} d-{number}""#)))
        .collect();
    // The title last: what it says is not searched.
    let (before, after) = PAGE.split_once("@PICTURES@").unwrap_or((PAGE, ""));
    let before = before.replacen("@TITLE@", &escape(&words.title), 1);
    format!("{before}{pictures}{after}")
}
