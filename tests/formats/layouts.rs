//! What tensors are by their keys: every program's layout, what stands beside an embedding, and what is around it.

use std::fmt::Write;

use pseudoword::embedding::{FileEmbedding, Reading, Refusal, read};

use crate::build::{self, Pickle, bytes, rows, torch};

/// A safetensors file of small numbers: keys, types and shapes.
fn safetensors(tensors: &[(&str, &str, &[usize])]) -> Vec<u8> {
    let (mut header, mut data) = (String::from("{"), Vec::new());
    for (number, (key, dtype, shape)) in tensors.iter().enumerate() {
        let (begin, count) = (data.len(), shape.iter().product::<usize>());
        let size = match *dtype {
            "I64" => 8,
            "F32" => 4,
            "F8_E4M3" => 1,
            _ => 2,
        };
        data.resize(begin + count * size, 0);
        let comma = if number == 0 { "" } else { "," };
        let offsets = [begin, data.len()];
        write!(header, "{comma}{key:?}:{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":{offsets:?}}}")
            .unwrap();
    }
    header.push('}');
    build::safetensors(header.as_bytes(), &data)
}

/// What comes of a file: each embedding's token, the sizes of its vectors, its notes.
fn outcome(bytes: &[u8]) -> Result<Vec<String>, Refusal> {
    let told = |word: &FileEmbedding| {
        let sizes = word.encoders.iter().map(|part| format!("{}x{}", part.count(), part.width)).collect::<Vec<_>>();
        let notes = word.notes.iter().map(|note| format!("; {note}")).collect::<String>();
        format!("{} {}{notes}", word.token.as_deref().unwrap_or_default(), sizes.join("+"))
    };
    Ok(read(bytes, "file.pti")?.embeddings().iter().map(told).collect())
}

#[track_caller]
fn reads(bytes: &[u8], expected: &[&str]) {
    assert_eq!(outcome(bytes).unwrap_or_else(|refusal| panic!("{expected:?}: {refusal}")), expected);
}

#[track_caller]
fn refuses(bytes: &[u8], says: &str) {
    let refusal = outcome(bytes).expect_err(says).to_string();
    assert!(refusal.contains(says), "{says:?} is not in: {refusal}");
}

#[test]
fn embeddings_for_models_that_cannot_be_run_are_named() {
    let (l, g, t5) = (("clip_l", "F32", &[2, 768][..]), ("clip_g", "F32", &[2, 1280][..]), [2, 4096]);
    for (tensors, model) in [
        (vec![l, g, ("t5xxl", "F32", &t5)], "Stable Diffusion 3"),
        (vec![l, g, ("t5", "BF16", &t5), ("t5_out", "BF16", &t5)], "Stable Diffusion 3"),
        (vec![("clip_g", "BF16", &[2, 768]), ("t5", "BF16", &t5)], "Flux"),
        (vec![l, ("t5", "F32", &t5)], "Flux"),
        (vec![("text_encoders_0", "F32", &[2, 768]), ("text_encoders_1", "F32", &t5)], "Flux"),
        (vec![l, g, ("t5", "F32", &t5), ("llama", "F32", &t5)], "HiDream"),
        (vec![l, ("llama", "F32", &t5)], "HunyuanVideo"),
        (vec![("t5", "F32", &t5)], "PixArt"),
        (vec![("gemma", "F32", &[1, 2304])], "Sana"),
        (vec![("qwen", "F32", &[1, 3584])], "Qwen-Image"),
    ] {
        refuses(&safetensors(&tensors), &format!("this is an embedding for {model}"));
    }
    // Somebody may call an ordinary embedding so.
    reads(&safetensors(&[("t5", "F32", &[1, 768])]), &["t5 1x768"]);
    reads(&safetensors(&[("llama", "F32", &[2, 1024])]), &["llama 2x1024"]);
    // In SDXL's place there is one with two encoders, whatever its parts are called.
    reads(&safetensors(&[l, g]), &["file 2x768+2x1280"]);
    let pair = [("text_encoders_0", "F32", &[2, 768][..]), ("text_encoders_1", "F32", &[2, 1280])];
    reads(&safetensors(&pair), &["file 2x768+2x1280"]);
    let Reading::One(pair) = read(&safetensors(&pair), "pair.pti").unwrap() else { panic!("several") };
    assert_eq!((pair.family(), pair.into_embedding(None).unwrap().widths()), ("SDXL", vec![768, 1280]));
}

#[test]
fn what_stands_beside_an_embedding_is_noted() {
    let word = ("<t>", "F32", &[2, 128][..]);
    for (tensors, expected) in [
        (vec![("emb_params", "F32", &[2, 128][..]), ("scale", "F32", &[1])], "file 2x128; \"scale\" is not used"),
        (vec![("emb_params", "F32", &[2, 128]), ("mean", "F32", &[128])], "file 2x128; \"mean\" is not used"),
        (
            vec![("emp_params", "F32", &[2, 128]), ("emp_params_out", "F32", &[2, 128])],
            "file 2x128; \"emp_params_out\" is not used",
        ),
        (
            vec![("string_to_param.*", "F32", &[2, 128]), ("string_to_token.*", "I64", &[])],
            "file 2x128; \"string_to_token.*\" is not used",
        ),
        (
            vec![("clip_l", "F32", &[2, 768]), ("clip_g", "F32", &[2, 1280]), ("x", "F32", &[3])],
            "file 2x768+2x1280; \"x\" is not used",
        ),
        (vec![word, ("scale", "F32", &[1])], "<t> 2x128; \"scale\" is not used"),
        (vec![word, ("scale", "F32", &[])], "<t> 2x128; \"scale\" is not used"),
        (vec![word, ("ids", "I64", &[77])], "<t> 2x128; \"ids\" is not used"),
        (
            vec![("<t>", "F32", &[128]), ("<t>_1", "F32", &[128]), ("<t>_2", "F32", &[1, 128])],
            "<t> 3x128; the file has it as 3 numbered tokens, which are used as one",
        ),
    ] {
        reads(&safetensors(&tensors), &[expected]);
    }
    let many: Vec<String> = (0..9).map(|number| format!("s{number}")).collect();
    let mut tensors: Vec<(&str, &str, &[usize])> = many.iter().map(|key| (key.as_str(), "F32", &[1][..])).collect();
    tensors.push(word);
    assert!(outcome(&safetensors(&tensors)).unwrap()[0].ends_with("\"s4\" is not used; nor are 4 others"));
    // Several embeddings stay several, and what is none stays none.
    reads(&safetensors(&[word, ("<u>", "F32", &[1, 128])]), &["<t> 2x128", "<u> 1x128"]);
    reads(&safetensors(&[("<t>", "F32", &[128]), ("<t>_2", "F32", &[128])]), &["<t> 1x128", "<t>_2 1x128"]);
    reads(&safetensors(&[word, ("<t>_1", "F32", &[1, 128])]), &["<t> 2x128", "<t>_1 1x128"]);
    refuses(&safetensors(&[("linear.weight", "F32", &[100, 128]), ("linear.bias", "F32", &[100])]), "holds 2 tensors");
    refuses(&safetensors(&[word, ("table", "F32", &[4, 4, 4])]), "holds 2 tensors");
    refuses(&safetensors(&[("a", "I64", &[2]), ("b", "I64", &[3])]), "holds 2 tensors");
    refuses(&safetensors(&[word, ("<u>", "F8_E4M3", &[2, 128])]), "holds 2 tensors");
    let lora = ("lora_unet_x.lora_up.weight", "F32", &[4, 4][..]);
    refuses(&safetensors(&[("emb_params", "F32", &[2, 128]), lora]), "this is a LoRA");
    refuses(&safetensors(&[("clip_l", "F32", &[1, 768]), ("bundle_emb.x.clip_l", "F32", &[1, 768])]), "bundled in");
}

/// A torch file of a dict: what `entries` adds between the brackets.
fn dict(entries: impl FnOnce(Pickle) -> Pickle) -> Vec<u8> {
    torch(&entries(Pickle::new().raw(b"}(")).raw(b"u").end(), &bytes(&rows()))
}

/// `key: {inside: tensor}`.
fn around(pickle: Pickle, key: &str, inside: &str) -> Pickle {
    pickle.text(key).raw(b"}(").text(inside).plain().raw(b"u")
}

#[test]
fn what_is_around_an_embedding_is_noted() {
    let nested = |keys: &str| format!("2x8; its vectors lie further inside, at {keys}");
    let one = |key: &str, inside: &str| dict(|pickle| around(pickle, key, inside));
    for (key, inside, token) in [
        ("<t>", "embedding", "<t>"),
        ("embeddings", "<t>", "<t>"),
        ("state_dict", "<t>", "<t>"),
        ("my-cat", "weight", "my-cat"),
        ("result", "cat", "cat"),
        ("vectors", "data", "data"),
    ] {
        reads(&one(key, inside), &[&format!("{token} {}", nested(&format!("{key:?}, {inside:?}")))]);
    }
    // A key that is the same for all embeddings of a program names none; what is around it does.
    reads(&one("<t>", "emb_params"), &[&format!("<t> {}", nested("\"<t>\", \"emb_params\""))]);
    let two = dict(|pickle| around(around(pickle, "<a>", "vec"), "<b>", "vec"));
    let told = |token: &str| format!("{token} {}", nested(&format!("{token:?}, \"vec\"")));
    reads(&two, &[&told("<a>"), &told("<b>")]);
    // Beside tensors, other containers of tensors are named; plain facts need no note.
    let beside = dict(|pickle| around(pickle.text("<t>").plain().text("step").int(5), "moments", "x"));
    reads(&beside, &["<t> 2x8; \"moments\" is not used"]);
    // The dict in a list, and as a module.
    let listed = Pickle::new().raw(b"](").raw(b"}(").text("<t>").plain().raw(b"ue").end();
    reads(&torch(&listed, &bytes(&rows())), &["<t> 2x8"]);
    let module = Pickle::new().global("torch.nn.modules.container", "ParameterDict").raw(b")\x81}(");
    let module = around(module, "_parameters", "<t>").raw(b"ub").end();
    reads(&torch(&module, &bytes(&rows())), &["<t> 2x8"]);
    // A1111's with something beside its tensor.
    let a1111 = dict(|pickle| {
        pickle
            .text("string_to_param")
            .raw(b"}(")
            .text("*")
            .plain()
            .text("more")
            .raw(b"N")
            .raw(b"u")
            .text("name")
            .text("cat")
    });
    reads(&a1111, &["cat 2x8; \"more\" is not used"]);
    // A whole model is often saved so, too.
    let whole = dict(|pickle| around(pickle, "state_dict", "model.diffusion_model.x"));
    refuses(&whole, "whole model");
    let nothing = dict(|pickle| pickle.text("a").raw(b"}(").text("b").raw(b"}u"));
    refuses(&nothing, "no tensors by name, only 1 entry named \"a\"");
    refuses(&dict(|pickle| pickle.int(1).plain()), "its tensors stand under 1, which is not a text");
    // A name may stand beside the tensor, as a text.
    let beside = dict(|pickle| pickle.text("token").text("<t>").text("embedding").plain().text("steps").int(5));
    reads(&beside, &["<t> 2x8"]);
    let listed = dict(|pickle| pickle.text("names").raw(b"](").text("<t>").raw(b"e").text("embedding").plain());
    reads(&listed, &["embedding 2x8; \"names\" is not used"]);
}

#[test]
fn what_does_not_stand_under_a_text_is_noted() {
    let bytes_key = |pickle: Pickle| pickle.global("_codecs", "encode").raw(b"(").text("x").text("latin1").raw(b"tR");
    let keys: [(&dyn Fn(Pickle) -> Pickle, &str); 5] = [
        (&|pickle| pickle.int(5), "5"),
        (&|pickle| pickle.raw(b"N"), "None"),
        (&|pickle| pickle.raw(b"G").raw(&1.5_f64.to_be_bytes()), "1.5"),
        (&|pickle| pickle.raw(b"(").text("a").raw(b"t"), "a tuple"),
        (&bytes_key, "bytes"),
    ];
    for (key, written) in keys {
        let note = format!("what stands under {written} is not used: embeddings stand under their names");
        reads(&dict(|pickle| key(pickle.text("<t>").plain()).plain()), &[&format!("<t> 2x8; {note}")]);
        let a1111 = dict(|pickle| {
            let pickle = pickle.text("string_to_param").raw(b"}(").text("*").plain();
            key(pickle).plain().raw(b"u").text("name").text("cat")
        });
        reads(&a1111, &[&format!("cat 2x8; {note}")]);
        let nested = dict(|pickle| key(pickle.text("<t>").raw(b"}(").text("vec").plain()).plain().raw(b"u"));
        let place = "its vectors lie further inside, at \"<t>\", \"vec\"";
        reads(&nested, &[&format!("<t> 2x8; {place}; {note}")]);
        // Facts need no note.
        reads(&dict(|pickle| key(pickle.text("<t>").plain()).int(3)), &["<t> 2x8"]);
    }
    let a1111 = dict(|pickle| pickle.text("string_to_param").raw(b"}(").int(7).plain().raw(b"u"));
    refuses(&a1111, "string_to_param: its tensors stand under 7");
    refuses(&dict(|pickle| pickle.raw(b"]").plain()), "a list, a dict or a tensor for a key");
}

#[test]
fn where_tensors_lie_that_are_not_found_is_said() {
    let list = dict(|pickle| pickle.text("<t>").raw(b"](").plain().plain().raw(b"e"));
    refuses(&list, "its tensors lie in a list, under \"<t>\"");
    let deep = dict(|pickle| {
        let pickle = (0..8).fold(pickle, |pickle, depth| pickle.text(&format!("k{depth}")).raw(b"}("));
        (0..8).fold(pickle.text("<t>").plain(), |pickle, _| pickle.raw(b"u"))
    });
    refuses(&deep, "its tensors lie more than 6 dicts deep");
}

#[test]
fn names_beside_and_around_are_found_at_any_depth() {
    let nested = |token: &str, keys: &str| format!("{token} 2x8; its vectors lie further inside, at {keys}");
    let name = |pickle: Pickle| pickle.text("name").text("<hop>");
    let beside = dict(|pickle| name(around(pickle, "emb", "weight")));
    reads(&beside, &[&nested("<hop>", "\"emb\", \"weight\"")]);
    let inside = dict(|pickle| name(pickle.text("data").raw(b"}(").text("vector").plain()).raw(b"u"));
    reads(&inside, &[&nested("<hop>", "\"data\", \"vector\"")]);
    reads(&dict(|pickle| name(pickle.text("emb_params").plain())), &["<hop> 2x8"]);
    // A key that is a name stays one, and a text beside two tensors names neither.
    reads(&dict(|pickle| name(around(pickle, "<t>", "vec"))), &[&nested("<t>", "\"<t>\", \"vec\"")]);
    let two = dict(|pickle| name(around(around(pickle, "emb", "vec"), "vector", "vec")));
    assert_eq!(outcome(&two).unwrap().len(), 2);
    // Keys that are the same for all embeddings of a program, in two dicts.
    let two = dict(|pickle| around(around(pickle, "<a>", "emb_params"), "<b>", "emb_params"));
    let told = |token: &str| nested(token, &format!("{token:?}, \"emb_params\""));
    reads(&two, &[&told("<a>"), &told("<b>")]);
}

#[test]
fn numbers_that_are_too_large_are_not_called_infinite() {
    let pickle = Pickle::new().raw(b"}(").text("<t>");
    let pickle = pickle.tensor("DoubleStorage", "0", 16, 0, &[2, 8], &[8, 1]).raw(b"u").end();
    let numbers: Vec<u8> = [1e299_f64; 16].iter().flat_map(|value| value.to_le_bytes()).collect();
    refuses(&torch(&pickle, &numbers), "NaN, infinite, or too large for numbers of 32 bits");
    refuses(&torch(&build::valid(), &bytes(&[f32::INFINITY; 16])), "are NaN or infinite");
}

#[test]
fn a_model_is_only_named_by_vectors_of_its_width() {
    for (key, width, family) in
        [("clip_l", 768, "SDXL's first text encoder"), ("clip_l", 128, "pseudoword's mini model")]
    {
        let word = read(&safetensors(&[(key, "F32", &[1, width])]), "x.safetensors").unwrap().choose(None).unwrap();
        assert_eq!(word.encoders[0].family(), family);
    }
}

#[test]
fn shared_branches_are_not_followed_forever() {
    // Each dict has the one before a hundred times: a million paths in three levels, and more in four.
    let level = |pickle: Pickle, below: &[u8]| {
        (0..100).fold(pickle.raw(b"}("), |pickle, i| pickle.text(&format!("k{i}")).raw(below)).raw(b"u")
    };
    let mut pickle = Pickle::new().plain().raw(b"q\x00");
    for slot in 0..4_u8 {
        pickle = level(pickle, &[b'h', slot]).raw(&[b'q', slot + 1]);
    }
    let began = std::time::Instant::now();
    refuses(&torch(&pickle.end(), &bytes(&rows())), "");
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
}
