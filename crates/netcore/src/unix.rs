//! Names of unix sockets as they are typed.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use socket2::SockAddr;

use crate::error::{Attempt, Error};
use crate::text::escape;

/// sockaddr_un has room for 108 bytes. The kernel takes a path that fills it, without the NUL at its
/// end, which then cannot be told from a longer one.
const LONGEST: usize = 107;

/// The name of a unix socket: a path, or with `@` an abstract name, which is in no file system and ends
/// with the last descriptor of its socket (unix(7)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// The path, `None` for an abstract name.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        (!self.0.starts_with('@')).then(|| Path::new(&self.0))
    }

    /// The address for `bind` and `connect`. An abstract name begins with a NUL there.
    ///
    /// # Errors
    /// None that [`Name::from_str`] lets through.
    pub fn address(&self) -> Result<SockAddr, Error> {
        let address = match self.0.strip_prefix('@') {
            Some(name) => SockAddr::unix(format!("\0{name}")),
            None => SockAddr::unix(&self.0),
        };
        address.attempt(self)
    }
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Name, String> {
        match text.strip_prefix('@').unwrap_or(text).len() {
            0 => Err("write a path, or @ and an abstract name".to_owned()),
            _ if text.len() > LONGEST => Err(format!("longer than {LONGEST} bytes")),
            _ if text.contains('\0') => Err("a name has no NUL".to_owned()),
            _ => Ok(Name(text.to_owned())),
        }
    }
}

/// `unix:/run/x.sock`, so that it is not taken for a host.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix:{}", escape(self.0.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_path_or_abstract() {
        let name = |text: &str| text.parse::<Name>();
        let path = name("/run/x.sock").unwrap();
        assert_eq!(path.path(), Some(Path::new("/run/x.sock")));
        assert_eq!(path.address().unwrap().as_pathname(), Some(Path::new("/run/x.sock")));
        let abstracted = name("@x").unwrap();
        assert_eq!(abstracted.path(), None);
        assert_eq!(abstracted.address().unwrap().as_abstract_namespace(), Some(b"x".as_slice()));
        assert_eq!(abstracted.to_string(), "unix:@x");
        let long = "x".repeat(LONGEST);
        assert!(name(&long).unwrap().address().is_ok());
        for text in ["", "@", "a\0b", &format!("{long}x")] {
            assert!(name(text).is_err(), "{text:?}");
        }
    }
}
