//! `byte-order`.

use libtest_mimic::Trial;
use netcheck::{Need, Run, Skip, need};

use crate::{tests, topic};

pub(crate) fn trials() -> Vec<Trial> {
    topic(
        "byte_order",
        tests![
            the_example_of_the_cookbook_is_shown_whole,
            bad_values_are_refused_and_the_others_still_shown,
            what_it_prints_it_decodes,
            json_is_read_by_jq,
        ],
    )
}

fn the_example_of_the_cookbook_is_shown_whole() -> Result<(), Skip> {
    // What the header says of the two kinds of host.
    let (memory, hton) = match 1234_u16.to_ne_bytes() {
        [0xd2, 0x04] => ("d2 04", 53764),
        _ => ("04 d2", 1234),
    };
    let shown = format!(
        "1234 in 16 bits, 0x04d2\n  in this host's memory {memory}\n  on the network        04 d2\n  \
         host value of hton    {hton}\n  read in wrong order   53764\n"
    );
    for value in ["1234", "0x4d2", "0o2322", "0b100_1101_0010", "1_234"] {
        let finished = Run::new("byte-order").arg(value).finish();
        assert_eq!(
            (finished.code(), finished.stdout_text()),
            (Some(0), shown.replacen("1234", value, 1))
        );
    }
    Ok(())
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
    // The last one is above what a double, and an i128, can hold.
    let most = u128::MAX - 1;
    let lines = format!("1234\n-2\n0x10000\n{most}\n");
    let finished = Run::new("byte-order").args(["--json", "-"]).stdin(lines).finish();
    let read =
        Run::program("jq").args(["-r", "[.given, .value, .network, .wrong_order, .bits]|@csv"]);
    let read = read.stdin(finished.stdout).finish().stdout_text();
    let wrong = most.swap_bytes();
    let network = ["ff"; 15].join(" ") + " fe";
    let expected = [
        "\"1234\",\"1234\",\"04 d2\",\"53764\",16\n".to_owned(),
        "\"-2\",\"65534\",\"ff fe\",\"65279\",16\n".to_owned(),
        "\"0x10000\",\"65536\",\"00 01 00 00\",\"256\",32\n".to_owned(),
        format!("\"{most}\",\"{most}\",\"{network}\",\"{wrong}\",128\n"),
    ];
    assert_eq!(read, expected.concat());
    let finished = Run::new("byte-order").args(["--json", "--decode", &network]).finish();
    let read = Run::program("jq").args(["-r", ".bytes, .value, .wrong_order"]);
    let read = read.stdin(finished.stdout).finish().stdout_text();
    assert_eq!(read, format!("{network}\n{most}\n{wrong}\n"));
    Ok(())
}
