//! What the name of this machine stands for, if anything.

use std::ffi::OsStr;
use std::net::SocketAddr;

use netcore::addr::Host;
use netcore::error::Error;
use netcore::resolve::{AddressFamily, Found, OnTimeout, Reason, look_up};
use netcore::text::Json;
use netcore::time::Timeout;

use crate::address::without_port;

/// What came of looking up the name.
pub(crate) enum Resolved {
    Found(Found),
    /// It can't be the name of a host, so nobody was asked.
    NoHost(String),
    Failed(Error),
}

impl Resolved {
    pub(crate) fn of(name: &OsStr, timeout: Timeout) -> Resolved {
        let text = name.to_str().ok_or_else(|| "not UTF-8".to_owned());
        let host: Host = match text.and_then(str::parse) {
            Ok(host) => host,
            Err(why) => return Resolved::NoHost(why),
        };
        match look_up(&host, 0, AddressFamily::Any, timeout, OnTimeout::AbandonThread) {
            Ok(found) => Resolved::Found(found),
            // The name is an address with a zone that this machine has not.
            Err(Error::Usage(why)) => Resolved::NoHost(why),
            Err(error) => Resolved::Failed(error),
        }
    }

    pub(crate) fn lines(&self) -> String {
        let found = match self {
            Resolved::Found(found) => found,
            Resolved::NoHost(why) => return format!("  nothing: {why}\n"),
            Resolved::Failed(error) => return format!("  nothing: {error}\n"),
        };
        let mut text = String::new();
        if let Some(canonical) = &found.canonical {
            text += &format!("  canonical {canonical}\n");
        }
        for address in &found.addresses {
            text += &format!("  {}\n", without_port(*address));
        }
        if only_loopback(&found.addresses) {
            text += "  which is loopback only: no other machine reaches this one so\n";
        }
        text
    }

    pub(crate) fn json(&self) -> Json {
        let json = Json::new("resolved");
        let found = match self {
            Resolved::Found(found) => found,
            Resolved::NoHost(why) => return json.texts("addresses", &[]).text("error", why),
            Resolved::Failed(error) => {
                return json.texts("addresses", &[]).text("error", &error.to_string());
            }
        };
        let addresses: Vec<String> = found.addresses.iter().copied().map(without_port).collect();
        let loopback_only = only_loopback(&found.addresses);
        let json = json.texts("addresses", &addresses).flag("loopback_only", loopback_only);
        match &found.canonical {
            Some(canonical) => json.text("canonical", canonical),
            None => json,
        }
    }

    /// What `--strict` makes of it.
    pub(crate) fn or_fail(self, name: &str) -> Result<(), Error> {
        match self {
            Resolved::Found(_) => Ok(()),
            Resolved::NoHost(_) => {
                Err(Error::Resolve { name: name.to_owned(), reason: Reason::NO_SUCH_HOST })
            }
            Resolved::Failed(error) => Err(error),
        }
    }
}

fn only_loopback(addresses: &[SocketAddr]) -> bool {
    !addresses.is_empty() && addresses.iter().all(|address| address.ip().is_loopback())
}
