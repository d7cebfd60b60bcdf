//! Standard output that reports: `println!` panics when the reader has gone or the disk is full.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use crate::error::Error;

/// Standard output. Each call reaches the kernel before it returns, so nothing is lost when a
/// program is killed, and nothing that one process wrote is written again by a forked child.
pub struct Output(());

impl Output {
    /// The frame makes the only one.
    pub(crate) fn new() -> Output {
        Output(())
    }

    /// Writes one line.
    ///
    /// # Errors
    /// [`Error::Output`]: EPIPE when the reader has gone, ENOSPC on a full disk.
    pub fn line(&mut self, line: impl Display) -> Result<(), Error> {
        self.bytes(format!("{line}\n").as_bytes())
    }

    /// Writes bytes as they are, however often the kernel takes only a part of them.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(Error::Output)
    }

    /// Whether a person looks at it: a terminal never gets a peer's bytes unescaped.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        std::io::stdout().is_terminal()
    }
}
