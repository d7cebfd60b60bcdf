//! Standard input, line by line, as far as it can be sent.

use netcore::chat::LONGEST;

/// Cuts what is read into lines. Of a line that is too long no more than that is kept.
pub(crate) struct Lines {
    line: Vec<u8>,
    /// The number of the line, for errors.
    number: u64,
}

impl Lines {
    pub(crate) fn new() -> Self {
        Lines { line: Vec::new(), number: 1 }
    }

    /// Takes what was read; calls `each` with each line that is complete, or with why it is none.
    pub(crate) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Result<&str, String>)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ended) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            let room = (LONGEST + 1).saturating_sub(self.line.len());
            self.line.extend(text.iter().take(room));
            if ended {
                self.end(&mut each);
            }
        }
    }

    /// The line that has no newline at its end, if there is one.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(Result<&str, String>)) {
        self.end(&mut each);
    }

    /// An empty line says nothing and is not sent.
    fn end(&mut self, each: &mut impl FnMut(Result<&str, String>)) {
        let (line, number) = (std::mem::take(&mut self.line), self.number);
        self.number += 1;
        if line.len() > LONGEST {
            each(Err(format!("line {number}: longer than {LONGEST} bytes, not sent")));
        } else if !line.is_empty() {
            let text = str::from_utf8(&line);
            each(text.map_err(|_| format!("line {number}: not UTF-8, not sent")));
        }
    }
}
