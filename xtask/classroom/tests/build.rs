//! A build that does not end is stopped, with all that it has started.

use std::fs;
use std::time::Duration;

use classroom::build::{Built, build_within};
use netcheck::tree;

#[test]
fn a_build_that_does_not_end_is_stopped_and_nothing_of_it_is_left() {
    tree::adopt_orphans().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    fs::create_dir(folder.path().join("src")).unwrap();
    write("Cargo.toml", "[package]\nname = \"endless\"\nedition = \"2024\"\n[workspace]\n");
    write("src/main.rs", "fn main() {}");
    write("build.rs", "fn main() { loop { std::thread::park() } }");
    match build_within(folder.path(), Duration::from_secs(5)).unwrap() {
        Built::Failed(said) => assert!(said.contains("stopped after 5 s"), "{said}"),
        Built::Program { path, .. } => panic!("{}", path.display()),
    }
    assert!(tree::below().is_empty(), "{:?}", tree::below());
}
