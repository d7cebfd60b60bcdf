use std::path::Path;
use std::process::Command;

use netcheck::recipes;
use tempfile::TempDir;

use super::*;

/// What a program says of a file; `None` where it is not installed.
fn said_of(program: &str, args: &[&str], file: &Path) -> Option<(bool, String)> {
    let output =
        Command::new(program).args(args).arg(file).env("LC_ALL", "C.UTF-8").output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

#[test]
fn options_of_a_help_text_are_found_with_their_values() {
    let help = Help::parse(
        "Usage: tool --port <port> [options]\n\nDo it.\n\nOPTIONS\n  -p, --port <port>         a \
         port\n                            to use\n      --idle-timeout <time>\n                 \
                    longest silence\n      --json                lines\n\nEXAMPLES\n  tool -p 7\n\n\
         EXIT CODES\n  0    done\n  71   failed\n       (EMFILE)\n",
    );
    assert_eq!((help.usage.as_str(), help.title.as_str()), ("--port <port> [options]", "Do it."));
    let flags = help.flags();
    let flag = |short, long: &str, value: Option<&str>| Flag {
        short,
        long: long.to_owned(),
        value: value.map(str::to_owned),
    };
    use help::Flag;
    assert_eq!(flags[0], (flag(Some('p'), "--port", Some("port")), "a port to use".to_owned()));
    assert_eq!(flags[1].0, flag(None, "--idle-timeout", Some("time")));
    assert_eq!(flags[2], (flag(None, "--json", None), "lines".to_owned()));
    assert_eq!(help.exit_codes[1].meaning, "failed (EMFILE)");
}

#[test]
fn every_man_page_is_clean_and_every_completion_is_a_script() {
    let prefix = TempDir::new().unwrap();
    for name in recipes() {
        let files = beside(&name, &netcheck::bin(&name), prefix.path()).unwrap();
        let [_, page, bash, zsh, fish] = files.as_slice() else { panic!("{files:?}") };
        if let Some((_, said)) = said_of("mandoc", &["-Tlint"], page) {
            assert_eq!(said, "", "{name}");
        }
        let text = std::fs::read_to_string(page).unwrap();
        assert!(text.contains(".SH \"WHAT IT SHOWS\"") && text.contains("\\-\\-help"), "{name}");
        for (shell, script) in [("bash", bash), ("zsh", zsh), ("fish", fish)] {
            if let Some((parses, said)) = said_of(shell, &["-n"], script) {
                assert!(parses, "{name}: {said}");
            }
        }
    }
}

#[test]
fn bash_completes_an_option() {
    let prefix = TempDir::new().unwrap();
    let name = "forking-echo";
    let files = beside(name, &netcheck::bin(name), prefix.path()).unwrap();
    let asked = "source \"$1\" && complete -p forking-echo && COMP_WORDS=(forking-echo --sho) && \
                 COMP_CWORD=1 && _forking-echo && echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["-c", asked, "bash"]).arg(&files[2]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("complete -o bashdefault -o default -F _forking-echo forking-echo"),
        "{said}"
    );
    assert_eq!(said.lines().last(), Some("--show-pid"), "{said}");
}
