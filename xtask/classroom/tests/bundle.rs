//! What is handed out builds by itself.

use std::fs;
use std::time::Duration;

use netcheck::Run;

#[test]
fn a_bundle_builds_without_workspace_registry_and_network() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("Übung 1");
    fs::create_dir(&place).unwrap();
    let start = Run::program(env!("CARGO_BIN_EXE_classroom"));
    let started = start.args(["exercise", "start", "half-close", "--bundle", "--into"]).arg(&place);
    let started = started.finish();
    assert_eq!(started.code(), Some(0), "{}", started.stderr_text());
    // The folder of cargo is empty: there is no crate that it could have from elsewhere.
    let cargo = Run::program(env!("CARGO")).args(["check", "--quiet", "--locked", "--offline"]);
    let cargo =
        cargo.folder(place.join("half-close")).env("CARGO_HOME", folder.path().join("home"));
    let checked = cargo.env("CARGO_TARGET_DIR", folder.path().join("target"));
    let checked = checked.deadline(Duration::from_secs(300)).finish();
    assert_eq!(checked.code(), Some(0), "{}", checked.stderr_text());
    assert_eq!(checked.stderr_text(), "", "no warning");
}
