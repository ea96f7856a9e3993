//! The zip file itself: headers that disagree, bytes that belong to nothing, bombs.

use super::Corpus;
use super::Outcome::{Refused, Word};
use crate::build::*;

/// Rows 17 to 32: the zip file itself.
pub(super) fn directories(corpus: &mut Corpus) {
    let (pickle, data) = (valid(), bytes(&rows()));
    let with = |change: &dyn Fn(&mut Vec<Record>)| {
        let mut records = records(&pickle, &data);
        change(&mut records);
        zip(&records)
    };
    let file = good();
    let change = with(&|records| records[1].local_name = b"archive/data/1".to_vec());
    corpus.bin(17, "two names", change, Refused("Ambiguous", "disagree about its name"));
    let change = with(&|records| records[0].local_flags |= 1);
    corpus.bin(18, "encrypted, local header only", change, Refused("Unsupported", "encrypted"));
    let change = with(&|records| records[0].flags |= 1);
    corpus.bin(19, "encrypted, directory only", change, Refused("Unsupported", "encrypted"));
    let change = with(&|records| records[0].version = 99);
    corpus.bin(20, "version needed 9.9", change, Word("<t>"));
    let change = with(&|records| records[1].local_method = 8);
    corpus.bin(21, "two methods", change, Refused("Ambiguous", "disagree about its method"));
    for method in [12, 93] {
        let change = with(&|records| (records[1].method, records[1].local_method) = (method, method));
        corpus.bin(22, format!("method {method}"), change, Refused("Unsupported", "stored"));
    }
    corpus.bin(23, "two zips", [file.clone(), file.clone()].concat(), Refused("Ambiguous", "should end at byte"));
    let comment = [&file[..file.len() - 2], &(file.len() as u16).to_le_bytes(), &file].concat();
    corpus.bin(23, "a zip in the comment", comment, Refused("Ambiguous", "more than one end record"));
    let plain = [&file[..file.len() - 2], &[5, 0], b"hello"].concat();
    corpus.bin(23, "a comment", plain, Word("<t>"));
    corpus.bin(24, "text before", [b"MZ".as_slice(), &file].concat(), Refused("Mistaken", "a program"));
    let before = [b"PK\x03\x04".as_slice(), &file].concat();
    corpus.bin(24, "a mark before", before, Refused("Ambiguous", "should end at byte"));
    let mut moved = records(&pickle, &data);
    let second = zip(&moved).len();
    for (record, at) in moved.iter_mut().zip([0, 46 + pickle.len(), 46 + 44 + pickle.len() + data.len()]) {
        record.at = Some((second + at) as u32);
    }
    let tail = zip(&moved);
    let mut joined = [file.clone(), tail].concat();
    let (length, start) = (joined.len(), file.len() + 135 + pickle.len() + data.len() + 2);
    joined[length - 6..length - 2].copy_from_slice(&(start as u32).to_le_bytes());
    corpus.bin(24, "two zips, offsets set right", joined, Refused("Ambiguous", "something stands before it"));
    corpus.bin(25, "a byte behind", [file.as_slice(), b"x"].concat(), Refused("Ambiguous", "1 byte follow its end"));
    let behind = [file.as_slice(), &[7; 60_000]].concat();
    corpus.bin(25, "60 KB behind", behind, Refused("Ambiguous", "follow its end"));
    corpus.bin(25, "2 MB behind", [file.as_slice(), &[7; 2 << 20]].concat(), Refused("Cut", "end record"));
    let change = with(&|records| records[1].after = vec![0; 5]);
    corpus.bin(25, "5 bytes between records", change, Refused("Ambiguous", "belong to nothing"));
    let change = with(&|records| records[1].at = Some(0));
    corpus.bin(26, "two entries, one place", change, Refused("Ambiguous", "overlaps"));
    let change = with(&|records| (records[0].size, records[0].packed_size) = (400, 400));
    corpus.bin(26, "overlapping entries", change, Refused("Ambiguous", "overlaps"));
    let change = with(&|records| records[1].at = Some(9_000_000));
    corpus.bin(26, "an entry beyond the end", change, Refused("Ambiguous", "belong to nothing"));
    let change = with(&|records| (records[1].size, records[1].packed_size) = (9_000_000, 9_000_000));
    corpus.bin(26, "an entry that reaches beyond the end", change, Refused("Damaged", "not inside the file"));
    let change = with(&|records| (records[1].size, records[1].packed_size) = (u32::MAX, u32::MAX));
    corpus.bin(27, "sizes of zip64 without zip64", change, Refused("Damaged", "no zip64 field"));
    let many = |count: usize| -> Vec<u8> {
        let more = (0..count).map(|index| Record::stored(&format!("archive/data/{}", index + 1), b""));
        zip(&records(&pickle, &data).into_iter().chain(more).collect::<Vec<_>>())
    };
    corpus.bin(28, "70,000 records", many(70_000), Refused("TooMuch", "20000"));
    corpus.bin(28, "1000 records", many(1000), Refused("TooMuch", "64"));
    corpus.bin(28, "64 records", many(61), Word("<t>"));
    let bomb = deflated(0, 300 << 20);
    let change = with(&|records| records[1] = Record::deflated("archive/data/0", bomb.clone(), 300 << 20, 1));
    corpus.bin(29, "300 MB of zeros in data/0", change, Refused("Damaged", "314572800 bytes, 16 F32 need 64"));
    let marks = deflated(b'(', 200 << 20);
    let change = with(&|records| records[0] = Record::deflated("archive/data.pkl", marks.clone(), 200 << 20, 1));
    corpus.bin(30, "200 MB of MARK in data.pkl", change, Refused("TooMuch", "data.pkl"));
    let marks = deflated(b'(', 4 << 20);
    let change = with(&|records| records[0] = Record::deflated("archive/data.pkl", marks.clone(), 4 << 20, 0));
    corpus.bin(30, "4 MB of MARK in data.pkl", change, Refused("TooMuch", "stack"));
    let change = with(&|records| records[0] = Record::deflated("archive/data.pkl", marks.clone(), 100, 0));
    corpus.bin(31, "unpacks to more than it says", change, Refused("Damaged", "size that the archive states"));
    let change = with(&|records| (records[1].size, records[1].packed_size) = (60, 60));
    corpus.bin(31, "size less than there is", change, Refused("Ambiguous", "4 bytes after it"));
    let packed = |bytes: &[u8]| zlib(bytes)[2..zlib(bytes).len() - 4].to_vec();
    let change = with(&|records| {
        records[0] = Record::deflated("archive/data.pkl", packed(&pickle), pickle.len() as u32, crc(&pickle));
        records[1] = Record::deflated("archive/data/0", packed(&data), 64, crc(&data));
    });
    corpus.bin(31, "deflated as it should be", change, Word("<t>"));
    let change = with(&|records| {
        let tail = [packed(&data), vec![1, 2, 3]].concat();
        records[1] = Record::deflated("archive/data/0", tail, 64, crc(&data));
    });
    corpus.bin(31, "bytes after deflated data", change, Refused("Damaged", "left over"));
    let change = with(&|records| {
        for record in records {
            let name = String::from_utf8(record.name.clone()).unwrap().replace('/', "\\");
            (record.name, record.local_name) = (name.clone().into(), name.into());
        }
    });
    corpus.bin(32, "backslashes", change, Refused("Damaged", "backslash"));
}
