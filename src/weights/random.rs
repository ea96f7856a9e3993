//! Weights that mean nothing, for measuring: a model of any size without a download.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use half::f16;
use serde_json::json;

use crate::source::{LocalFuture, Source};
use crate::{Error, Result};

/// Bytes of a value.
const HALF: u64 = 2;

/// The configuration of a model, and weight files in half precision whose values are drawn when they are read. Each is
/// a function of its name and place, so reading again gives the same.
pub struct Random {
    configs: Rc<dyn Source>,
    files: BTreeMap<String, File>,
}

struct File {
    header: Vec<u8>,
    /// Where each weight begins behind the header.
    weights: BTreeMap<u64, Weight>,
    length: u64,
}

struct Weight {
    seed: u64,
    bytes: u64,
    /// Values lie evenly between minus this and this, around `centre`.
    spread: f32,
    centre: f32,
}

impl Random {
    /// The files of `configs`, and of these weights: shapes by file and name.
    pub fn new(configs: Rc<dyn Source>, shapes: BTreeMap<String, BTreeMap<String, Vec<usize>>>) -> Self {
        let files = shapes.into_iter().map(|(path, shapes)| (path, File::new(&shapes))).collect();
        Self { configs, files }
    }
}

impl File {
    fn new(shapes: &BTreeMap<String, Vec<usize>>) -> Self {
        let (mut object, mut weights, mut end) = (serde_json::Map::new(), BTreeMap::new(), 0);
        for (name, shape) in shapes {
            let bytes = shape.iter().product::<usize>() as u64 * HALF;
            object.insert(name.clone(), json!({"dtype": "F16", "shape": shape, "data_offsets": [end, end + bytes]}));
            weights.insert(end, Weight::new(name, shape, bytes));
            end += bytes;
        }
        let text = serde_json::Value::Object(object).to_string();
        let header = [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
        Self { length: header.len() as u64 + end, header, weights }
    }
}

impl Weight {
    /// Values that keep every layer's output near unit scale: norms at one, biases at zero.
    fn new(name: &str, shape: &[usize], bytes: u64) -> Self {
        let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let (spread, centre) = match shape {
            [_] if name.ends_with("weight") => (0.0, 1.0),
            [_] => (0.0, 0.0),
            _ if name.contains("embedding") && !name.contains("time") => (0.03, 0.0),
            [_, inner @ ..] => ((3.0 / inner.iter().product::<usize>() as f32).sqrt(), 0.0),
            [] => (0.0, 1.0),
        };
        Self { seed, bytes, spread, centre }
    }

    fn value(&self, index: u64) -> f16 {
        if self.spread == 0.0 {
            return f16::from_f32(self.centre);
        }
        // SplitMix64 (Steele, Lea, Flood 2014).
        let mut z = self.seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let even = ((z >> 40) as f32) / (1u32 << 23) as f32 - 1.0;
        f16::from_f32(self.centre + self.spread * even)
    }
}

impl Source for Random {
    fn name(&self) -> String {
        format!("{} with random weights", self.configs.name())
    }

    fn length<'a>(&'a self, path: &'a str) -> LocalFuture<'a, Result<Option<u64>>> {
        match self.files.get(path) {
            Some(file) => Box::pin(async move { Ok(Some(file.length)) }),
            // Real weights beside the configuration are not wanted.
            None if path.contains(".safetensors") => Box::pin(async { Ok(None) }),
            None => self.configs.length(path),
        }
    }

    fn read<'a>(&'a self, path: &'a str, range: Range<u64>) -> LocalFuture<'a, Result<Vec<u8>>> {
        let Some(file) = self.files.get(path) else { return self.configs.read(path, range) };
        Box::pin(async move {
            if range.start > range.end || range.end > file.length {
                return Err(Error::Internal(format!("{path} has no bytes {range:?}")));
            }
            let head = file.header.len() as u64;
            let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
            bytes.extend_from_slice(&file.header[range.start.min(head) as usize..range.end.min(head) as usize]);
            let (mut at, end) = (range.start.max(head) - head, range.end.max(head) - head);
            while let Some((start, weight)) = file.weights.range(..=at).next_back().filter(|_| at < end) {
                let stop = end.min(start + weight.bytes);
                // A value may be cut at either end of the range.
                let values = (at - start) / HALF..(stop - start).div_ceil(HALF);
                let skipped = ((at - start) % HALF) as usize;
                let drawn: Vec<u8> = values.flat_map(|index| weight.value(index).to_le_bytes()).collect();
                bytes.extend_from_slice(&drawn[skipped..skipped + (stop - at) as usize]);
                if stop == at {
                    break;
                }
                at = stop;
            }
            Ok(bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Memory;
    use crate::weights::Header;

    #[test]
    fn any_range_gives_what_the_whole_gives() {
        let shapes = [("a.weight", vec![3, 4]), ("b.bias", vec![5]), ("norm.weight", vec![2])];
        let shapes = shapes.map(|(name, shape)| (name.to_owned(), shape)).into_iter().collect();
        let random =
            Random::new(Rc::new(Memory::new("m")), BTreeMap::from([("unet/x.safetensors".to_owned(), shapes)]));
        let path = "unet/x.safetensors";
        let length = pollster::block_on(random.length(path)).unwrap().unwrap();
        let whole = pollster::block_on(random.read(path, 0..length)).unwrap();
        assert_eq!(whole.len() as u64, length);
        for start in 0..length {
            for end in start..=length {
                let part = pollster::block_on(random.read(path, start..end)).unwrap();
                assert_eq!(part, whole[start as usize..end as usize], "{start}..{end}");
            }
        }
        let header = pollster::block_on(Header::read(&random, path, length)).unwrap();
        let norm = header.span(header.get("norm.weight").unwrap());
        assert_eq!(whole[norm.start as usize..norm.end as usize], [0, 0x3c, 0, 0x3c]);
        let weights = header.span(header.get("a.weight").unwrap());
        let distinct: std::collections::BTreeSet<&[u8]> =
            whole[weights.start as usize..weights.end as usize].chunks(2).collect();
        assert!(distinct.len() > 8);
    }
}
