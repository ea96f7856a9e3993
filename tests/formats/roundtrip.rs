//! What is written is read back, bit for bit; and whatever is thrown at the reader, it answers.

use std::collections::BTreeMap;

use proptest::prelude::*;
use pseudoword::embedding::pickle::unpickle;
use pseudoword::embedding::safetensors::Header;
use pseudoword::embedding::torch::LEGACY;
use pseudoword::embedding::zip::Archive;
use pseudoword::embedding::{Embedding, Layout, Refusal, check_name, read, write};
use safetensors::SafeTensors;

use crate::build;
use crate::golden::{fixture, fixtures};

/// A word of any shape with any finite values.
fn word() -> impl Strategy<Value = Embedding> {
    let shape = (1_usize..6, 1_usize..40);
    let metadata = proptest::collection::btree_map("[a-z-]{1,12}", ".{0,20}", 0..5);
    (shape, "[^\\p{C}]{1,20}", metadata).prop_flat_map(|((vectors, width), token, metadata)| {
        proptest::collection::vec(any::<u32>(), vectors * width).prop_map(move |bits| {
            let rows = bits.into_iter().map(f32::from_bits).map(|v| if v.is_finite() { v } else { -0.0 }).collect();
            Embedding { metadata: metadata.clone(), ..Embedding::new(&token, width, rows) }
        })
    })
}

fn bits(rows: &[f32]) -> Vec<u32> {
    rows.iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_bit_for_bit(word in word()) {
        prop_assume!(check_name(&word.token, Layout::Safetensors).is_ok());
        for layout in Layout::ALL.into_iter().filter(|layout| layout.holds(1)) {
            let bytes = write(&word, layout).unwrap();
            prop_assert_eq!(&bytes, &write(&word, layout).unwrap());
            let name = format!("x.{}", layout.extension());
            let back = Embedding::read(&bytes, &name, None).unwrap();
            prop_assert_eq!((&back.token, back.width()), (&word.token, word.width()));
            prop_assert_eq!(bits(back.rows()), bits(word.rows()));
            if matches!(layout, Layout::Safetensors | Layout::Kohya) && !word.metadata.contains_key("token") {
                prop_assert_eq!(&back.metadata, &word.metadata);
            }
            if layout == Layout::Safetensors {
                prop_assert_eq!(&bytes, &word.to_safetensors());
                prop_assert!(SafeTensors::deserialize(&bytes).is_ok());
            }
        }
    }

    #[test]
    fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300), start in 0_usize..6) {
        let starts: [&[u8]; 6] =
            [b"", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n", LEGACY, b"\x40\0\0\0\0\0\0\0{", b"\x80\x02}"];
        let bytes = [starts[start], &bytes].concat();
        let _answer = read(&bytes, "any.bin");
        let _answer = Archive::open(&bytes).map(|_| ());
        let _answer = Header::read(&bytes).map(|_| ());
    }

    #[test]
    fn any_opcodes_get_an_answer(ops in proptest::collection::vec(0_usize..PIECES.len(), 0..60)) {
        let pickle: Vec<u8> = ops.iter().flat_map(|&op| PIECES[op]).copied().chain(*b".").collect();
        let _answer = unpickle(&pickle, "test").map(|_| ());
        let _answer = read(&build::torch(&pickle, &[0; 64]), "any.bin");
        let _answer = read(&build::legacy(&pickle, &["0"], &build::legacy_storage(16, &[0; 64])), "any.bin");
    }

    #[test]
    fn spliced_files_get_an_answer(
        (one, other) in (0_usize..48, 0_usize..48), at in 0.0..1.0, from in 0.0..1.0, length in 0_usize..200,
    ) {
        let names = fixtures();
        let (mut bytes, other) = (fixture(&names[one % names.len()]), fixture(&names[other % names.len()]));
        let place = |share: f64, length: usize| (share * length as f64) as usize;
        let (at, from) = (place(at, bytes.len()), place(from, other.len()));
        let piece = &other[from..(from + length).min(other.len())];
        let end = (at + piece.len()).min(bytes.len());
        bytes.splice(at..end, piece.iter().copied());
        if let Ok(reading) = read(&bytes, "spliced.bin") {
            prop_assert!(reading.embeddings().iter().flat_map(|word| &word.encoders).all(|part| part.count() <= 75));
        }
    }

    #[test]
    fn headers_agree_with_the_formats_own_library(
        dtype in 0_usize..9, shape in proptest::collection::vec(0_u64..9, 0..4), start in 0_u64..3, length in 0_u64..80,
        more in 0_usize..3,
    ) {
        let dtype = ["F32", "F16", "BF16", "F64", "I8", "BOOL", "F4", "F6_E2M3", "C64"][dtype];
        let header = format!("{{\"t\":{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{start},{length}]}}}}");
        let bytes = build::safetensors(header.as_bytes(), &vec![0; (length as usize + more) / 2 * 2]);
        let theirs = SafeTensors::deserialize(&bytes).map(|_| ());
        let ours = Header::read(&bytes).map(|_| ());
        prop_assert_eq!(theirs.is_ok(), ours.is_ok(), "{} {:?} {:?}", header, theirs, ours);
    }
}

/// Opcodes and operands that mean something together.
const PIECES: &[&[u8]] = &[
    b"\x80\x02",
    b"}",
    b"(",
    b"]",
    b")",
    b"N",
    b"\x88",
    b"\x89",
    b"K\x00",
    b"K\x08",
    b"K\x10",
    b"K\x01",
    b"M\x03\x00",
    b"X\x03\0\0\0<t>",
    b"X\x07\0\0\0storage",
    b"X\x01\0\0\x000",
    b"X\x03\0\0\0cpu",
    b"X\x0f\0\0\0string_to_param",
    b"X\x0b\0\0\0_parameters",
    b"ctorch\nFloatStorage\n",
    b"ctorch\nHalfStorage\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch._utils\n_rebuild_parameter\n",
    b"ccollections\nOrderedDict\n",
    b"ctorch.nn.modules.container\nParameterDict\n",
    b"ctorch.nn.parameter\nParameter\n",
    b"c__builtin__\nset\n",
    b"ctorch\nSize\n",
    b"R",
    b"\x81",
    b"b",
    b"Q",
    b"s",
    b"u",
    b"a",
    b"e",
    b"t",
    b"\x85",
    b"\x86",
    b"\x87",
    b"q\x00",
    b"q\x01",
    b"h\x00",
    b"h\x01",
    b"\x94",
    b"\x8f",
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000\
      X\x03\0\0\0cpuK\x10tQK\x00K\x02K\x08\x86K\x08K\x01\x86\x89NtR",
];

fn one(token: &str, rows: Vec<f32>, width: usize) -> Embedding {
    Embedding::new(token, width, rows)
}

#[test]
fn words_that_no_reader_takes_are_not_written() {
    let long = "x".repeat(20_000);
    for (word, says) in [
        (one("__metadata__", vec![1.0], 1), "choose another token"),
        (one("", vec![1.0], 1), "the token is empty"),
        (one(&long, vec![1.0], 1), "far too long"),
        (one("<t>", vec![], 1), "0 values"),
        (one("<t>", vec![1.0], 0), "1 values"),
        (one("<t>", vec![1.0; 5], 2), "5 values"),
        (one("<t>", vec![1.0; 76], 1), "76 vectors of width 1"),
        (one("<t>", vec![1.0; 16_385], 16_385), "width 16385"),
        (one("<t>", vec![1.0, f32::NAN], 2), "1 of its values"),
    ] {
        for layout in Layout::ALL.into_iter().filter(|layout| layout.holds(1)) {
            let refusal = write(&word, layout).unwrap_err();
            assert!(matches!(refusal, Refusal::Unwritable { .. }));
            assert!(refusal.to_string().contains(says), "{refusal}");
        }
    }
}

#[test]
fn odd_tokens_travel() {
    for token in [
        "a b",
        "<caf\u{e9}>",
        "\u{1f98a}",
        "../../etc/passwd",
        "a\nb",
        "\"",
        "*",
        "t5",
        "string_to_param.*x",
        "IN01",
        "state_dict",
        "con",
        "x".repeat(9000).as_str(),
    ] {
        for layout in Layout::ALL.into_iter().filter(|layout| layout.holds(1)) {
            let back = read(&write(&one(token, vec![0.5; 4], 2), layout).unwrap(), "file.pt").unwrap();
            assert_eq!(back.embeddings()[0].token.as_deref(), Some(token), "{layout:?}");
        }
    }
}

#[test]
fn names_that_mean_something_in_a_layout_are_not_written_in_it() {
    let keys = [
        "emb_params",
        "emp_params",
        "clip_l",
        "clip_g",
        "text_encoders_0",
        "string_to_param.*",
        "bundle_emb.cat",
        "lora_te_cat",
        "down_blocks.0",
        "conv_in.x",
        "text_model.x",
        "control_model.x",
    ];
    let pickled = ["string_to_param", "optimizer_state_dict"];
    for (names, layouts, free) in [
        (keys.as_slice(), [Layout::Safetensors, Layout::Bin].as_slice(), [Layout::A1111, Layout::Kohya].as_slice()),
        (&pickled, &[Layout::Bin], &[Layout::Safetensors, Layout::A1111, Layout::Kohya]),
    ] {
        for name in names {
            for layout in layouts {
                let refusal = check_name(name, *layout).expect_err(name);
                assert!(matches!(refusal, Refusal::Unwritable { .. }), "{refusal}");
                assert!(refusal.to_string().contains("choose another token"), "{refusal}");
                assert_eq!(write(&one(name, vec![0.0; 768], 768), *layout).unwrap_err(), refusal, "{name}");
            }
            for layout in free {
                check_name(name, *layout).unwrap_or_else(|refusal| panic!("{refusal}"));
            }
        }
    }
}

#[test]
fn facts_travel_with_a1111_files() {
    let metadata = [("steps", "1500"), ("base-model", "sd-v1-5"), ("checkpoint-hash", "81761151")];
    let metadata: BTreeMap<String, String> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let word = Embedding { metadata: metadata.clone(), ..one("cat", vec![0.5; 4], 2) };
    let back = Embedding::read(&write(&word, Layout::A1111).unwrap(), "x.pt", None).unwrap();
    assert_eq!(back, word);
}

#[test]
fn a_header_of_any_length_is_read() {
    // The file begins with that length: 128 or 640 look like a pickle at first sight, 60 like a web page.
    for length in 0..700 {
        let metadata = BTreeMap::from([("init".to_owned(), "a".repeat(length))]);
        let word = Embedding { metadata, ..one("<t>", vec![1.0, 2.0], 2) };
        assert_eq!(Embedding::read(&word.to_safetensors(), "own", None).unwrap(), word, "{length}");
    }
}
