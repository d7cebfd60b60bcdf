//! What the name of this machine stands for, if anything.

use netcore::error::Error;
use netcore::resolve::Found;
use netcore::text::Json;

pub(crate) fn lines(resolved: &Result<Found, Error>) -> String {
    let found = match resolved {
        Ok(found) => found,
        Err(why) => return format!("  nothing: {why}\n"),
    };
    let mut text = String::new();
    if let Some(canonical) = &found.canonical {
        text += &format!("  canonical {canonical}\n");
    }
    for address in &found.addresses {
        text += &format!("  {}\n", address.ip());
    }
    if only_loopback(found) {
        text += "  which is loopback only: no other machine reaches this one so\n";
    }
    text
}

pub(crate) fn json(resolved: &Result<Found, Error>) -> Json {
    let json = Json::new("resolved");
    match resolved {
        Ok(found) => {
            let ips: Vec<String> = found.addresses.iter().map(|a| a.ip().to_string()).collect();
            let json = json.texts("addresses", &ips).flag("loopback_only", only_loopback(found));
            json.text("canonical", found.canonical.as_deref().unwrap_or_default())
        }
        Err(why) => json.texts("addresses", &[]).text("error", &why.to_string()),
    }
}

fn only_loopback(found: &Found) -> bool {
    found.addresses.iter().all(|address| address.ip().is_loopback())
}
