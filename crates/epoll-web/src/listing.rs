//! The page of a folder that has no index.html.

use netcore::text::escape;

use crate::response::{PATH, encode};

/// Bytes of a page at most: it waits in memory for as long as its peer does not read.
const LONGEST: usize = 64 * 1024;

/// A page with a link to each of these names, which are sorted here; those of folders end in `/`.
pub(crate) fn page(path: &[u8], mut names: Vec<Vec<u8>>) -> String {
    names.sort_unstable();
    let title = html(path);
    let mut page = format!("<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>/{title}</title>\n");
    for name in &names {
        let line = format!("<li><a href=\"{}\">{}</a>\n", encode(name, PATH), html(name));
        if page.len() + line.len() > LONGEST {
            page.push_str("<p>and more\n");
            break;
        }
        page.push_str(&line);
    }
    page
}

/// A name as text of a page: no byte of it is a tag, or acts on what shows it.
fn html(name: &[u8]) -> String {
    let text = escape(name).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
