//! safetensors: headers, and files that are told by the names of their tensors.

use super::Corpus;
use super::Outcome::{Noted, Refused, Several, Word};
use crate::build::*;

/// Rows 66 to 77: safetensors headers.
pub(super) fn headers(corpus: &mut Corpus) {
    let data = bytes(&rows());
    let tensor = "{\"dtype\":\"F32\",\"shape\":[2,8],\"data_offsets\":[0,64]}";
    let word = format!("{{\"<t>\":{tensor}}}");
    let file = |bytes: Vec<u8>| bytes;
    corpus.header(66, "a word", &word, &data, Word("<t>"));
    for length in [1, 7, 8] {
        let short = safetensors(word.as_bytes(), &data)[..length].to_vec();
        corpus.add(66, format!("{length} bytes"), "word.safetensors", short, Refused("Cut", "cut off"));
    }
    let lying = |length: u64| file([&length.to_le_bytes(), word.as_bytes(), &data].concat());
    for (what, length, kind, says) in [
        ("0", 0_u64, "Damaged", "header"),
        ("more than the file", 5000, "Cut", "5000"),
        ("2^63", 1 << 63, "Damaged", "9223372036854775808"),
        ("100,000,001", 100_000_001, "TooMuch", "100000001"),
        ("16 MiB and one", (16 << 20) + 1, "TooMuch", "16777217"),
    ] {
        corpus.add(66, format!("header length {what}"), "word.safetensors", lying(length), Refused(kind, says));
    }
    for (what, header, says) in [
        ("not JSON", "{hello}", "key must be"),
        ("array", " [1,2,3]", "expected an object"),
        ("NUL padding", &format!("{word}\0\0\0"), "trailing"),
        ("two objects", &format!("{word}{word}"), "trailing"),
        ("depth 200", &format!("{{\"<t>\":{{\"x\":{}{}}}}}", "[".repeat(200), "]".repeat(200)), "missing field"),
        ("text for a tensor", "{\"<t>\":\"x\"}", "object with dtype"),
    ] {
        corpus.header(67, what, header, &data, Refused("Damaged", says));
    }
    let long = format!("{{\"<t>\":\"{}\"}}", "x\\u0007".repeat(100_000));
    corpus.header(67, "a long text for a tensor", &long, &data, Refused("Damaged", "x\\u{7}"));
    let mut wrong = safetensors(word.as_bytes(), &data);
    wrong[11] = 0xff;
    corpus.add(67, "not UTF-8", "word.safetensors", wrong, Refused("Damaged", "unicode"));
    let bom = safetensors(format!("\u{feff}{word}").as_bytes(), &data);
    corpus.add(67, "BOM", "word.safetensors", bom, Refused("Damaged", "no header"));
    let offsets = |start: &str, end: &str| {
        format!("{{\"<t>\":{{\"dtype\":\"F32\",\"shape\":[2,8],\"data_offsets\":[{start},{end}]}}}}")
    };
    corpus.header(
        68,
        "a hole at the beginning",
        &offsets("4", "68"),
        &[&data, [0; 4].as_slice()].concat(),
        Refused("Damaged", "0 was expected"),
    );
    corpus.header(68, "reversed offsets", &offsets("64", "0"), &data, Refused("Damaged", "64..0"));
    corpus.header(68, "negative offset", &offsets("-1", "63"), &data, Refused("Damaged", "invalid value"));
    corpus.header(68, "bytes behind", &word, &[&data, b"x".as_slice()].concat(), Refused("Ambiguous", "1 byte follow"));
    corpus.header(68, "data cut", &word, &data[..63], Refused("Cut", "there are 63"));
    let overlap = format!("{{\"a\":{tensor},\"b\":{}}}", tensor.replace("[0,64]", "[32,96]"));
    corpus.header(68, "overlap", &overlap, &[&data[..], &data[..32]].concat(), Refused("Damaged", "64 was expected"));
    let hole = format!("{{\"a\":{tensor},\"b\":{}}}", tensor.replace("[0,64]", "[68,132]"));
    corpus.header(68, "a hole", &hole, &[0; 132], Refused("Damaged", "64 was expected"));
    for (what, from, to, says) in [
        ("shape and size differ", "[2,8]", "[2,9]", "needs 72 bytes"),
        ("shape of 2^80", "[2,8]", "[1099511627776,1099511627776]", "overflows"),
        ("unknown type", "F32", "F31", "is unknown"),
        ("lower-case type", "F32", "f32", "is unknown"),
        ("a fraction in the shape", "[2,8]", "[2.0,8]", "invalid type"),
        ("offset 2^65", "[0,64]", "[0,36893488147419103232]", "invalid type"),
        ("three offsets", "[0,64]", "[0,64,64]", "trailing"),
        ("no dtype", "\"dtype\":\"F32\",", "", "missing field"),
        ("dtype twice", "\"dtype\":\"F32\",", "\"dtype\":\"F32\",\"dtype\":\"F32\",", "twice"),
    ] {
        corpus.header(69, what, &word.replace(from, to), &data, Refused("Damaged", says));
    }
    let again = tensor.replace("F32", "I32");
    corpus.header(
        70,
        "a name twice, same place",
        &format!("{{\"<t>\":{tensor},\"<t>\":{again}}}"),
        &data,
        Refused("Ambiguous", "twice"),
    );
    let other = tensor.replace("[0,64]", "[64,128]");
    corpus.header(
        71,
        "a name twice, other place",
        &format!("{{\"<t>\":{tensor},\"<t>\":{other}}}"),
        &[0; 128],
        Refused("Ambiguous", "twice"),
    );
    corpus.header(
        71,
        "metadata twice",
        &format!("{{\"__metadata__\":{{}},\"__metadata__\":{{}},\"<t>\":{tensor}}}"),
        &data,
        Refused("Ambiguous", "__metadata__"),
    );
    let more = word.replace("\"dtype\"", "\"note\":[1,{}],\"dtype\"");
    corpus.header(72, "a field that is not known", &more, &data, Word("<t>"));
    corpus.header(72, "metadata null", &format!("{{\"__metadata__\":null,\"<t>\":{tensor}}}"), &data, Word("<t>"));
    corpus.header(72, "space before", &format!("  {word}"), &data, Word("<t>"));
    corpus.header(
        72,
        "metadata with a number",
        &format!("{{\"__metadata__\":{{\"a\":1}},\"<t>\":{tensor}}}"),
        &data,
        Refused("Damaged", "invalid type"),
    );
    for (json, name) in [("", ""), ("../../etc", "../../etc"), ("a\\nb", "a\nb"), ("\\u0000", "\0")] {
        corpus.header(73, format!("tensor {name:?}"), &format!("{{\"{json}\":{tensor}}}"), &data, Word(name));
    }
    let empty = |shape: &str, end: u64| {
        format!("{{\"<t>\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}}}")
    };
    corpus.header(75, "[0, 2^62, 4]", &empty("[0,4611686018427387904,4]", 0), &[], Refused("Damaged", "overflows"));
    corpus.header(75, "[0, 8]", &empty("[0,8]", 0), &[], Refused("Shape", "at least one vector"));
    corpus.header(75, "no dimensions", &empty("[]", 4), &[0; 4], Refused("Shape", "[]"));
    corpus.header(
        75,
        "17 dimensions",
        &empty("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", 4),
        &[0; 4],
        Refused("Damaged", "dimensions"),
    );
    for count in [100_000, 100_001] {
        let entries: Vec<String> = (0..count)
            .map(|index| format!("\"{index}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}"))
            .collect();
        let (kind, says) = if count > 100_000 { ("TooMuch", "100000") } else { ("Mistaken", "100000 tensors") };
        corpus.header(
            76,
            format!("{count} empty tensors"),
            &format!("{{{}}}", entries.join(",")),
            &[],
            Refused(kind, says),
        );
    }
    for (dtype, size) in [("F8_E4M3", 16), ("F8_E5M2", 16), ("F4", 8), ("I64", 128), ("BOOL", 16), ("U8", 16)] {
        let header = format!("{{\"<t>\":{{\"dtype\":\"{dtype}\",\"shape\":[2,8],\"data_offsets\":[0,{size}]}}}}");
        corpus.header(77, dtype, &header, &vec![0; size], Refused("Type", "F32, F16, BF16 or F64"));
    }
    corpus.header(
        77,
        "F6 with a shape that fills no bytes",
        "{\"<t>\":{\"dtype\":\"F6_E2M3\",\"shape\":[3],\"data_offsets\":[0,2]}}",
        &[0; 2],
        Refused("Damaged", "whole bytes"),
    );
}

/// Row 78: files told by the names of their tensors.
pub(super) fn keys(corpus: &mut Corpus) {
    let file = |keys: &[&str]| {
        let entries: Vec<String> = keys
            .iter()
            .enumerate()
            .map(|(index, key)| {
                format!(
                    "\"{key}\":{{\"dtype\":\"F32\",\"shape\":[2,8],\"data_offsets\":[{},{}]}}",
                    64 * index,
                    64 * index + 64
                )
            })
            .collect();
        safetensors(format!("{{{}}}", entries.join(",")).as_bytes(), &vec![0; 64 * keys.len()])
    };
    let xti: Vec<String> = "IN01 IN02 IN04 IN05 IN07 IN08 MID OUT03 OUT04 OUT05 OUT06 OUT07 OUT08 OUT09 OUT10 OUT11"
        .split(' ')
        .map(str::to_owned)
        .collect();
    let xti: Vec<&str> = xti.iter().map(String::as_str).collect();
    for (what, keys, says) in [
        ("LoRA (kohya)", ["lora_unet_down_blocks_0.lora_down.weight", "lora_te_text_model.alpha"].as_slice(), "LoRA"),
        ("LoRA (diffusers)", &["unet.down_blocks.0.attn.to_q.lora_A.weight", "unet.x.lora_B.weight"], "LoRA"),
        ("LoRA with embeddings", &["lora_unet_x.alpha", "bundle_emb.cat.clip_l"], "bundle_emb"),
        ("checkpoint", &["model.diffusion_model.input_blocks.0.0.weight", "cond_stage_model.x"], "whole model"),
        ("SDXL checkpoint", &["conditioner.embedders.0.x", "first_stage_model.y"], "whole model"),
        ("SD3", &["joint_blocks.0.x", "y"], "whole model"),
        ("Flux", &["double_blocks.0.img_attn.x", "single_blocks.0.x"], "whole model"),
        ("U-Net", &["conv_in.weight", "down_blocks.0.resnets.0.conv1.weight"], "a U-Net"),
        ("VAE", &["decoder.up_blocks.0.x", "encoder.down_blocks.0.x"], "a VAE"),
        ("text encoder", &["text_model.embeddings.token_embedding.weight"], "a text encoder"),
        ("ControlNet", &["controlnet_cond_embedding.conv_in.weight", "down_blocks.0.x"], "ControlNet"),
        ("XTI", &xti, "XTI"),
        ("SDXL pair and more", &["clip_l", "clip_g", "t5xxl"], "for Stable Diffusion 3"),
    ] {
        corpus.add(78, what, "word.safetensors", file(keys), Refused("Mistaken", says));
    }
    let several: Vec<String> = (0..65).map(|index| format!("<word-{index}>")).collect();
    let several: Vec<&str> = several.iter().map(String::as_str).collect();
    corpus.add(78, "65 words", "word.safetensors", file(&several), Refused("Mistaken", "65 tensors"));
    corpus.add(62, "64 words", "word.safetensors", file(&several[..64]), Several("64 embeddings"));
    let (more, note) = (file(&["emb_params", "other"]), Noted("word", "\"other\" is not used"));
    corpus.add(78, "emb_params and more", "word.safetensors", more, note);
    corpus.add(62, "kohya", "my cat.safetensors", file(&["emb_params"]), Word("my cat"));
    corpus.add(
        62,
        "OneTrainer",
        "cat.safetensors",
        file(&["emp_params", "emp_params_out"]),
        Noted("cat", "emp_params_out"),
    );
    corpus.add(63, "SDXL pair", "cat.safetensors", file(&["clip_l", "clip_g"]), Word("cat"));
    corpus.add(
        63,
        "SDXL pair with outputs",
        "cat.safetensors",
        file(&["clip_l", "clip_g", "clip_l_out"]),
        Noted("cat", "\"clip_l_out\" is not used"),
    );
    let odd = "{\"clip_l\":{\"dtype\":\"F32\",\"shape\":[2,8],\"data_offsets\":[0,64]},\
               \"clip_g\":{\"dtype\":\"F32\",\"shape\":[1,8],\"data_offsets\":[64,96]}}";
    corpus.header(
        63,
        "SDXL pair of different lengths",
        odd,
        &[0; 96],
        Refused("Damaged", "2 vectors for clip_l, 1 for clip_g"),
    );
    let table = "{\"text.weight\":{\"dtype\":\"F16\",\"shape\":[49408,8],\"data_offsets\":[0,790528]}}";
    corpus.header(64, "a token table", table, &vec![0; 790_528], Refused("Shape", "token table"));
    corpus.add(
        62,
        "a raw tensor",
        "cat.pt",
        torch(&Pickle::new().plain().end(), &bytes(&rows())),
        Refused("Unnamed", "give the token"),
    );
}
