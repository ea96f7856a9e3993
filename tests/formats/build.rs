//! Builders for files that may be wrong in any one place.

use flate2::{Compression, Crc};
use std::io::Write;

/// The vectors that the corpus' valid files hold: `[2, 8]`.
pub fn rows() -> Vec<f32> {
    (0..16).map(|i| (i * 5 % 11 - 5) as f32 / 8.0).collect()
}

/// Numbers as little-endian bytes.
pub fn bytes(rows: &[f32]) -> Vec<u8> {
    rows.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub fn crc(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// `count` equal bytes, deflated without ever being in memory.
pub fn deflated(byte: u8, count: u64) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast());
    std::io::copy(&mut std::io::Read::take(std::io::repeat(byte), count), &mut encoder).unwrap();
    encoder.finish().unwrap()
}

pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A record of a zip file; every field of its headers can lie.
#[derive(Clone)]
pub struct Record {
    pub name: Vec<u8>,
    pub local_name: Vec<u8>,
    pub packed: Vec<u8>,
    pub size: u32,
    pub packed_size: u32,
    pub local_crc: u32,
    pub crc: u32,
    pub method: u16,
    pub local_method: u16,
    pub flags: u16,
    pub local_flags: u16,
    pub version: u16,
    /// Bytes between this record and the next thing.
    pub after: Vec<u8>,
    /// Where the directory says that it is, if not where it is.
    pub at: Option<u32>,
}

impl Record {
    pub fn stored(name: &str, content: &[u8]) -> Self {
        let size = content.len() as u32;
        let crc = crc(content);
        Self {
            name: name.into(),
            local_name: name.into(),
            packed: content.to_vec(),
            size,
            packed_size: size,
            local_crc: crc,
            crc,
            method: 0,
            local_method: 0,
            flags: 0x800,
            local_flags: 0x800,
            version: 20,
            after: Vec::new(),
            at: None,
        }
    }

    pub fn deflated(name: &str, packed: Vec<u8>, size: u32, crc: u32) -> Self {
        let packed_size = packed.len() as u32;
        let mut record = Self::stored(name, &packed);
        (record.size, record.packed_size, record.crc, record.local_crc) = (size, packed_size, crc, crc);
        (record.method, record.local_method) = (8, 8);
        record
    }
}

/// A zip file with these records.
pub fn zip(records: &[Record]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for record in records {
        let at = record.at.unwrap_or(file.len() as u32);
        file.extend(b"PK\x03\x04");
        for value in [record.version, record.local_flags, record.local_method, 0, 0x21] {
            file.extend(value.to_le_bytes());
        }
        for value in [record.local_crc, record.packed_size, record.size] {
            file.extend(value.to_le_bytes());
        }
        file.extend((record.local_name.len() as u16).to_le_bytes());
        file.extend([0, 0]);
        file.extend(&record.local_name);
        file.extend(&record.packed);
        file.extend(&record.after);

        directory.extend(b"PK\x01\x02");
        for value in [record.version, record.version, record.flags, record.method, 0, 0x21] {
            directory.extend(value.to_le_bytes());
        }
        for value in [record.crc, record.packed_size, record.size] {
            directory.extend(value.to_le_bytes());
        }
        directory.extend((record.name.len() as u16).to_le_bytes());
        directory.extend([0; 12]);
        directory.extend(at.to_le_bytes());
        directory.extend(&record.name);
    }
    let (at, size) = (file.len() as u32, directory.len() as u32);
    file.extend(directory);
    if records.len() > 0xffff {
        let record = file.len() as u64;
        file.extend(b"PK\x06\x06");
        file.extend(44_u64.to_le_bytes());
        file.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for value in [records.len() as u64, records.len() as u64, u64::from(size), u64::from(at)] {
            file.extend(value.to_le_bytes());
        }
        file.extend(b"PK\x06\x07\0\0\0\0");
        file.extend(record.to_le_bytes());
        file.extend([1, 0, 0, 0]);
    }
    file.extend(b"PK\x05\x06\0\0\0\0");
    let count = records.len().min(0xffff) as u16;
    file.extend(count.to_le_bytes());
    file.extend(count.to_le_bytes());
    file.extend(size.to_le_bytes());
    file.extend(at.to_le_bytes());
    file.extend([0, 0]);
    file
}

/// The records of a torch file: `data.pkl`, `data/0`, `version`.
pub fn records(pickle: &[u8], data: &[u8]) -> Vec<Record> {
    vec![
        Record::stored("archive/data.pkl", pickle),
        Record::stored("archive/data/0", data),
        Record::stored("archive/version", b"3\n"),
    ]
}

/// A torch file.
pub fn torch(pickle: &[u8], data: &[u8]) -> Vec<u8> {
    zip(&records(pickle, data))
}

/// A pickle in the making.
#[derive(Clone)]
pub struct Pickle(pub Vec<u8>);

impl Pickle {
    pub fn new() -> Self {
        Self(vec![0x80, 2])
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub fn text(self, text: &str) -> Self {
        let length = (text.len() as u32).to_le_bytes();
        self.raw(b"X").raw(&length).raw(text.as_bytes())
    }

    pub fn global(self, module: &str, name: &str) -> Self {
        self.raw(format!("c{module}\n{name}\n").as_bytes())
    }

    pub fn int(self, value: i64) -> Self {
        self.raw(&[0x8a, 8]).raw(&value.to_le_bytes())
    }

    /// A persistent id of a storage.
    pub fn storage(self, class: &str, key: &str, location: &str, numel: i64) -> Self {
        let pickle = self.raw(b"(").text("storage").global("torch", class).text(key).text(location).int(numel);
        pickle.raw(b"tQ")
    }

    pub fn sizes(self, sizes: &[i64]) -> Self {
        sizes.iter().fold(self.raw(b"("), |pickle, size| pickle.int(*size)).raw(b"t")
    }

    /// What follows the storage of a tensor.
    pub fn window(self, offset: i64, shape: &[i64], stride: &[i64]) -> Self {
        let pickle = self.int(offset).sizes(shape).sizes(stride);
        pickle.raw(b"\x89").global("collections", "OrderedDict").raw(b")RtR")
    }

    /// A whole tensor with storage `key`.
    pub fn tensor(self, class: &str, key: &str, numel: i64, offset: i64, shape: &[i64], stride: &[i64]) -> Self {
        let pickle = self.global("torch._utils", "_rebuild_tensor_v2").raw(b"(");
        pickle.storage(class, key, "cpu", numel).window(offset, shape, stride)
    }

    /// The tensor of [`rows`] in `data/0`.
    pub fn plain(self) -> Self {
        self.tensor("FloatStorage", "0", 16, 0, &[2, 8], &[8, 1])
    }

    pub fn end(self) -> Vec<u8> {
        self.raw(b".").0
    }
}

/// `{"<t>": ...}` with the value that `value` adds.
pub fn named(value: impl FnOnce(Pickle) -> Pickle) -> Vec<u8> {
    value(Pickle::new().raw(b"}(").text("<t>")).raw(b"u").end()
}

/// The pickle of a valid file with [`rows`].
pub fn valid() -> Vec<u8> {
    named(Pickle::plain)
}

/// A valid torch file with [`rows`].
pub fn good() -> Vec<u8> {
    torch(&valid(), &bytes(&rows()))
}

/// The pickle of a valid file as legacy streams have it: the name of the storage has a place for a view.
pub fn valid_legacy() -> Vec<u8> {
    named(|pickle| {
        let pickle = pickle.global("torch._utils", "_rebuild_tensor_v2").raw(b"((").text("storage");
        let pickle = pickle.global("torch", "FloatStorage").text("0").text("cpu").int(16).raw(b"NtQ");
        pickle.window(0, &[2, 8], &[8, 1])
    })
}

/// A legacy stream: an object's pickle, the list of keys, and what follows.
pub fn legacy(object: &[u8], keys: &[&str], data: &[u8]) -> Vec<u8> {
    let mut stream = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e\x80\x02M\xe9\x03.".to_vec();
    let machine =
        Pickle::new().raw(b"}(").text("protocol_version").raw(b"M\xe9\x03").text("little_endian").raw(b"\x88u");
    stream.extend(machine.end());
    stream.extend(object);
    stream.extend(keys.iter().fold(Pickle::new().raw(b"]("), |pickle, key| pickle.text(key)).raw(b"e").end());
    stream.extend(data);
    stream
}

/// A storage of a legacy stream, of a count that may lie.
pub fn legacy_storage(count: i64, data: &[u8]) -> Vec<u8> {
    [&count.to_le_bytes(), data].concat()
}

/// A safetensors file with this header, as it is.
pub fn safetensors(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}

/// A PNG chunk.
pub fn chunk(kind: &[u8], body: &[u8]) -> Vec<u8> {
    let checked = [kind, body].concat();
    [&(body.len() as u32).to_be_bytes(), checked.as_slice(), &crc(&checked).to_be_bytes()].concat()
}

/// A PNG of `width` x `height` pixels: colour type 0 (grey) or 2 (RGB), pixels as given, chunks before them.
pub fn png(width: u32, height: u32, colour: u8, pixels: &[u8], before: &[u8]) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, colour, 0, 0, 0]);
    let line = width as usize * if colour == 2 { 3 } else { 1 };
    let lines: Vec<u8> = pixels.chunks(line.max(1)).flat_map(|line| [&[0], line].concat()).collect();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    file.extend(chunk(b"IHDR", &header));
    file.extend(before);
    file.extend(chunk(b"IDAT", &zlib(&lines)));
    file.extend(chunk(b"IEND", b""));
    file
}

/// A small grey picture with chunks in it.
pub fn grey(before: &[u8]) -> Vec<u8> {
    png(4, 4, 0, &[90; 16], before)
}

/// base64, RFC 4648.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// The JSON of a picture's embedding, with the vectors as given.
pub fn json(vectors: &str) -> String {
    format!(
        "{{\"string_to_token\": {{\"*\": 265}}, \"string_to_param\": {{\"*\": {{\"TORCHTENSOR\": {vectors}}}}}, \
         \"name\": \"cat\", \"step\": 3, \"sd_checkpoint\": null, \"sd_checkpoint_name\": null}}"
    )
}

/// A tEXt chunk with an embedding.
pub fn text_chunk(json: &str) -> Vec<u8> {
    chunk(b"tEXt", format!("sd-ti-embedding\0{}", base64(json.as_bytes())).as_bytes())
}

/// A zTXt chunk with this zlib stream.
pub fn packed_chunk(packed: &[u8]) -> Vec<u8> {
    chunk(b"zTXt", &[b"sd-ti-embedding\0\0", packed].concat())
}

/// A picture with bytes in its pixels, as A1111 arranges them, 24 rows high.
pub fn pixels(payload: &[u8]) -> Vec<u8> {
    let height = 24;
    let columns = payload.len().div_ceil(height * 3);
    let filled: Vec<u8> = payload.iter().copied().cycle().take(columns * height * 3).collect();
    let mut state = 0_u32;
    let keys: Vec<u8> = filled
        .iter()
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state % 255) as u8 & 15
        })
        .collect();
    let half = |shift: u8, row: usize| -> Vec<u8> {
        let line = row * columns * 3..(row + 1) * columns * 3;
        filled[line.clone()].iter().zip(&keys[line]).map(|(byte, key)| 0x80 | (byte >> shift & 15) ^ key).collect()
    };
    let mut picture = Vec::new();
    for row in 0..height {
        picture.extend(half(0, row));
        picture.extend([0; 3]);
        picture.extend([0x77; 30]);
        picture.extend([0; 3]);
        picture.extend(half(4, row));
    }
    png(2 * columns as u32 + 12, height as u32, 2, &picture, &[])
}
