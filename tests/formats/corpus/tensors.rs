//! Tensors, storages and the dicts around them; legacy streams.

use super::Corpus;
use super::Outcome::{Noted, Refused, Several, Word};
use crate::build::*;

/// Rows 49 to 58, 64 and 65: what tensors and storages may be.
pub(super) fn tensors(corpus: &mut Corpus) {
    let tensor = |class: &str, numel, offset, shape: &[i64], stride: &[i64]| {
        named(|pickle| pickle.tensor(class, "0", numel, offset, shape, stride))
    };
    let float = |numel, offset, shape: &[i64], stride: &[i64]| tensor("FloatStorage", numel, offset, shape, stride);
    corpus.pickle(
        49,
        "numel 2^31-1 over 64 bytes",
        float(0x7fff_ffff, 0, &[2, 8], &[8, 1]),
        Refused("Damaged", "64 bytes, 2147483647 F32"),
    );
    corpus.pickle(
        49,
        "numel 2^62",
        float(1 << 62, 0, &[2, 8], &[8, 1]),
        Refused("Damaged", "need 18446744073709551616"),
    );
    corpus.pickle(49, "numel negative", float(-1, 0, &[2, 8], &[8, 1]), Refused("Damaged", "negative: -1"));
    for (what, offset, shape, stride, says) in [
        ("shape beyond the storage", 0, [3, 8], [8, 1], "[3, 8]"),
        ("offset beyond the storage", 1, [2, 8], [8, 1], "offset 1"),
        ("negative offset", -1, [2, 8], [8, 1], "offset of a tensor is negative: -1"),
        ("negative size", 0, [-2, 8], [8, 1], "shape of a tensor is negative: -2"),
        ("negative stride", 0, [2, 8], [-8, 1], "stride of a tensor is negative: -8"),
        ("huge stride", 0, [2, 8], [i64::MAX, 1], "stride [9223372036854775807, 1]"),
        ("huge shape", 0, [i64::MAX, i64::MAX], [i64::MAX, i64::MAX], "reaches beyond"),
    ] {
        corpus.pickle(50, what, float(16, offset, &shape, &stride), Refused("Damaged", says));
    }
    corpus.pickle(
        50,
        "shape and stride of different lengths",
        float(16, 0, &[2, 8], &[1]),
        Refused("Damaged", "fit together"),
    );
    corpus.pickle(50, "no vectors", float(16, 0, &[0, 8], &[8, 1]), Refused("Shape", "at least one vector"));
    corpus.pickle(50, "three dimensions", float(16, 0, &[1, 2, 8], &[16, 8, 1]), Refused("Shape", "[1, 2, 8]"));
    corpus.pickle(51, "stride 0, four vectors", float(16, 0, &[4, 8], &[0, 1]), Word("<t>"));
    corpus.pickle(
        52,
        "stride 0, two thousand million vectors",
        float(16, 0, &[2_000_000_000, 8], &[0, 1]),
        Refused("Shape", "2000000000"),
    );
    corpus.pickle(
        52,
        "stride 0, one vector far too wide",
        float(16, 0, &[1, 2_000_000_000], &[0, 0]),
        Refused("Shape", "wider than any text encoder"),
    );
    let data = bytes(&rows());
    let record = |change: &dyn Fn(&mut Vec<Record>)| {
        let mut records = records(&valid(), &data);
        change(&mut records);
        zip(&records)
    };
    let change = record(&|records| {
        records.remove(1);
    });
    corpus.bin(53, "no data/0", change, Refused("Damaged", "is missing"));
    for (what, length) in [("shorter", 60), ("longer", 68)] {
        let mut other = data.clone();
        other.resize(length, 0);
        let change = record(&|records| records[1] = Record::stored("archive/data/0", &other));
        corpus.bin(53, format!("data/0 {what}"), change, Refused("Damaged", "16 F32 need 64"));
    }
    for key in ["../version", "0\0", "", "0/../0", "-1", "\u{0660}", "000000000000000000000"] {
        let pickle = named(|pickle| pickle.tensor("FloatStorage", key, 16, 0, &[2, 8], &[8, 1]));
        corpus.pickle(54, format!("storage key {}", key.escape_debug()), pickle, Refused("Damaged", "not a number"));
    }
    let halves = tensor("HalfStorage", 32, 0, &[2, 16], &[16, 1]);
    let small: Vec<u8> = (0..32).flat_map(|i| half::f16::from_f32(i as f32 * 8.0).to_le_bytes()).collect();
    corpus.bin(
        55,
        "f16 with values up to 248",
        torch(&halves, &small),
        Noted("<t>", "perhaps its number type is wrong"),
    );
    let halves = tensor("HalfStorage", 32, 0, &[2, 8], &[8, 1]);
    let nonsense: Vec<u8> = (0..16).flat_map(|_| f32::from_bits(0x7c01_7c01).to_le_bytes()).collect();
    corpus.bin(
        55,
        "f16 declared over f32, not finite",
        torch(&halves, &nonsense),
        Refused("NotFinite", "16 of the 16"),
    );
    for (class, size) in
        [("LongStorage", 8), ("IntStorage", 4), ("ShortStorage", 2), ("ByteStorage", 1), ("BoolStorage", 1)]
    {
        let pickle = tensor(class, 16, 0, &[2, 8], &[8, 1]);
        corpus.bin(56, class, torch(&pickle, &vec![1; 16 * size]), Refused("Type", "whole numbers"));
    }
    for (class, convert) in [
        ("BFloat16Storage", (|v| half::bf16::from_f32(v).to_le_bytes().to_vec()) as fn(f32) -> Vec<u8>),
        ("HalfStorage", |v| half::f16::from_f32(v).to_le_bytes().to_vec()),
        ("DoubleStorage", |v| f64::from(v).to_le_bytes().to_vec()),
    ] {
        let data: Vec<u8> = rows().into_iter().flat_map(convert).collect();
        corpus.bin(56, class, torch(&tensor(class, 16, 0, &[2, 8], &[8, 1]), &data), Word("<t>"));
    }
    let huge: Vec<u8> = (0..16).flat_map(|_| 1e300_f64.to_le_bytes()).collect();
    corpus.bin(
        56,
        "f64 too large for f32",
        torch(&tensor("DoubleStorage", 16, 0, &[2, 8], &[8, 1]), &huge),
        Refused("NotFinite", "16 of"),
    );
    let third = named(|pickle| {
        let pickle = pickle.global("torch._utils", "_rebuild_tensor_v3").raw(b"((").text("storage");
        let pickle = pickle.global("torch.storage", "UntypedStorage").text("0").text("cpu").int(64).raw(b"tQ");
        let pickle = pickle.int(0).sizes(&[2, 8]).sizes(&[8, 1]).raw(b"\x89N").global("torch", "float32");
        pickle.raw(b"tR")
    });
    corpus.pickle(56, "_rebuild_tensor_v3 over bytes", third, Word("<t>"));
    let parameter =
        named(|pickle| pickle.global("torch.nn.parameter", "Parameter").raw(b"(").plain().raw(b"\x88t\x81"));
    corpus.pickle(56, "Parameter by NEWOBJ", parameter, Word("<t>"));
    for (name, says) in [
        ("_rebuild_sparse_tensor", "sparse"),
        ("_rebuild_qtensor", "quantized"),
        ("_rebuild_meta_tensor_no_storage", "meta tensor"),
    ] {
        let pickle = named(|pickle| pickle.global("torch._utils", name).raw(b")R"));
        corpus.pickle(57, name, pickle, Refused("Unsupported", says));
    }
    let noisy = named(|pickle| pickle.global("torch\x1b[31m\0", "_rebuild_from_type").raw(b")R"));
    corpus.pickle(57, "control characters in the name", noisy, Refused("Unsupported", "torch\\u{1b}[31m"));
    for location in ["cuda:7", "../../x", "mps", ""] {
        let pickle = named(|pickle| {
            let pickle = pickle.global("torch._utils", "_rebuild_tensor_v2").raw(b"(");
            pickle.storage("FloatStorage", "0", location, 16).window(0, &[2, 8], &[8, 1])
        });
        corpus.pickle(58, format!("location {location:?}"), pickle, Word("<t>"));
    }
    let two = Pickle::new().raw(b"}(").text("<a>").plain().text("<b>");
    let two = two.tensor("HalfStorage", "0", 32, 0, &[2, 8], &[8, 1]).raw(b"u").end();
    corpus.pickle(58, "one storage of two types", two, Refused("Ambiguous", "16 F32 and 32 F16"));
    let many = vec![0.5; 76 * 8];
    corpus.bin(
        64,
        "76 vectors",
        torch(&float(608, 0, &[76, 8], &[8, 1]), &bytes(&many)),
        Refused("Shape", "77 positions"),
    );
    corpus.bin(64, "75 vectors", torch(&float(608, 0, &[75, 8], &[8, 1]), &bytes(&many)), Word("<t>"));
    for (what, value) in [("NaN", f32::NAN), ("infinity", f32::INFINITY)] {
        let mut bad = rows();
        (bad[5], bad[9]) = (value, value);
        corpus.bin(65, what, torch(&valid(), &bytes(&bad)), Refused("NotFinite", "2 of the 16 values of \"<t>\""));
    }
}

/// Rows 59 and 60, and the layouts of A1111 and torch that are not whole.
pub(super) fn layouts(corpus: &mut Corpus) {
    let a1111 = |param: &dyn Fn(Pickle) -> Pickle, name: &str| {
        let pickle = Pickle::new().raw(b"}(").text("string_to_token").raw(b"}").text("string_to_param");
        param(pickle).text("name").text(name).raw(b"u").end()
    };
    let dict = |pickle: Pickle| pickle.raw(b"}(").text("*").plain().raw(b"u");
    corpus.add(59, "A1111", "cat.pt", torch(&a1111(&dict, "my-cat"), &bytes(&rows())), Word("my-cat"));
    corpus.add(59, "A1111 without a name", "cat.pt", torch(&a1111(&dict, ""), &bytes(&rows())), Word("cat"));
    let module = |pickle: Pickle| {
        let state =
            pickle.global("torch.nn.modules.container", "ParameterDict").raw(b")\x81}(").text("training").raw(b"\x88");
        let state = state.text("_parameters").global("collections", "OrderedDict").raw(b")R").text("*");
        let state = state.global("torch._utils", "_rebuild_parameter").raw(b"(").plain().raw(b"\x88");
        let state = state.global("collections", "OrderedDict").raw(b")RtRs").text("_non_persistent_buffers_set");
        state.global("__builtin__", "set").raw(b"]\x85Rub")
    };
    corpus.add(59, "ParameterDict", "cat.pt", torch(&a1111(&module, "my-cat"), &bytes(&rows())), Word("my-cat"));
    for (what, param) in [
        ("string_to_param is None", (|pickle| pickle.raw(b"N")) as fn(Pickle) -> Pickle),
        ("string_to_param is empty", |pickle| pickle.raw(b"}")),
        ("string_to_param holds text", |pickle| pickle.raw(b"}").text("*").text("x").raw(b"s")),
        ("ParameterDict without a state", |pickle| {
            pickle.global("torch.nn.modules.container", "ParameterDict").raw(b")\x81")
        }),
    ] {
        corpus.pickle(59, what, a1111(&param, "x"), Refused("Damaged", "string_to_param"));
    }
    let two = |pickle: Pickle| pickle.raw(b"}(").text("*").plain().text("@").plain().raw(b"u");
    corpus.pickle(62, "A1111 with two words", a1111(&two, "x"), Several("\"*\", \"@\""));
    let data = bytes(&rows());
    let storage = legacy_storage(16, &data);
    corpus.bin(60, "legacy", legacy(&valid_legacy(), &["0"], &storage), Word("<t>"));
    let zipped = legacy(&valid(), &["0"], &storage);
    corpus.bin(60, "legacy, storage named as in a zip", zipped, Refused("Damaged", "as zip files do"));
    corpus.pickle(
        60,
        "a zip, storage named as in a legacy stream",
        valid_legacy(),
        Refused("Damaged", "as the old format does"),
    );
    corpus.bin(
        60,
        "legacy, storage not listed",
        legacy(&valid_legacy(), &[], &[]),
        Refused("Damaged", "not in its list"),
    );
    corpus.bin(60, "legacy, storage missing", legacy(&valid_legacy(), &["0"], &[]), Refused("Cut", "missing"));
    corpus.bin(
        60,
        "legacy, storage short",
        legacy(&valid_legacy(), &["0"], &storage[..40]),
        Refused("Cut", "is incomplete"),
    );
    corpus.bin(
        60,
        "legacy, other count",
        legacy(&valid_legacy(), &["0"], &legacy_storage(15, &data)),
        Refused("Damaged", "15 numbers, not 16"),
    );
    corpus.bin(
        60,
        "legacy, negative count",
        legacy(&valid_legacy(), &["0"], &legacy_storage(-1, &data)),
        Refused("Damaged", "not 16"),
    );
    corpus.bin(
        60,
        "legacy, listed twice",
        legacy(&valid_legacy(), &["0", "0"], &[storage.clone(), storage.clone()].concat()),
        Refused("Ambiguous", "twice"),
    );
    corpus.bin(
        60,
        "legacy, listed but not used",
        legacy(&valid_legacy(), &["0", "1"], &storage),
        Refused("Damaged", "belongs to no tensor"),
    );
    corpus.bin(
        60,
        "legacy, bytes behind",
        legacy(&valid_legacy(), &["0"], &[&storage, b"x".as_slice()].concat()),
        Refused("Ambiguous", "follow its end"),
    );
    let whole = legacy(&valid_legacy(), &["0"], &storage);
    corpus.bin(60, "legacy, only the magic number", whole[..15].to_vec(), Refused("Cut", "without STOP"));
    corpus.bin(60, "legacy, half a magic number", whole[..9].to_vec(), Refused("Cut", "torch stream"));
    let mut version = whole.clone();
    version[18] ^= 1;
    corpus.bin(60, "legacy, other version", version, Refused("Damaged", "1001"));
    let view = |offset: i64, size: i64| {
        named(|pickle| {
            let pickle = pickle.global("torch._utils", "_rebuild_tensor_v2").raw(b"((").text("storage");
            let pickle = pickle.global("torch", "FloatStorage").text("0").text("cpu").int(16).raw(b"(").text("1");
            pickle.int(offset).int(size).raw(b"ttQ").window(0, &[8], &[1])
        })
    };
    corpus.bin(60, "legacy, a view", legacy(&view(8, 8), &["0"], &storage), Word("<t>"));
    corpus.bin(
        60,
        "legacy, a view beyond the end",
        legacy(&view(9, 8), &["0"], &storage),
        Refused("Damaged", "beyond its end"),
    );
    corpus.pickle(60, "a view in a zip", view(8, 8), Refused("Damaged", "as the old format does"));
    let entry = |key: &str| Pickle::new().raw(b"}(").text(key).raw(b"}u").end();
    corpus.pickle(78, "state_dict", entry("state_dict"), Refused("Mistaken", "checkpoint"));
    corpus.pickle(78, ".pt.optim", entry("optimizer_state_dict"), Refused("Mistaken", ".pt.optim"));
    corpus.pickle(
        78,
        "hypernetwork",
        Pickle::new().raw(b"}(").int(768).raw(b")u").end(),
        Refused("Mistaken", "hypernetwork"),
    );
    corpus.pickle(78, "a dict without tensors", entry("x"), Refused("Unsupported", "no tensors"));
    corpus.pickle(78, "a number", Pickle::new().int(7).end(), Refused("Unsupported", "neither a dict nor a tensor"));
    let weights =
        Pickle::new().raw(b"}(").text("down_blocks.0.weight").plain().text("mid_block.x").plain().raw(b"u").end();
    corpus.pickle(78, "weights in a pickle", weights, Refused("Mistaken", "a U-Net"));
    let keys = Pickle::new().raw(b"}(").text("state_dict").text("model.diffusion_model.x").raw(b"u").end();
    let mut records = records(&keys, &bytes(&rows()));
    records.extend((1..200).map(|index| Record::stored(&format!("archive/data/{index}"), b"")));
    corpus.bin(78, "a checkpoint of 200 records", zip(&records), Refused("Mistaken", "whole model"));
}
