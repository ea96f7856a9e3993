//! Files that are something else, and the records of torch archives.

use super::Corpus;
use super::Outcome::{Noted, Refused, Word};
use crate::build::*;

/// Rows 1 to 6 and 61: files that are something else.
pub(super) fn mistaken(corpus: &mut Corpus) {
    let zip = good();
    corpus.bin(1, "0 bytes", Vec::new(), Refused("Empty", "empty"));
    corpus.bin(2, "zip without its last byte", zip[..zip.len() - 1].to_vec(), Refused("Cut", "without its end record"));
    corpus.bin(2, "half a zip", zip[..zip.len() / 2].to_vec(), Refused("Cut", "without its end record"));
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3819\n".to_vec();
    corpus.bin(3, "Git LFS pointer", pointer.clone(), Refused("Mistaken", "Git LFS pointer"));
    corpus.add(3, "Git LFS pointer", "word.safetensors", pointer, Refused("Mistaken", "`git lfs pull`"));
    for page in ["<!DOCTYPE html><html><body>404</body></html>", "\n\n<html>", "<?xml version=\"1.0\"?><Error/>"] {
        corpus.bin(4, format!("page {}", &page[..6].trim()), page.into(), Refused("Mistaken", "web page"));
    }
    corpus.bin(4, "JSON error", b"{\"error\":\"Repository not found\"}".to_vec(), Refused("Mistaken", "JSON"));
    corpus.bin(4, "plain text", b"<cat-toy> is the token of my concept".to_vec(), Refused("Mistaken", "text file"));
    for (what, start, says) in [
        ("7z", b"7z\xbc\xaf\x27\x1c\0\x04".as_slice(), "7-Zip"),
        ("rar", b"Rar!\x1a\x07\x01\0", "RAR"),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0", "gzip"),
        ("PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "PDF"),
        ("GGUF", b"GGUF\x03\0\0\0", "GGUF"),
        ("HDF5", b"\x89HDF\r\n\x1a\n", "HDF5"),
        ("numpy", b"\x93NUMPY\x01\0v\0", "numpy"),
        ("JPEG", b"\xff\xd8\xff\xe0\0\x10JFIF", "picture (JPEG)"),
        ("WebP", b"RIFF\x24\0\0\0WEBPVP8 ", "picture (WebP)"),
        ("random bytes", b"\xd4\x9c\x11\xfe\x02\x81\x77\xa0\x3d", "starts with d4 9c"),
        ("zeros", &[0; 600], "zero bytes"),
        ("plain pickle", b"\x80\x03}q\0X\x01\0\0\0aq\x01K\x01s.", "Python pickle"),
    ] {
        corpus.bin(5, what, start.to_vec(), Refused("Mistaken", says));
    }
    let word = safetensors(b"{\"<t>\":{\"dtype\":\"F32\",\"shape\":[2,8],\"data_offsets\":[0,64]}}", &bytes(&rows()));
    corpus.bin(6, "safetensors called .bin", word, Noted("<t>", "ends in .bin but it is a safetensors file"));
    corpus.add(6, "torch file called .safetensors", "w.safetensors", good(), Noted("<t>", "it is a PyTorch file"));
    let mut tar = b"pickle\0".to_vec();
    tar.resize(257, 0);
    tar.extend(b"ustar\x0000");
    tar.resize(1024, 0);
    corpus.bin(61, "tar of torch before 0.1.10", tar.clone(), Refused("Mistaken", "older than 0.1.10"));
    tar[257..264].fill(0);
    tar[100..108].copy_from_slice(b"0000644\0");
    corpus.bin(61, "tar without the ustar mark", tar, Refused("Mistaken", "older than 0.1.10"));
}

/// Rows 7 to 16 and 33 to 36: torch's records.
pub(super) fn containers(corpus: &mut Corpus) {
    let (pickle, data) = (valid(), bytes(&rows()));
    let with = |change: &dyn Fn(&mut Vec<Record>)| {
        let mut records = records(&pickle, &data);
        change(&mut records);
        zip(&records)
    };
    let rename = |records: &mut Vec<Record>, index: usize, name: &str| {
        records[index].name = name.into();
        records[index].local_name = name.into();
    };
    let bare = with(&|records| {
        for (index, name) in ["data.pkl", "data/0", "version"].iter().enumerate() {
            rename(records, index, name);
        }
    });
    corpus.bin(7, "no folder", bare, Refused("Damaged", "in no folder"));
    let change = with(&|records| {
        records.pop();
    });
    corpus.bin(8, "no version", change, Refused("Damaged", "version is missing"));
    for (what, version) in [
        ("11", "11".to_owned()),
        ("0", "0\n".to_owned()),
        ("abc", "abc".to_owned()),
        ("5 KB", "3".repeat(5000)),
        ("+3", "+3".to_owned()),
        ("empty", String::new()),
        ("two newlines", "3\n\n".to_owned()),
    ] {
        let change = with(&|records| records[2] = Record::stored("archive/version", version.as_bytes()));
        corpus.bin(9, format!("version {what}"), change, Refused("Damaged", "1 to 10 is expected"));
    }
    for version in ["2", "3\n", "6", "10\n"] {
        let change = with(&|records| records[2] = Record::stored("archive/.data/version", version.as_bytes()));
        corpus.bin(9, format!("version {version:?}"), change, Word("<t>"));
    }
    let change = with(&|records| records.push(Record::stored("archive/.data/version", b"6\n")));
    corpus.bin(9, "two versions that differ", change, Refused("Ambiguous", "two versions"));
    let change = with(&|records| rename(records, 0, "archive/DATA.PKL"));
    corpus.bin(10, "DATA.PKL", change, Refused("Ambiguous", "DATA.PKL"));
    let change = with(&|records| records.push(Record::stored("archive/DATA.PKL", b"x")));
    corpus.bin(11, "DATA.PKL and data.pkl", change, Refused("Ambiguous", "two records named"));
    let change = with(&|records| records.push(Record::stored("archive/data.pkl", b"x")));
    corpus.bin(12, "data.pkl twice", change, Refused("Ambiguous", "two records named"));
    let change = with(&|records| rename(records, 2, "other/version"));
    corpus.bin(13, "two folders", change, Refused("Ambiguous", "is not in its folder"));
    let change = with(&|records| rename(records, 0, "other/data.pkl"));
    corpus.bin(13, "two folders, the pickle first", change, Refused("Ambiguous", "is not in its folder"));
    let change = with(&|records| {
        rename(records, 0, "other/data.pkl");
        records.reverse();
    });
    corpus.bin(13, "two folders, the pickle last", change, Refused("Ambiguous", "several folders"));
    for (row, index) in [(14, 0), (15, 1)] {
        let change = with(&|records| {
            records[index].crc ^= 1;
            records[index].local_crc ^= 1;
        });
        corpus.bin(row, "wrong CRC in both headers", change, Refused("Damaged", "CRC-32"));
        let change = with(&|records| records[index].packed[3] ^= 1);
        corpus.bin(row, "a flipped bit", change, Refused("Damaged", "CRC-32"));
    }
    let change = with(&|records| {
        for record in records {
            (record.crc, record.local_crc) = (0, 0);
        }
    });
    corpus.bin(16, "CRC 0 everywhere", change, Noted("<t>", "no checksums"));
    let change = with(&|records| records.push(Record::stored("archive/code/x.py", b"import os")));
    corpus.bin(33, "a record that is not known", change, Noted("<t>", "code/x.py"));
    let change = with(&|records| records.push(Record::stored("archive/constants.pkl", b"\x80\x02).")));
    corpus.bin(34, "constants.pkl", change, Refused("Mistaken", "TorchScript"));
    let swapped: Vec<u8> = rows().iter().flat_map(|value| value.to_be_bytes()).collect();
    let mut big = records(&pickle, &swapped);
    big.push(Record::stored("archive/byteorder", b"big"));
    corpus.bin(35, "byteorder big", zip(&big), Word("<t>"));
    for order in ["little", "middle"] {
        let change = with(&|records| records.push(Record::stored("archive/byteorder", order.as_bytes())));
        let outcome = if order == "little" { Word("<t>") } else { Refused("Damaged", "not little or big") };
        corpus.bin(36, format!("byteorder {order}"), change, outcome);
    }
    for (what, record, says) in [
        ("npz", "arr_0.npy", "numpy"),
        ("docx", "[Content_Types].xml", "document"),
        ("zip", "a/readme", "not one that torch"),
    ] {
        corpus.bin(5, what, zip(&[Record::stored(record, b"x")]), Refused("Mistaken", says));
    }
}
