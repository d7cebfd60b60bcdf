//! What the recipes `chat-server` and `chat-client` say to each other, apart from any socket.
//!
//! A frame is the length of a text in four bytes, network order, and the text, UTF-8. A client's
//! first frame is its name, each other one is something that it says. A server's frame is a word
//! and what belongs to it, with tabs between: see [`Told`].

use crate::text::escape;

/// Bytes of text that a client's frame holds at most.
pub const LONGEST: usize = 4096;

/// The same for a server's frame: `said`, two tabs, a name of the longest characters, and the text.
pub const LONGEST_TOLD: usize = LONGEST + 6 + 4 * LONGEST_NAME;

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
    /// What has come, and how much of it has been handed out. Empty, it costs no memory.
    bytes: Vec<u8>,
    done: usize,
}

impl Frames {
    /// Frames of at most so many bytes of text.
    #[must_use]
    pub fn new(longest: usize) -> Self {
        Self { longest, bytes: Vec::new(), done: 0 }
    }

    /// Takes what was received.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.done);
        self.done = 0;
        self.bytes.extend_from_slice(bytes);
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
            let told = u32::from_be_bytes(*head);
            format!("a frame of {told} bytes, {} at most", self.longest)
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

/// Takes a name: what is shown as it is, so that nobody is two people, or none.
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

/// What a server tells a client. All get the same, in the same order, each its own words too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// `joined NAME`; your own name: you are in, and what was said before is history.
    Joined(String),
    /// `left NAME`; your own name: your end of the stream has come, and nothing follows.
    Left(String),
    /// `said NAME TEXT`.
    Said(String, String),
    /// `refused WHY`: what you sent is not taken, and the connection is closed.
    Refused(String),
    /// `closed WHY`: the server ends the connection, whatever you sent.
    Closed(String),
}

impl Told {
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
    pub fn read(text: &str) -> Option<Self> {
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
