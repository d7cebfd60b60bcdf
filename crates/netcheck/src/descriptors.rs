//! The limit of open descriptors (RLIMIT_NOFILE, getrlimit(2)): most systems give a process 1,024 and let
//! it raise that itself. The harness holds thousands of clients and does so; what it starts gets the
//! limit that the harness was given.

use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The limit that this process was given, and what it has made of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    pub(crate) soft: u64,
    pub(crate) hard: u64,
    raised: u64,
}

impl Given {
    /// Whether a program that is started has to be given the old limit.
    pub(crate) fn was_raised(&self) -> bool {
        self.raised > self.soft
    }
}

/// Raises the soft limit of this process to the hard one: how many descriptors can be open at once.
///
/// # Panics
/// When the kernel does not know the limit.
pub fn raise() -> u64 {
    given().raised
}

/// What the limit was before [`raise`].
pub(crate) fn given() -> Given {
    static GIVEN: OnceLock<Given> = OnceLock::new();
    *GIVEN.get_or_init(|| {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit of a known limit");
        // It fails where fs.nr_open was lowered below the hard limit.
        let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_or(soft, |()| hard);
        Given { soft, hard, raised }
    })
}
