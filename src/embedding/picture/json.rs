//! The JSON that a picture carries: A1111's dict, tensors as `{"TORCHTENSOR": nested lists}`.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::io::{self, BufReader, Read};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::a1111::Facts;
use super::super::dtype::DType;
use super::super::layout::{Named, Tensors};
use super::super::limits;
use super::super::refusal::{Refusal, brief, shown};

/// What the JSON says.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// All but the vectors.
    pub facts: Facts,
    named: Vec<Named<'static>>,
    values: Vec<Vec<f32>>,
}

impl Tensors for Described {
    fn named(&self) -> &[Named<'_>] {
        &self.named
    }

    fn values(&self, index: usize) -> Result<Vec<f32>, Refusal> {
        self.values.get(index).cloned().ok_or_else(|| Refusal::unsupported("the picture", "a tensor is missing"))
    }
}

/// Reads the object that a stream begins with. `place` is for messages.
pub(super) fn read(from: impl Read, place: &str) -> Result<Described, Refusal> {
    let seen = Seen::default();
    let mut deserializer = serde_json::Deserializer::from_reader(Watch { from: BufReader::new(from), seen: &seen });
    match deserializer.deserialize_map(Whole) {
        Ok(described) if described.named.is_empty() => {
            Err(Refusal::damaged(place, "it has no string_to_param with vectors"))
        }
        Ok(described) => Ok(described),
        Err(_) if seen.count.get() > limits::JSON => {
            Err(Refusal::too_much(format!("bytes in {place}"), seen.count.get(), limits::JSON))
        }
        // Python writes what JSON does not have. Of `-Infinity` one letter more has been read.
        Err(error) if error.is_syntax() && matches!(seen.last.get(), b'N' | b'I' | b'n') => {
            let word = if seen.last.get() == b'N' { "NaN" } else { "Infinity" };
            Err(Refusal::unsupported(
                place,
                format!("it holds {word}: its training went wrong; use an earlier state of it"),
            ))
        }
        Err(error) => Err(Refusal::damaged(place, brief(error))),
    }
}

/// How far a stream has been read, and its last byte.
#[derive(Default)]
struct Seen {
    count: Cell<u64>,
    last: Cell<u8>,
}

/// A stream that is watched, and ends at the bound.
struct Watch<'s, R> {
    from: BufReader<R>,
    seen: &'s Seen,
}

impl<R: Read> Read for Watch<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.seen.count.get() > limits::JSON {
            return Ok(0);
        }
        // One byte at a time, so that the last one is the one that the parser has seen. The parser asks so anyway.
        let Some(into) = into.get_mut(..1) else { return Ok(0) };
        let count = self.from.read(into)?;
        self.seen.count.set(self.seen.count.get() + count as u64);
        if let ([byte], 1) = (&*into, count) {
            self.seen.last.set(*byte);
        }
        Ok(count)
    }
}

/// The object.
struct Whole;

impl<'de> Visitor<'de> for Whole {
    type Value = Described;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with string_to_param")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Described, A::Error> {
        let mut described = Described::default();
        let mut seen = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "string_to_param" => map.next_value_seed(Params(&mut described))?,
                "name" => described.facts.name = map.next_value::<Loose>()?.text(),
                "step" => described.facts.step = map.next_value::<Loose>()?.number(),
                "sd_checkpoint" => described.facts.hash = map.next_value::<Loose>()?.text(),
                "sd_checkpoint_name" => described.facts.model = map.next_value::<Loose>()?.text(),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            }
            if seen.contains(&key) {
                return Err(A::Error::custom(format!("the entry {key} appears twice")));
            }
            seen.push(key);
        }
        Ok(described)
    }
}

/// A text, a whole number, or something that is neither and is skipped.
enum Loose {
    Text(String),
    Number(i64),
    Other,
}

impl Loose {
    fn text(self) -> Option<String> {
        match self {
            Loose::Text(text) => Some(text),
            _ => None,
        }
    }

    fn number(self) -> Option<i64> {
        match self {
            Loose::Number(number) => Some(number),
            _ => None,
        }
    }
}

impl<'de> serde::Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Loose;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Loose, E> {
                Ok(if text.len() <= limits::FACT { Loose::Text(text.to_owned()) } else { Loose::Other })
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Loose, E> {
                Ok(Loose::Number(number))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Loose, E> {
                Ok(i64::try_from(number).map_or(Loose::Other, Loose::Number))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Loose, E> {
                Ok(Loose::Other)
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Loose, E> {
                Ok(Loose::Other)
            }

            fn visit_unit<E: Error>(self) -> Result<Loose, E> {
                Ok(Loose::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Loose, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Loose::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Loose, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Loose::Other)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// `string_to_param`: tensors by key.
struct Params<'d>(&'d mut Described);

impl<'de> DeserializeSeed<'de> for Params<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Params<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut left = limits::NUMBERS;
        while let Some(key) = map.next_key::<String>()? {
            if self.0.named.len() == limits::EMBEDDINGS || key.len() > limits::FACT {
                return Err(A::Error::custom("string_to_param has too many tensors, or too long names"));
            }
            if self.0.named.iter().any(|named| named.key == key) {
                return Err(A::Error::custom(format!("the tensor {} appears twice", shown(&key))));
            }
            // No embedding is larger than that, and all together may not be larger than a file's embeddings may.
            let mut most = left.min((limits::VECTORS * limits::WIDTH) as u64);
            let (shape, values) = map.next_value_seed(Tensor(&mut most))?;
            left = left.saturating_sub(values.len() as u64);
            self.0.named.push(Named { key: Cow::Owned(key), shape, dtype: Ok(DType::F64) });
            self.0.values.push(values);
        }
        Ok(())
    }
}

type Values = (Vec<u64>, Vec<f32>);

/// `{"TORCHTENSOR": [...]}`, with a count of the numbers that may still come.
struct Tensor<'l>(&'l mut u64);

impl<'de> DeserializeSeed<'de> for Tensor<'_> {
    type Value = Values;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Values, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Tensor<'_> {
    type Value = Values;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with TORCHTENSOR")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Values, A::Error> {
        match map.next_key::<String>()?.as_deref() {
            Some("TORCHTENSOR") => {}
            _ => return Err(A::Error::custom("a tensor without TORCHTENSOR")),
        }
        let values = map.next_value_seed(Rows { left: self.0 })?;
        match map.next_key::<IgnoredAny>()? {
            None => Ok(values),
            Some(_) => Err(A::Error::custom("a tensor with more than TORCHTENSOR")),
        }
    }
}

/// A list of numbers, or of lists of numbers of one length.
struct Rows<'l> {
    left: &'l mut u64,
}

impl<'de> DeserializeSeed<'de> for Rows<'_> {
    type Value = Values;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Values, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = Values;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of vectors")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Values, A::Error> {
        let mut values = Vec::new();
        let (mut numbers, mut rows, mut width) = (0_u64, 0_u64, None);
        while let Some(found) = seq.next_element_seed(Row { values: &mut values, left: &mut *self.left })? {
            match found {
                None => numbers += 1,
                Some(length) => {
                    rows += 1;
                    if *width.get_or_insert(length) != length {
                        return Err(A::Error::custom("vectors of different lengths"));
                    }
                }
            }
        }
        match (numbers, rows) {
            (0, rows) => Ok((vec![rows, width.unwrap_or(0)], values)),
            (numbers, 0) => Ok((vec![numbers], values)),
            _ => Err(A::Error::custom("numbers and vectors in one list")),
        }
    }
}

/// One number (none), or a list of them (its length).
struct Row<'l> {
    values: &'l mut Vec<f32>,
    left: &'l mut u64,
}

impl Row<'_> {
    fn push<E: Error>(&mut self, value: f64) -> Result<(), E> {
        *self.left = self.left.checked_sub(1).ok_or_else(|| E::custom("too many numbers"))?;
        self.values.push(value as f32);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = Option<u64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a list of numbers")
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<Self::Value, E> {
        self.push(value).map(|()| None)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        self.visit_f64(value as f64)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut length = 0;
        while let Some(value) = seq.next_element::<f64>()? {
            self.push(value)?;
            length += 1;
        }
        Ok(Some(length))
    }
}
