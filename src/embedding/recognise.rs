//! Files that are given by mistake, recognised by their first bytes or by the names of their tensors, and what to do
//! about each.

use super::cursor;

/// What a file is that is not an embedding.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mistaken {
    /// A pointer that stands for the file in a git repository.
    LfsPointer,
    /// A page of the web, or an XML error message.
    WebPage,
    /// JSON text.
    Json,
    /// Text of some kind.
    Text,
    /// A format known by its first bytes: name and advice.
    Other(&'static str),
    /// A picture of another format than PNG.
    Picture(&'static str),
    /// A PNG without an embedding.
    PlainPicture,
    /// Nothing but zeros.
    Zeros,
    /// A zip archive that torch did not write.
    Zip,
    /// Arrays of numpy.
    Numpy,
    /// An office document, a Java program, ...
    Document,
    /// A model that was exported to run.
    TorchScript,
    /// torch's format before 0.1.10.
    TorchTar,
    /// A pickle that torch did not write.
    Pickle,
    /// A whole model.
    Checkpoint,
    /// A part of a model: its name.
    ModelPart(&'static str),
    /// A low-rank adapter.
    Lora,
    /// A LoRA file with embeddings inside.
    Bundle,
    /// A ControlNet.
    ControlNet,
    /// A hypernetwork of A1111.
    Hypernetwork,
    /// The optimiser state that A1111 keeps beside an embedding.
    Optimiser,
    /// One vector per attention layer.
    Xti,
    /// An embedding for a kind of model that cannot be run here.
    Elsewhere {
        /// That kind.
        model: &'static str,
        /// What there is for each of its text encoders.
        parts: String,
    },
    /// Tensors of some other model.
    Weights {
        /// How many.
        tensors: usize,
        /// The first keys, escaped.
        first: String,
    },
    /// Bytes that say nothing: the first of them, in hexadecimal.
    Unknown(String),
}

impl std::fmt::Display for Mistaken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Mistaken::LfsPointer => f.write_str(
                "this is a Git LFS pointer and not the file itself; run `git lfs pull` in that repository, or download \
                 it by its `resolve/` address instead of `blob/` or `raw/`",
            ),
            Mistaken::WebPage => f.write_str(
                "this is a web page, perhaps an error or log-in page saved in place of the file; download it again, \
                 by its `resolve/` address",
            ),
            Mistaken::Json => f.write_str(
                "this is a JSON text, perhaps an error message or a configuration; download \
                 the embedding file itself",
            ),
            Mistaken::Text => f.write_str("this is a text file, not an embedding"),
            Mistaken::Other(what) => write!(f, "this is {what}"),
            Mistaken::Picture(kind) => write!(
                f,
                "this is a picture ({kind}); embeddings travel in PNG files, and do not survive a change of format"
            ),
            Mistaken::PlainPicture => f.write_str(
                "this is a picture without an embedding in it; if it should have one, get the original file: \
                 resizing or converting a picture destroys it",
            ),
            Mistaken::Zeros => f.write_str("the file holds nothing but zero bytes; copy or download it again"),
            Mistaken::Zip => f.write_str(
                "this is a zip archive, but not one that torch.save wrote (it has no data.pkl); \
                 if the embedding is in it, unpack it first",
            ),
            Mistaken::Numpy => f.write_str("these are numpy arrays; save the vectors as safetensors"),
            Mistaken::Document => f.write_str("this is a document or a program in a zip archive, not an embedding"),
            Mistaken::TorchScript => {
                f.write_str("this is a TorchScript archive, a model exported to run, not an embedding")
            }
            Mistaken::TorchTar => f.write_str(
                "this is a tar archive; if a torch older than 0.1.10 wrote it, load it there and save it again with \
                 a newer one",
            ),
            Mistaken::Pickle => {
                f.write_str("this is a Python pickle that torch.save did not write; save the vectors as safetensors")
            }
            Mistaken::Checkpoint => {
                f.write_str("this is a whole model (a checkpoint), not an embedding: use it as the model")
            }
            Mistaken::ModelPart(part) => write!(f, "this is {part}, a part of a model, not an embedding"),
            Mistaken::Lora => f.write_str("this is a LoRA (it changes the model's weights), not an embedding"),
            Mistaken::Bundle => f.write_str(
                "this is a LoRA with embeddings bundled in (bundle_emb.*); get the embedding as a file of its own",
            ),
            Mistaken::ControlNet => f.write_str("this is a ControlNet, not an embedding"),
            Mistaken::Hypernetwork => f.write_str("this is a hypernetwork, not an embedding"),
            Mistaken::Optimiser => f.write_str(
                "this is the optimiser state that A1111 keeps beside an embedding (.pt.optim): give the .pt file",
            ),
            Mistaken::Xti => f.write_str(
                "this is an XTI (P+) embedding, with one vector for each of 16 attention layers; \
                 an ordinary embedding has one for all, so it cannot be used here",
            ),
            Mistaken::Elsewhere { model, parts } => write!(
                f,
                "this is an embedding for {model} ({parts}), which cannot be run here: \
                 one is needed that was learned for Stable Diffusion 1.x, 2.x or SDXL"
            ),
            Mistaken::Weights { tensors, first } => {
                write!(f, "this is not an embedding: it holds {tensors} tensors ({first}, ...)")
            }
            Mistaken::Unknown(start) => write!(
                f,
                "this is not an embedding in any format known here (it starts with {start}): \
                 .safetensors, .bin, .pt and PNG files are read"
            ),
        }
    }
}

/// Beginnings of files, with what they are and what to do.
const SIGNATURES: &[(&[u8], &str)] = &[
    (b"%PDF", "a PDF document, not an embedding"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive; unpack it first"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"BZh", "a bzip2 archive; unpack it first"),
    (b"\xfd7zXZ\0", "an xz archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive; unpack it first"),
    (b"GGUF", "a GGUF model (a whole quantized model), not an embedding"),
    (b"ggml", "a GGML model (a whole quantized model), not an embedding"),
    (b"\x89HDF", "an HDF5 file (Keras or similar); save the vectors as safetensors"),
    (b"\x93NUMPY", "a numpy array; save the vectors as safetensors"),
    (b"\x7fELF", "a program, not an embedding"),
    (b"MZ", "a program, not an embedding"),
    (b"SQLite format 3", "a database, not an embedding"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"PK\x07\x08", "a part of a split zip archive; join the parts first"),
];

/// Beginnings of pictures.
const PICTURES: &[(&[u8], &str)] = &[
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"8BPS", "Photoshop"),
];

impl Mistaken {
    /// Names a file by its bytes, none of whose beginnings is one of ours.
    pub(super) fn by_content(bytes: &[u8]) -> Self {
        if bytes.iter().take(4096).all(|&byte| byte == 0) {
            return Mistaken::Zeros;
        }
        if bytes.starts_with(b"version https://git-lfs") || bytes.starts_with(b"version https://hawser") {
            return Mistaken::LfsPointer;
        }
        if let Some((_, what)) = SIGNATURES.iter().find(|(start, _)| bytes.starts_with(start)) {
            return Mistaken::Other(what);
        }
        if let Some((_, kind)) = PICTURES.iter().find(|(start, _)| bytes.starts_with(start)) {
            return Mistaken::Picture(kind);
        }
        match (bytes.get(..4), bytes.get(4..8), bytes.get(8..12)) {
            (Some(b"RIFF"), _, Some(b"WEBP")) => return Mistaken::Picture("WebP"),
            (_, Some(b"ftyp"), Some(b"avif" | b"avis")) => return Mistaken::Picture("AVIF"),
            (_, Some(b"ftyp"), _) => return Mistaken::Other("a video or photo (ISO media), not an embedding"),
            _ => {}
        }
        if bytes.get(257..262) == Some(b"ustar") || old_tar(bytes) {
            return Mistaken::TorchTar;
        }
        if matches!(bytes, [0x80, 0..=5, ..]) {
            return Mistaken::by_text(bytes.get(..bytes.len().min(1 << 20)).unwrap_or_default())
                .unwrap_or(Mistaken::Pickle);
        }
        text(bytes).unwrap_or_else(|| {
            let start: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            Mistaken::Unknown(start.join(" "))
        })
    }

    /// Names a set of tensors by their keys.
    pub(super) fn by_keys<'k>(keys: impl Iterator<Item = &'k str>) -> Option<Self> {
        const XTI: &[&str] = &[
            "IN01", "IN02", "IN04", "IN05", "IN07", "IN08", "MID", "OUT03", "OUT04", "OUT05", "OUT06", "OUT07",
            "OUT08", "OUT09", "OUT10", "OUT11",
        ];
        let mut found = None;
        let mut layers = 0;
        for key in keys {
            if key.starts_with("bundle_emb.") {
                return Some(Mistaken::Bundle);
            }
            layers += usize::from(XTI.contains(&key));
            found = found.or_else(|| KEYS.iter().find(|(marks, _)| marks.iter().any(|mark| fits(key, mark))));
        }
        if layers == XTI.len() {
            return Some(Mistaken::Xti);
        }
        found.map(|(_, mistaken)| mistaken.clone())
    }

    /// Names a pickle by the keys that it contains as text, without interpreting it.
    pub(super) fn by_text(bytes: &[u8]) -> Option<Self> {
        let marks = KEYS.iter().flat_map(|(marks, mistaken)| marks.iter().map(move |mark| (mark, mistaken)));
        // Only marks that are long enough not to occur by chance.
        let mut long = marks.filter(|(mark, _)| mark.len() > 8);
        long.find(|(mark, _)| cursor::mentions(bytes, mark.trim_matches('*'))).map(|(_, mistaken)| mistaken.clone())
    }
}

/// Keys of tensors, with what they are part of: prefixes, or with a star before them parts of a key. First match
/// counts.
const KEYS: &[(&[&str], Mistaken)] = &[
    (
        &[
            "lora_unet_",
            "lora_te",
            "*.lora_A.",
            "*.lora_B.",
            "*.lora_up.",
            "*.lora_down.",
            "*.lora.up.",
            "*.hada_w",
            "*lora_linear_layer",
            "*.lokr_w",
            "*.dora_scale",
        ],
        Mistaken::Lora,
    ),
    (&["control_model.", "controlnet_", "controlnet_cond_embedding."], Mistaken::ControlNet),
    (
        &[
            "model.diffusion_model.",
            "cond_stage_model.",
            "first_stage_model.",
            "conditioner.embedders.",
            "double_blocks.",
            "joint_blocks.",
            "single_transformer_blocks.",
        ],
        Mistaken::Checkpoint,
    ),
    (&["down_blocks.", "up_blocks.", "mid_block.", "conv_in.", "time_embedding."], Mistaken::ModelPart("a U-Net")),
    (
        &["encoder.down_blocks.", "decoder.up_blocks.", "encoder.down.", "decoder.up.", "post_quant_conv"],
        Mistaken::ModelPart("a VAE"),
    ),
    (
        &["text_model.", "transformer.text_model.", "encoder.block.", "shared.weight"],
        Mistaken::ModelPart("a text encoder"),
    ),
    (&["vision_model.", "visual_projection."], Mistaken::ModelPart("an image encoder")),
];

/// Whether a key begins with a mark, or has it inside where the mark begins with a star.
fn fits(key: &str, mark: &str) -> bool {
    match mark.strip_prefix('*') {
        Some(part) => key.contains(part),
        None => key.starts_with(mark),
    }
}

/// A tar header without the ustar mark: a name, zeros, octal digits for the mode (7 and a zero or space).
fn old_tar(bytes: &[u8]) -> bool {
    let name = bytes.get(..100).unwrap_or_default();
    let mode = bytes.get(100..108).unwrap_or_default();
    name.first().is_some_and(u8::is_ascii_graphic)
        && name.last() == Some(&0)
        && bytes.len() >= 512
        && matches!(mode, [digits @ .., 0 | b' '] if digits.iter().all(|digit| matches!(digit, b'0'..=b'7' | b' ')))
}

/// Names text files; none if `bytes` are not text.
fn text(bytes: &[u8]) -> Option<Mistaken> {
    let mut head = bytes.get(..bytes.len().min(2048)).unwrap_or_default();
    if let Err(error) = std::str::from_utf8(head) {
        // A character cut in two by the 2048 does not mean that this is not text.
        if error.error_len().is_some() {
            return None;
        }
        head = head.get(..error.valid_up_to()).unwrap_or_default();
    }
    let text = std::str::from_utf8(head).ok()?.trim_start_matches('\u{feff}').trim_start().to_lowercase();
    if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let page = ["<!doctype", "<html", "<head", "<body", "<?xml", "<error", "<!--"];
    Some(if page.iter().any(|start| text.starts_with(start)) {
        Mistaken::WebPage
    } else if text.starts_with('{') || text.starts_with('[') {
        Mistaken::Json
    } else {
        Mistaken::Text
    })
}

/// Names a zip archive by the names of its records.
pub(super) fn zip_kind<'n>(names: impl Iterator<Item = &'n str>) -> Mistaken {
    for name in names {
        if name.ends_with(".npy") {
            return Mistaken::Numpy;
        }
        if name == "[Content_Types].xml" || name == "mimetype" || name.starts_with("META-INF/") {
            return Mistaken::Document;
        }
    }
    Mistaken::Zip
}

/// Whether bytes begin as a safetensors file does: the length of a header, and a JSON object or what may stand before
/// it.
pub(super) fn looks_like_safetensors(bytes: &[u8]) -> bool {
    // A longer header than any reader takes is not a length but text or another format's mark.
    cursor::le64(bytes, 0).is_some_and(|length| length <= 1 << 32)
        && bytes.get(8).is_some_and(|&byte| matches!(byte, b'{' | b' ' | b'\n' | b'\t' | b'\r'))
}
