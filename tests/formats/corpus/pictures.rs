//! Embeddings in PNG files.

use super::Corpus;
use super::Outcome::{Refused, Word};
use crate::build::*;

/// Rows 84 to 91 as far as embeddings in pictures go.
pub(super) fn pictures(corpus: &mut Corpus) {
    let vectors = "[[0.5, -1, 2e-1], [0.25, 0, 1]]";
    let text = |json: &str| grey(&text_chunk(json));
    let word = text(&json(vectors));
    corpus.png(84, "a word as text", word.clone(), Word("cat"));
    corpus.png(84, "a word in the pixels", pixels(&zlib(json(vectors).as_bytes())), Word("cat"));
    corpus.png(84, "a plain picture", grey(&[]), Refused("Mistaken", "without an embedding"));
    let columns: Vec<u8> = (0..64).flat_map(|_| [90, 80, 0, 90, 70, 0, 91, 60]).collect();
    corpus.png(
        84,
        "a plain picture with two black columns",
        png(8, 64, 0, &columns, &[]),
        Refused("Mistaken", "without an embedding"),
    );
    corpus.png(84, "a black picture", png(8, 8, 0, &[0; 64], &[]), Refused("Mistaken", "without an embedding"));
    for end in [9, 40, word.len() - 12, word.len() - 1] {
        corpus.png(85, format!("{end} bytes"), word[..end].to_vec(), Refused("Cut", "IEND"));
    }
    corpus.png(85, "5 bytes", word[..5].to_vec(), Refused("Cut", "PNG"));
    let mut flipped = word.clone();
    flipped[20] ^= 1;
    corpus.png(85, "a flipped bit in the header", flipped, Refused("Damaged", "checksum"));
    let mut flipped = word.clone();
    flipped[80] ^= 1;
    corpus.png(85, "a flipped bit in the text", flipped, Refused("Damaged", "checksum"));
    corpus.png(85, "width 0", png(0, 4, 0, &[], &[]).clone(), Refused("Damaged", "no size"));
    let mut two = word[..8].to_vec();
    two.extend(&word[33..]);
    corpus.png(85, "no IHDR", two, Refused("Damaged", "IHDR"));
    let bad = [&grey(&[])[..33], &chunk(b"IDAT", b"xxxx"), &chunk(b"IEND", b"")].concat();
    corpus.png(85, "IDAT of nonsense", bad, Refused("Damaged", "PNG"));
    let header = |width: u32, height: u32| {
        let mut body = [width.to_be_bytes(), height.to_be_bytes()].concat();
        body.extend([8, 2, 0, 0, 0]);
        [
            b"\x89PNG\r\n\x1a\n".as_slice(),
            &chunk(b"IHDR", &body),
            &chunk(b"IDAT", &zlib(&[0; 10])),
            &chunk(b"IEND", b""),
        ]
        .concat()
    };
    corpus.png(
        88,
        "100,000 x 100,000 pixels in 70 bytes",
        header(100_000, 100_000),
        Refused("Mistaken", "without an embedding"),
    );
    corpus.png(88, "2^31 x 2^31 pixels", header(1 << 31, 1 << 31), Refused("Mistaken", "without an embedding"));
    corpus.png(88, "3000 x 3000 pixels that are not there", header(3000, 3000), Refused("Damaged", "PNG"));
    let large = |side: u32| {
        let mut body = [side.to_be_bytes(), side.to_be_bytes()].concat();
        body.extend([8, 0, 0, 0, 0]);
        let mut packed = vec![0x78, 1];
        packed.extend(deflated(0, u64::from(side) * u64::from(side + 1)));
        packed.extend([0; 4]);
        [b"\x89PNG\r\n\x1a\n".as_slice(), &chunk(b"IHDR", &body), &chunk(b"IDAT", &packed), &chunk(b"IEND", b"")]
            .concat()
    };
    corpus.png(89, "12000 x 12000 pixels", large(12_000), Refused("Mistaken", "without an embedding"));
    let profile = zlib(&vec![0; 20 << 20]);
    let icc = [chunk(b"iCCP", &[b"x\0\0", profile.as_slice()].concat()), text_chunk(&json(vectors))].concat();
    corpus.png(90, "an ICC profile of 20 MB", grey(&icc), Word("cat"));
    corpus.png(
        90,
        "an ICC profile of 20 MB, no word",
        grey(&chunk(b"iCCP", &[b"x\0\0", profile.as_slice()].concat())),
        Refused("Mistaken", "without"),
    );
    let bomb = |byte: u8| {
        let mut stream = vec![0x78, 1];
        stream.extend(deflated(byte, 200 << 20));
        stream
    };
    corpus.png(91, "zTXt of 200 MB of A", grey(&packed_chunk(&bomb(b'A'))), Refused("Damaged", "expected"));
    corpus.png(91, "zTXt of 200 MB of spaces", grey(&packed_chunk(&bomb(b' '))), Refused("Damaged", "picture's text"));
    // base64 of spaces: JSON may begin with as many as it likes.
    let spaces = base64(&[b' '; 3]).into_bytes().repeat(10 << 20);
    corpus.png(91, "zTXt of 30 MB of JSON spaces", grey(&packed_chunk(&zlib(&spaces))), Refused("TooMuch", "16777216"));
    let mut stream = vec![0x78, 1];
    stream.extend(deflated(b'{', 200 << 20));
    corpus.png(91, "pixels of 200 MB of {", pixels(&stream), Refused("Damaged", "pixels"));
    let itxt =
        [b"sd-ti-embedding\0\x01\0en\0x\0".as_slice(), &zlib(base64(json(vectors).as_bytes()).as_bytes())].concat();
    corpus.png(91, "iTXt, compressed", grey(&chunk(b"iTXt", &itxt)), Word("cat"));
    corpus.png(
        91,
        "iTXt that breaks off",
        grey(&chunk(b"iTXt", b"sd-ti-embedding\0\0\0en")),
        Refused("Damaged", "promises"),
    );
    corpus.png(
        91,
        "two texts",
        grey(&[text_chunk(&json(vectors)), text_chunk(&json(vectors))].concat()),
        Refused("Ambiguous", "more than one"),
    );
    corpus.png(
        91,
        "text that is not base64",
        grey(&chunk(b"tEXt", b"sd-ti-embedding\0{}")),
        Refused("Damaged", "base64"),
    );
    for (what, vectors, kind, says) in [
        ("NaN", "[[NaN, 1]]", "Unsupported", "NaN"),
        ("Infinity", "[[Infinity, 1]]", "Unsupported", "Infinity"),
        ("-Infinity", "[[1, -Infinity]]", "Unsupported", "Infinity"),
        ("1e999", "[[1e999]]", "Damaged", "number out of range"),
        ("1e300", "[[1e300]]", "NotFinite", "1 of the 1"),
        ("text", "[[\"1\"]]", "Damaged", "invalid type"),
        ("rows of two lengths", "[[1, 2], [3]]", "Damaged", "lengths"),
        ("three dimensions", "[[[1]]]", "Damaged", "invalid type"),
        ("nothing", "[]", "Shape", "at least one"),
        ("empty vectors", "[[], []]", "Shape", "at least one"),
        ("null", "null", "Damaged", "invalid type"),
        ("a number and a list", "[1, [1]]", "Damaged", "in one list"),
    ] {
        corpus.png(91, format!("JSON with {what}"), text(&json(vectors)), Refused(kind, says));
    }
    corpus.png(91, "JSON with a flat list", text(&json("[1, 2, 3]")), Word("cat"));
    let many = format!("[[{}0]]", "0,".repeat(2_000_000));
    corpus.png(91, "JSON with two million numbers", text(&json(&many)), Refused("Damaged", "too many numbers"));
    for (what, json) in
        [("cut", &json(vectors)[..60]), ("an array", "[1]"), ("empty", ""), ("without vectors", "{\"name\":\"x\"}")]
    {
        corpus.png(91, format!("JSON {what}"), text(json), Refused("Damaged", "picture's text"));
    }
    let nested = format!("{{\"x\":{}", "[".repeat(100_000));
    corpus.png(91, "JSON nested 100,000 deep", text(&nested), Refused("Damaged", "EOF"));
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(15 << 20));
    corpus.png(91, "JSON with a name of 15 MB", text(&long), Refused("Damaged", "no string_to_param"));
    let twice = json(vectors).replace("\"name\"", "\"string_to_param\": {}, \"name\"");
    corpus.png(91, "JSON with string_to_param twice", text(&twice), Refused("Damaged", "twice"));
    corpus.png(91, "PNG with bytes behind", [&word, b"xx".as_slice()].concat(), Word("cat"));
}
