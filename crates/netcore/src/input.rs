//! What a look-up is asked: the words of the command line, or the lines of standard input.

use std::io::{BufRead, Read, stdin};

use crate::error::{Error, to_errno};

/// The longest line that is read; nothing that is looked up is longer.
const LONGEST: u64 = 4096;

/// Calls `each` with every word, in their order; a `-` stands for the lines of standard input, each
/// answered before the next is read. Blank around a line is dropped, an empty line passed over.
///
/// # Errors
/// That of `each`, or [`Error::Input`].
pub fn each_word(
    words: &[String],
    mut each: impl FnMut(&str) -> Result<(), Error>,
) -> Result<(), Error> {
    for word in words {
        if word == "-" { each_line(&mut each)? } else { each(word)? }
    }
    Ok(())
}

fn each_line(each: &mut impl FnMut(&str) -> Result<(), Error>) -> Result<(), Error> {
    let mut input = stdin().lock();
    let failed = |why: std::io::Error| Error::Input(to_errno(why));
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input.by_ref().take(LONGEST).read_until(b'\n', &mut line).map_err(failed)?;
        if read == 0 {
            return Ok(());
        }
        let ended = line.last() == Some(&b'\n');
        if !ended && line.len() as u64 == LONGEST {
            input.skip_until(b'\n').map_err(failed)?;
            // The beginning of a line is not the line: with this at its end nothing takes it.
            line.extend("\u{2026}".bytes());
        }
        // What is not UTF-8 becomes U+FFFD, which no look-up takes.
        match String::from_utf8_lossy(line.trim_ascii()).as_ref() {
            "" => {}
            text => each(text)?,
        }
    }
}
