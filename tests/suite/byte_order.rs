//! `byte-order`.

use libtest_mimic::Trial;
use netcheck::{Need, Run, Skip, need};

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "byte_order",
        tests![
            bad_values_are_refused_and_the_others_still_shown,
            what_it_prints_it_decodes,
            json_is_read_by_jq,
        ],
    )
}

fn bad_values_are_refused_and_the_others_still_shown() -> Result<(), Skip> {
    let values = ["--bits", "16", "1", "65536", "x\u{1b}", "-32769", "2"];
    let finished = Run::new("byte-order").args(values).finish();
    assert_eq!(finished.code(), Some(2));
    let shown = finished.stdout_text();
    let shown: Vec<_> = shown.lines().filter(|line| line.contains("bits")).collect();
    assert_eq!(shown, ["1 in 16 bits, 0x0001", "2 in 16 bits, 0x0002"]);
    let errors = finished.stderr_text();
    assert_eq!(errors.lines().count(), 3, "{errors}");
    assert!(!errors.contains('\u{1b}'), "{errors}");
    Ok(())
}

fn what_it_prints_it_decodes() -> Result<(), Skip> {
    for value in ["0", "1234", "65536", "18446744073709551616"] {
        let shown = Run::new("byte-order").arg(value).finish().stdout_text();
        let bytes = shown.lines().find_map(|line| line.trim().strip_prefix("on the network"));
        let bytes = bytes.expect("a line with the bytes").trim();
        let decoded = Run::new("byte-order").args(["--decode", bytes]).finish().stdout_text();
        let line = format!("  network order         {value}\n");
        assert!(decoded.contains(&line), "{value}: {decoded}");
    }
    Ok(())
}

fn json_is_read_by_jq() -> Result<(), Skip> {
    need(Need::Jq)?;
    let finished = Run::new("byte-order").args(["--json", "-"]).stdin("1234\n0x10000\n").finish();
    let read = Run::program("jq").args(["-r", ".network, .wrong_order, .bits"]);
    let read = read.stdin(finished.stdout).finish().stdout_text();
    assert_eq!(read, "04 d2\n53764\n16\n00 01 00 00\n256\n32\n");
    Ok(())
}
