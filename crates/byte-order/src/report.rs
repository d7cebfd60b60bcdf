//! The forms of a number, as lines for a person or for a program.

use netcore::text::Json;

use crate::args::Number;

/// A number, and the bytes that it becomes.
pub(crate) struct Encoded {
    pub(crate) number: Number,
    pub(crate) memory: Vec<u8>,
    pub(crate) network: Vec<u8>,
    pub(crate) hton: Number,
    pub(crate) wrong: Number,
}

impl Encoded {
    pub(crate) fn text(&self, word: &str, json: bool) -> String {
        let Encoded { number, memory, network, hton, wrong } = self;
        let (memory, network) = (hex(memory), hex(network));
        let (hton, wrong) = (hton.to_string(), wrong.to_string());
        if json {
            let json = Json::new("number").text("given", word).text("value", &number.to_string());
            let json = json.number("bits", number.bits()).text("hex", &number.hex());
            let json = json.text("memory", &memory).text("network", &network);
            return format!("{}\n", json.text("hton", &hton).text("wrong_order", &wrong));
        }
        let mut lines = format!("{word} in {} bits, {}\n", number.bits(), number.hex());
        for (label, value) in [
            ("in this host's memory", memory),
            ("on the network", network),
            ("host value of hton", hton),
            ("read in wrong order", wrong),
        ] {
            lines += &format!("  {label:<21} {value}\n");
        }
        lines
    }
}

/// Bytes, and the number that they are in either order.
pub(crate) struct Decoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) number: Number,
    pub(crate) wrong: Number,
}

impl Decoded {
    pub(crate) fn text(&self, json: bool) -> String {
        let Decoded { bytes, number, wrong } = self;
        let (bytes, bits) = (hex(bytes), number.bits());
        if json {
            let json = Json::new("bytes").text("bytes", &bytes).number("bits", bits);
            let json = json.text("value", &number.to_string());
            return format!("{}\n", json.text("wrong_order", &wrong.to_string()));
        }
        format!(
            "{bytes} in {bits} bits\n  {:<21} {number}\n  {:<21} {wrong}\n",
            "network order", "the other order"
        )
    }
}

/// `04 d2`, in the order of their addresses.
fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}
