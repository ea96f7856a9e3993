//! The pickles of `.bin` and `.pt` files, by hand: the fewest opcodes, no memo, nothing that any reader's list lacks.

use super::super::Embedding;

/// A pickle in the making; each method adds opcodes.
struct Pickle(Vec<u8>);

impl Pickle {
    /// PROTO 2.
    fn new() -> Self {
        Self(vec![0x80, 2])
    }

    fn op(&mut self, opcode: u8) -> &mut Self {
        self.0.push(opcode);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.0.push(b'X');
        self.0.extend(length.to_le_bytes());
        self.0.extend(text.as_bytes());
        self
    }

    /// A whole number, as short as Python writes it.
    fn int(&mut self, value: i32) -> &mut Self {
        let bytes = value.to_le_bytes();
        match (u8::try_from(value), u16::try_from(value)) {
            (Ok(byte), _) => self.0.extend([b'K', byte]),
            (_, Ok(short)) => {
                self.0.push(b'M');
                self.0.extend(short.to_le_bytes());
            }
            _ => {
                self.0.push(b'J');
                self.0.extend(bytes);
            }
        }
        self
    }

    /// A count; those of an embedding fit 31 bits (`limits`).
    fn count(&mut self, value: usize) -> &mut Self {
        self.int(i32::try_from(value).unwrap_or(i32::MAX))
    }

    fn global(&mut self, module: &str, name: &str) -> &mut Self {
        self.0.extend(format!("c{module}\n{name}\n").into_bytes());
        self
    }

    /// A text, or None.
    fn maybe(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(text),
            None => self.op(b'N'),
        }
    }

    /// `_rebuild_tensor_v2(('storage', FloatStorage, '0', 'cpu', n), 0, (K, D), (D, 1), False, OrderedDict())`.
    fn tensor(&mut self, word: &Embedding) -> &mut Self {
        let (vectors, width) = (word.vectors(), word.width());
        self.global("torch._utils", "_rebuild_tensor_v2").op(b'(');
        self.op(b'(').text("storage").global("torch", "FloatStorage").text("0").text("cpu");
        self.count(word.rows().len()).op(b't').op(b'Q');
        self.int(0);
        self.count(vectors).count(width).op(0x86);
        self.count(width).int(1).op(0x86);
        self.op(0x89);
        self.global("collections", "OrderedDict").op(b')').op(b'R');
        self.op(b't').op(b'R')
    }
}

/// `{token: tensor}`.
pub(super) fn diffusers(word: &Embedding) -> Vec<u8> {
    let mut pickle = Pickle::new();
    pickle.op(b'}').op(b'(').text(&word.token).tensor(word).op(b'u').op(b'.');
    pickle.0
}

/// A1111's dict (`Embedding.save`). 265 is the token `*`, which the first implementation replaced; readers check that
/// it is there.
pub(super) fn a1111(word: &Embedding) -> Vec<u8> {
    let fact = |key: &str| word.metadata.get(key).map(String::as_str).filter(|text| !text.is_empty());
    let step = fact("steps").and_then(|steps| steps.parse::<i32>().ok()).filter(|step| *step >= 0);
    let mut pickle = Pickle::new();
    pickle.op(b'}').op(b'(');
    pickle.text("string_to_token").op(b'}').op(b'(').text("*").int(265).op(b'u');
    pickle.text("string_to_param").op(b'}').op(b'(').text("*").tensor(word).op(b'u');
    pickle.text("name").text(&word.token);
    pickle.text("step");
    match step {
        Some(step) => pickle.int(step),
        None => pickle.op(b'N'),
    };
    // Ten digits of the hash of a whole file. Ours is of the U-Net and would be another model's there.
    pickle.text("sd_checkpoint").maybe(fact("checkpoint-hash").map(|hash| hash.get(..10).unwrap_or(hash)));
    pickle.text("sd_checkpoint_name").maybe(fact("base-model"));
    pickle.op(b'u').op(b'.');
    pickle.0
}
