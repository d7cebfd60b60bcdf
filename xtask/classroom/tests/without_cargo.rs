//! Where cargo cannot be started, one line says so.

use netcheck::Run;

#[test]
fn without_cargo_one_line_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let classroom = |words: [&str; 2]| {
        let run = Run::program(env!("CARGO_BIN_EXE_classroom")).arg("exercise").args(words);
        run.folder(folder.path()).env("CARGO", "/nowhere/cargo").finish()
    };
    assert_eq!(classroom(["start", "restart"]).code(), Some(0));
    let checked = classroom(["check", "restart"]);
    let said = checked.stderr_text();
    assert_eq!(checked.code(), Some(71), "{said}");
    assert_eq!(said, "xtask: start /nowhere/cargo: No such file or directory (os error 2)\n");
}
