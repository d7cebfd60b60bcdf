//! The protocol of `chat-server` and `chat-client`, without I/O.
//!
//! A frame is the length of a text in four bytes, network order, and the text, UTF-8. A client's
//! first frame is its name, each other one is something that it says. A server's frame is a word
//! and its arguments, with tabs between: see [`ServerMessage`].

use crate::limits::reserve;
use crate::text::{counted, escape};

/// Longest text of a client's frame, in bytes.
pub const LONGEST_TEXT: usize = 4096;

/// The same for a server's frame: `said`, two tabs, a name of the longest characters, and the text.
pub const LONGEST_MESSAGE: usize = LONGEST_TEXT + 6 + 4 * LONGEST_NAME;

/// Characters of a name at most.
const LONGEST_NAME: usize = 32;

/// Bytes of the length before each text.
const HEAD: usize = 4;

/// A text as a frame.
#[must_use]
pub fn frame(text: &str) -> Vec<u8> {
    // No text of ours is so long that its length would not fit.
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

/// Cuts a stream of bytes into frames: a `recv` may bring half of one, or ten at once.
pub struct Frames {
    longest: usize,
    /// What was received, and how much of it was returned. Empty, it costs no memory.
    bytes: Vec<u8>,
    done: usize,
}

impl Frames {
    /// Frames of at most so many bytes of text.
    #[must_use]
    pub fn new(longest: usize) -> Self {
        Self { longest, bytes: Vec::new(), done: 0 }
    }

    /// Adds what was received.
    ///
    /// # Errors
    /// ENOMEM: only this peer cannot be served.
    pub fn push(&mut self, bytes: &[u8]) -> nix::Result<()> {
        self.bytes.drain(..self.done);
        self.done = 0;
        reserve(|| self.bytes.try_reserve(bytes.len()))?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The text of the next frame that is whole. The length is judged as soon as it is there: a
    /// frame that is too long is never waited for.
    ///
    /// # Errors
    /// What is wrong with the frame; where the next one begins is then not known any more.
    pub fn next_text(&mut self) -> Result<Option<String>, String> {
        let rest = self.bytes.get(self.done..).unwrap_or_default();
        let Some((head, rest)) = rest.split_first_chunk::<HEAD>() else {
            if rest.is_empty() {
                (self.bytes, self.done) = (Vec::new(), 0);
            }
            return Ok(None);
        };
        let length = u32::from_be_bytes(*head);
        let length = usize::try_from(length).ok().filter(|length| *length <= self.longest);
        let length = length.ok_or_else(|| {
            let length = u32::from_be_bytes(*head);
            format!("a frame of {}, {} at most", counted(length, "byte"), self.longest)
        })?;
        let Some(text) = rest.get(..length) else { return Ok(None) };
        let text = str::from_utf8(text).map_err(|_| "a frame that is not UTF-8".to_owned())?;
        let text = text.to_owned();
        self.done += HEAD + length;
        Ok(Some(text))
    }

    /// Whether there are bytes of a frame that is not whole.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.done < self.bytes.len()
    }
}

/// Checks a name: one that a terminal shows unchanged, and nothing in it is invisible.
///
/// # Errors
/// What is accepted.
pub fn name(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    let shown = escape(text.as_bytes()) == text && !text.contains(char::is_whitespace);
    if shown && (1..=LONGEST_NAME).contains(&length) {
        Ok(text.to_owned())
    } else {
        Err(format!("a name is 1 to {LONGEST_NAME} printable characters, and no blank or \\"))
    }
}

/// What a server sends. All clients get the same messages in the same order, the one that a message
/// is about too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// `joined NAME`; your own name: you are in, and what was said before is history.
    Joined(String),
    /// `left NAME`; your own name: the server has received your FIN, and nothing follows.
    Left(String),
    /// `said NAME TEXT`.
    Said(String, String),
    /// `refused WHY`: the server does not accept what you sent, and closes the connection.
    Refused(String),
    /// `closed WHY`: the server closes the connection for a reason of its own.
    Closed(String),
}

impl ServerMessage {
    /// As a frame.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        frame(&match self {
            Self::Joined(name) => format!("joined\t{name}"),
            Self::Left(name) => format!("left\t{name}"),
            Self::Said(name, text) => format!("said\t{name}\t{text}"),
            Self::Refused(why) => format!("refused\t{why}"),
            Self::Closed(why) => format!("closed\t{why}"),
        })
    }

    /// Reads the text of a frame; a tab in what somebody said belongs to it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (word, rest) = text.split_once('\t')?;
        let owned = rest.to_owned();
        Some(match word {
            "joined" => Self::Joined(owned),
            "left" => Self::Left(owned),
            "said" => {
                let (name, text) = rest.split_once('\t')?;
                Self::Said(name.to_owned(), text.to_owned())
            }
            "refused" => Self::Refused(owned),
            "closed" => Self::Closed(owned),
            _ => return None,
        })
    }
}

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
