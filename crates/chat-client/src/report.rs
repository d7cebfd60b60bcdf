//! The lines that are sent, and those that are printed.

use netcore::chat::LONGEST_TEXT;
use netcore::text::{Json, escape};

/// Cuts standard input into lines. Of a line that is too long, only the beginning is kept.
#[derive(Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
    /// How many lines came before it.
    before: u64,
}

impl Lines {
    /// Calls `each` with each line that is complete now, or with the reason not to send it.
    pub(crate) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Result<&str, String>)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n");
            let room = (LONGEST_TEXT + 1).saturating_sub(self.line.len());
            self.line.extend(text.unwrap_or(part).iter().take(room));
            if text.is_some() {
                self.end(&mut each);
            }
        }
    }

    /// The input has ended: the same with the last line, which need not have a newline.
    pub(crate) fn end(&mut self, mut each: impl FnMut(Result<&str, String>)) {
        let line = std::mem::take(&mut self.line);
        self.before += 1;
        let number = self.before;
        if line.len() > LONGEST_TEXT {
            each(Err(format!("line {number}: longer than {LONGEST_TEXT} bytes, not sent")));
        } else if !line.is_empty() {
            let text = str::from_utf8(&line);
            each(text.map_err(|_| format!("line {number}: not UTF-8, not sent")));
        }
    }
}

/// A client has `joined` or `left`.
pub(crate) fn event(what: &str, name: &str, json: bool) -> String {
    let name = escape(name.as_bytes());
    if json { Json::new(what).text("name", &name).to_string() } else { format!("* {name} {what}") }
}

/// What a client has said.
pub(crate) fn said(name: &str, text: &str, json: bool) -> String {
    let [shown_name, shown_text] = [name, text].map(|text| escape(text.as_bytes()));
    if json {
        let json = Json::new("said").text("name", &shown_name).text("text", &shown_text);
        json.number("bytes", text.len() as u64).to_string()
    } else {
        format!("{shown_name}: {shown_text}")
    }
}

/// A frame that no server sends.
pub(crate) fn unknown(text: &str) -> String {
    let beginning: String = text.chars().take(40).collect();
    format!("a frame with an unknown word: \"{}\"", escape(beginning.as_bytes()))
}
