//! JSON as Python programs write configurations: with `NaN` and `Infinity`, with whole numbers as `64.0`, with `null` for
//! what is not set.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Reads a configuration of which every field has a default, and gives what the text says beside it.
///
/// # Errors
/// What is wrong, and with which field.
pub fn read_fields<T: DeserializeOwned>(text: &str) -> Result<(T, Map<String, Value>), String> {
    let fields = serde_json::from_str(&standard(text)).map_err(|error| error.to_string())?;
    from_fields(fields)
}

/// As [`read_fields`], of what is an object already.
///
/// # Errors
/// What is wrong, and with which field.
pub fn from_fields<T: DeserializeOwned>(mut fields: Map<String, Value>) -> Result<(T, Map<String, Value>), String> {
    fields.values_mut().for_each(make_whole);
    let read = |fields: Map<String, Value>| serde_json::from_value::<T>(Value::Object(fields));
    let alone = |name: &String, value: &Value| read(Map::from_iter([(name.clone(), value.clone())]));
    fields.retain(|name, value| !value.is_null() || alone(name, value).is_ok());
    match read(fields.clone()) {
        Ok(config) => Ok((config, fields)),
        // Which field it is that error does not say: it is the one that cannot be read by itself either.
        Err(error) => {
            let bad = |(name, value): (&String, &Value)| {
                alone(name, value).err().map(|error| format!("{name} is {value}: {error}"))
            };
            Err(fields.iter().find_map(bad).unwrap_or_else(|| error.to_string()))
        }
    }
}

/// Refuses the configuration of another class of diffusers than the one that is computed here.
///
/// # Errors
/// What it is instead.
pub fn check_class(fields: &Map<String, Value>, class: &str, part: &str) -> Result<(), String> {
    match fields.get("_class_name").and_then(Value::as_str) {
        Some(other) if other != class => Err(format!(
            "this is for the class {other:?}, which is not supported: in Stable Diffusion 1.x, 2.x and SDXL the {part} is of the \
             class {class}"
        )),
        _ => Ok(()),
    }
}

/// Refuses counts that no model has: what is made by them would be endless. Each is a name, a value and the most that is
/// believed.
///
/// # Errors
/// The first that is too large.
pub fn check_counts(counts: &[(&str, usize, usize)]) -> Result<(), String> {
    match counts.iter().find(|(_, value, most)| value > most) {
        Some((name, value, most)) => Err(format!("{name} is {value}, expected at most {most}")),
        None => Ok(()),
    }
}

/// The most levels of a network, layers in a level or one after the other, and channels, that are believed: several times
/// those of any model of the family.
pub const MOST_LEVELS: usize = 16;
/// See [`MOST_LEVELS`].
pub const MOST_LAYERS: usize = 256;
/// See [`MOST_LEVELS`].
pub const MOST_CHANNELS: usize = 1 << 16;

/// Text in which numbers that JSON does not have are strings: Python writes DPM-Solver's `lambda_min_clipped` as
/// `-Infinity`, and nothing that is read here may be infinite.
pub fn standard(text: &str) -> String {
    let (mut out, mut rest, mut quoted) = (String::with_capacity(text.len()), text, false);
    while let Some(c) = rest.chars().next() {
        let strange = ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| !quoted && rest.starts_with(word));
        let taken = strange.map_or(if c == '\\' { 2 } else { 1 }, |word| word.chars().count());
        let length: usize = rest.chars().take(taken).map(char::len_utf8).sum();
        match strange {
            Some(word) => out.extend(["\"", word, "\""]),
            None => out.push_str(&rest[..length]),
        }
        quoted ^= c == '"';
        rest = &rest[length..];
    }
    out
}

/// `64.0` as `64`, in lists too.
fn make_whole(value: &mut Value) {
    /// Up to here every whole number is one in f64.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Array(values) => values.iter_mut().for_each(make_whole),
        Value::Number(number) if number.is_f64() => {
            let whole = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < EXACT);
            if let Some(whole) = whole {
                *value = Value::from(whole as i64);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Config {
        side: usize,
        scale: f64,
        levels: Vec<usize>,
    }

    #[test]
    fn numbers_are_read_as_python_writes_them() {
        let text = r#"{"side": 64.0, "scale": 2.0, "levels": [1.0, 2], "note": "NaN \" Infinity", "least": -Infinity}"#;
        let (config, fields) = read_fields::<Config>(text).expect("readable");
        assert_eq!(config, Config { side: 64, scale: 2.0, levels: vec![1, 2] });
        assert_eq!((&fields["note"], &fields["least"]), (&Value::from("NaN \" Infinity"), &Value::from("-Infinity")));
        // What is not set has its default.
        assert_eq!(read_fields::<Config>(r#"{"side": null}"#).expect("readable").0, Config::default());
    }

    #[test]
    fn a_field_that_cannot_be_read_is_named() {
        for (text, part) in [
            (r#"{"scale": 1.0, "side": 0.5}"#, "side is 0.5: "),
            (r#"{"levels": 3}"#, "levels is 3: "),
            (r#"{"scale": Infinity}"#, r#"scale is "Infinity": "#),
            ("[]", "invalid type"),
            ("{", "EOF"),
        ] {
            let reason = read_fields::<Config>(text).expect_err(text);
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }
}
