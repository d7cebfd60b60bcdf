//! The readiness line of the worker.

use netcore::text::Json;
use netcore::unix::Name;

pub(crate) fn ready(name: &Name, json: bool) -> String {
    if json {
        let json = Json::new("listening").text("name", &name.to_string());
        return json.number("pid", std::process::id()).to_string();
    }
    format!("listening on {name}")
}
