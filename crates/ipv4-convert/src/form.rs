//! One line of an answer: a form of an address, for a person and for a program.

use std::fmt;

/// A form: what a person calls it, its key in JSON, and its value.
pub(crate) struct Form {
    pub(crate) label: &'static str,
    pub(crate) key: &'static str,
    pub(crate) value: Value,
}

/// What a form says.
pub(crate) enum Value {
    Text(String),
    Number(u64),
    /// There is no such thing here; in JSON the key is left out.
    None,
}

/// A form that is text.
pub(crate) fn text(label: &'static str, key: &'static str, value: impl ToString) -> Form {
    Form { label, key, value: Value::Text(value.to_string()) }
}

/// A form that is text, or that this address does not have.
pub(crate) fn perhaps(
    label: &'static str,
    key: &'static str,
    value: Option<impl ToString>,
) -> Form {
    let value = value.map_or(Value::None, |value| Value::Text(value.to_string()));
    Form { label, key, value }
}

/// A form that is a number, in JSON too.
pub(crate) fn number(label: &'static str, key: &'static str, value: impl Into<u64>) -> Form {
    Form { label, key, value: Value::Number(value.into()) }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(text),
            Value::Number(number) => write!(f, "{number}"),
            Value::None => f.write_str("none"),
        }
    }
}
