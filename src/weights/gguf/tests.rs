use super::*;

/// Where the count of tensors is, and the count of metadata keys.
const TENSORS_AT: usize = 8;
const KEYS_AT: usize = 16;

/// A text behind its length.
fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// What a header has of a tensor.
fn tensor(name: &str, sizes: &[u64], kind: u32, start: u64) -> Vec<u8> {
    let sizes: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
    [&text(name)[..], &(sizes.len() as u32 / 8).to_le_bytes(), &sizes, &kind.to_le_bytes(), &start.to_le_bytes()]
        .concat()
}

/// A file of these keys and tensors, and of so many bytes of data.
fn file(keys: &[Vec<u8>], tensors: &[Vec<u8>], data: usize) -> Vec<u8> {
    let counts = [tensors.len() as u64, keys.len() as u64].map(u64::to_le_bytes).concat();
    let mut bytes = [b"GGUF\x03\0\0\0", &counts[..], &keys.concat(), &tensors.concat()].concat();
    bytes.resize(bytes.len().next_multiple_of(32) + data, 0);
    bytes
}

/// A key with a value of a type.
fn key(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [&text(name)[..], &kind.to_le_bytes(), value].concat()
}

fn whole(bytes: &[u8]) -> Result<Gguf, String> {
    parse(bytes, bytes.len() as u64).map(|gguf| gguf.expect("the file is whole"))
}

fn usual() -> Vec<u8> {
    let keys = [
        key("general.architecture", 8, &text("sd1")),
        key("flags", 9, &[&7u32.to_le_bytes()[..], &3u64.to_le_bytes(), &[1, 0, 1]].concat()),
        key("words", 9, &[&8u32.to_le_bytes()[..], &2u64.to_le_bytes(), &text("a"), &text("bc")].concat()),
        key("number", 12, &1.5f64.to_le_bytes()),
    ];
    // 3 x 64 in blocks are 204 bytes.
    file(&keys, &[tensor("b", &[5], 0, 224), tensor("a", &[64, 3], 8, 0), tensor("none", &[0], 1, 256)], 256)
}

#[test]
fn a_header_says_where_its_tensors_are() {
    let gguf = whole(&usual()).unwrap();
    let described: Vec<_> = gguf
        .tensors
        .iter()
        .map(|entry| (entry.name.as_str(), entry.dtype.as_str(), &entry.shape[..], entry.offsets))
        .collect();
    assert_eq!(
        described,
        [("b", "F32", &[5][..], [224, 244]), ("a", "q8_0", &[3, 64], [0, 204]), ("none", "F16", &[0], [256, 256])]
    );
    assert_eq!(gguf.metadata.into_iter().collect::<Vec<_>>(), [("general.architecture".to_owned(), "sd1".to_owned())]);
    assert_eq!(gguf.data + 256, usual().len() as u64);
    let aligned =
        file(&[key(ALIGNMENT_KEY, 4, &64u32.to_le_bytes())], &[tensor("a", &[1], 0, 0), tensor("b", &[1], 0, 64)], 0);
    let mut aligned = aligned;
    aligned.resize(aligned.len().next_multiple_of(64) + 68, 0);
    assert_eq!(whole(&aligned).unwrap().data % 64, 0);
}

/// However much of the file is given, it is the same, or more is asked for.
#[test]
fn more_is_asked_for_until_the_header_is_whole() {
    let bytes = usual();
    let data = whole(&bytes).unwrap().data as usize;
    let mut asked = 0;
    for end in 0..bytes.len() {
        match parse(&bytes[..end], bytes.len() as u64).unwrap() {
            None => asked += 1,
            Some(gguf) => assert_eq!(gguf.data as usize, data),
        }
        // Of a file that ends there.
        assert!(parse(&bytes[..end], end as u64).is_err(), "{end}");
    }
    assert!((data - 32..=data).contains(&asked), "{asked} of {data}");
}

#[test]
fn damage_is_named() {
    let with = |at: usize, bytes: &[u8]| {
        let mut file = usual();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let one = |tensor: Vec<u8>, data: usize| file(&[], &[tensor], data);
    let two = |first: u64, second: u64| file(&[], &[tensor("a", &[8], 0, first), tensor("b", &[8], 0, second)], 64);
    let keyed = |key: Vec<u8>| file(&[key], &[], 0);
    let nested = |depth: usize| {
        let inner = [&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat().repeat(depth);
        keyed(key("deep", 9, &[&inner[..], &0u32.to_le_bytes(), &1u64.to_le_bytes(), &[1]].concat()))
    };
    assert!(whole(&nested(2)).is_ok() && whole(&two(0, 32)).is_ok() && whole(&two(32, 0)).is_ok());
    let huge = u64::MAX.to_le_bytes();
    let twice = key("k", 0, &[1]);
    let cut = usual();
    for (bytes, expected) in [
        (with(4, &1u32.to_le_bytes()), "of version 1, where 2 and 3 are read"),
        (with(4, &4u32.to_le_bytes()), "of version 4"),
        (with(4, &3u32.to_be_bytes()), "a big-endian GGUF file"),
        (with(TENSORS_AT, &huge), "counts 18446744073709551615 tensors, where at most 100000"),
        (with(KEYS_AT, &huge), "counts 18446744073709551615 metadata keys"),
        (with(TENSORS_AT, &90_000u64.to_le_bytes()), ""),
        (with(24, &huge), "bytes in a metadata key"),
        (cut[..cut.len() - 1].to_vec(), "cut off: the header describes 256 bytes of data, there are 255"),
        (cut[..60].to_vec(), "its header goes on after its 60 bytes"),
        ([&cut[..], &[0]].concat(), "1 bytes follow its last tensor"),
        (one(tensor("a", &[64, 3], 8, 0), 0), "cut off"),
        (one(tensor("a", &[48], 8, 0), 51), "\"a\": it has rows of 48 values, which are not whole blocks of 32 (q8_0)"),
        (one(tensor("a", &[3, 3, 32, 8], 8, 0), 51), "rows of 3 values"),
        (one(tensor("a", &[1], 99, 0), 4), "\"a\": it is of type 99, which is not known here"),
        (one(tensor("a", &[1; 9], 0, 0), 4), "it has 9 dimensions"),
        (one(tensor("a", &[1 << 32, 1 << 32], 0, 0), 4), "overflows"),
        (one(tensor("a", &[0, u64::MAX, 8], 0, 0), 4), "overflows"),
        (one(tensor("a", &[1], 0, u64::MAX - 1), 4), "it is at byte 18446744073709551614"),
        (one(tensor("a", &[1], 0, 1 << 40), 4), "begins at byte 1099511627776 of the data, where 0 was expected"),
        (one(tensor(&"a".repeat(1025), &[1], 0, 0), 4), "1025 bytes in the name of a tensor"),
        (one([&3u64.to_le_bytes()[..], b"\xff\xfe\xfd", &[0; 24]].concat(), 4), "the name of a tensor is not UTF-8"),
        (two(0, 0), "begins at byte 0 of the data, where 32 was expected"),
        (two(0, 16), "where 32 was expected"),
        (two(0, 64), "where 32 was expected"),
        (file(&[], &[tensor("a", &[1], 0, 0), tensor("a", &[1], 0, 32)], 64), "the tensor \"a\" is in it twice"),
        (file(&[twice.clone(), twice], &[], 0), "the metadata key \"k\" is in it twice"),
        (keyed(key(ALIGNMENT_KEY, 4, &24u32.to_le_bytes())), "general.alignment is 24, and not a power of two"),
        (keyed(key(ALIGNMENT_KEY, 4, &(1u32 << 31).to_le_bytes())), "general.alignment is 2147483648"),
        (keyed(key(ALIGNMENT_KEY, 8, &text("32"))), "general.alignment is no number of 32 bits"),
        (keyed(key("odd", 13, &[0; 8])), "\"odd\": its value is of type 13"),
        (keyed(key("long", 8, &huge)), "bytes in a text of the metadata"),
        (keyed(key("many", 9, &[&0u32.to_le_bytes()[..], &huge].concat())), "values in an array of the metadata"),
        (nested(9), "lie too deep in each other"),
    ] {
        let said = parse(&bytes, bytes.len() as u64).map(|gguf| gguf.map(|gguf| gguf.tensors)).unwrap_err();
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn a_header_without_an_end_is_refused_at_a_bound() {
    let length = limits::HEADER as usize;
    let long = key("text", 8, &[&(limits::HEADER - 8).to_le_bytes()[..], &vec![b'x'; length]].concat());
    let bytes = file(&[long], &[], 0);
    let said = parse(&bytes[..length], 1 << 40).unwrap_err();
    assert!(said.contains("the header is longer than 16777216 bytes"), "{said}");
}

#[test]
fn types_are_called_as_ggml_calls_them() {
    for (kind, expected) in
        [(2, "q4_0"), (7, "q5_1"), (12, "q4_K"), (23, "iq4_xs"), (39, "mxfp4"), (26, "i32"), (28, "f64")]
    {
        let (together, bytes) =
            TYPES.iter().find(|(number, ..)| *number == kind).map(|(_, _, n, bytes)| (*n, *bytes)).unwrap();
        let gguf = whole(&file(&[], &[tensor("a.weight", &[together, 2], kind, 0)], 2 * bytes as usize)).unwrap();
        let said = refusal(&gguf.tensors[0]);
        assert!(
            said.starts_with(&format!("a.weight is {expected}: ")) && said.contains("get the file in q8_0 or f16"),
            "{said}"
        );
    }
}
