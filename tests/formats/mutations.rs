//! Every prefix and every single flipped bit of every small valid file: a typed refusal or a sane word, nothing else.

use pseudoword::embedding::{Container, Reading, limits, read};
use safetensors::SafeTensors;

use crate::golden::{fixture, fixtures};

/// Files that are small enough for all their bits.
fn small() -> Vec<(String, Vec<u8>)> {
    let files = fixtures().into_iter().map(|name| (name.clone(), fixture(&name)));
    files.filter(|(_, bytes)| bytes.len() < 3000).collect()
}

fn assert_sane(reading: &Reading, what: &str) {
    assert!(!reading.embeddings().is_empty(), "{what}");
    for part in reading.embeddings().iter().flat_map(|word| &word.encoders) {
        assert!((1..=limits::VECTORS).contains(&part.count()) && part.width <= limits::WIDTH, "{what}");
        assert_eq!(part.count() * part.width, part.rows.len(), "{what}");
        assert!(part.rows.iter().all(|value| value.is_finite()), "{what}");
    }
}

#[test]
fn every_prefix_is_refused() {
    let files = fixtures().into_iter().map(|name| (name.clone(), fixture(&name)));
    for (name, bytes) in files {
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end], &name).is_err(), "{name} cut at {end}");
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed_or_harmless() {
    for (name, bytes) in small() {
        let whole = read(&bytes, &name).unwrap();
        let container = whole.embeddings()[0].container;
        let checked = matches!(container, Container::Torch | Container::Png) && name != "no-crc.bin";
        let mut flipped = bytes.clone();
        for bit in 0..8 * bytes.len() {
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(reading) = read(&flipped, &name) {
                let what = format!("{name}, bit {bit}");
                assert_sane(&reading, &what);
                if checked {
                    // What a checksum covers cannot change unnoticed.
                    for (found, word) in reading.embeddings().iter().zip(whole.embeddings()) {
                        assert_eq!((&found.encoders, &found.token), (&word.encoders, &word.token), "{what}");
                    }
                }
                if container == Container::Safetensors {
                    // We never read what the format's own library refuses.
                    assert!(SafeTensors::deserialize(&flipped).is_ok(), "{what}");
                }
            }
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn every_byte_removed_or_doubled_is_noticed_or_harmless() {
    for (name, bytes) in small() {
        for at in 0..bytes.len() {
            for changed in
                [[&bytes[..at], &bytes[at + 1..]].concat(), [&bytes[..at], &bytes[at..=at], &bytes[at..]].concat()]
            {
                if let Ok(reading) = read(&changed, &name) {
                    assert_sane(&reading, &format!("{name}, byte {at}"));
                }
            }
        }
    }
}
