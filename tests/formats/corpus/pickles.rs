//! What a pickle asks for, and how it goes about it.

use super::Corpus;
use super::Outcome::{Refused, Several, Word};
use crate::build::*;

/// Rows 37 to 39 and 45: names that a pickle mentions.
pub(super) fn globals(corpus: &mut Corpus) {
    for name in [
        "os.system",
        "posix.system",
        "nt.system",
        "builtins.eval",
        "builtins.exec",
        "builtins.getattr",
        "__builtin__.eval",
        "runpy._run_code",
        "pip.main",
        "operator.attrgetter",
        "pkgutil.resolve_name",
        "subprocess.Popen",
        "shutil.rmtree",
        "webbrowser.open",
        "importlib.import_module",
        "socket.create_connection",
        "torch.hub.load",
        "idlelib.pyshell.main",
    ] {
        let (module, function) = name.rsplit_once('.').unwrap();
        let call = Pickle::new().global(module, function).text("true").raw(b"\x85R").end();
        corpus.pickle(37, name, call, Refused("Global", "likely malicious"));
        let inside = named(|pickle| pickle.global(module, function).raw(b"(").text("true").raw(b"tR"));
        corpus.pickle(37, format!("{name} as a value"), inside, Refused("Global", name));
    }
    corpus.pickle(
        45,
        "bytearray(2 GiB)",
        named(|pickle| pickle.global("builtins", "bytearray").int(0x7fff_ffff).raw(b"\x85R")),
        Refused("Global", "builtins.bytearray"),
    );
    corpus.pickle(
        37,
        "a class of nobody",
        named(|pickle| pickle.global("my.module", "Thing").raw(b")R")),
        Refused("Global", "save it again as safetensors"),
    );
    let newline = named(|pickle| pickle.raw(b"cos\x1b[31m\nsystem\x07\n").raw(b")R"));
    corpus.pickle(37, "control characters in a name", newline, Refused("Global", "os\\u{1b}[31m.system\\u{7}"));
    for (what, opcodes, says) in [
        ("INST", b"(ios\nsystem\n".as_slice(), "INST"),
        ("OBJ", b"(cos\nsystem\no", "asks for os.system"),
        ("EXT1", b"\x82\x01", "EXT1"),
        ("EXT2", b"\x83\x01\0", "EXT2"),
        ("EXT4", b"\x84\x01\0\0\0", "EXT4"),
        ("NEWOBJ_EX", b")})\x92", "NEWOBJ_EX"),
        ("OBJ of a known class", b"(ccollections\nOrderedDict\no", "OBJ"),
        ("STACK_GLOBAL os.system", b"\x8c\x02os\x8c\x06system\x93", "asks for os.system"),
    ] {
        let kind = if says.starts_with("asks") { "Global" } else { "Damaged" };
        corpus.pickle(38, what, named(|pickle| pickle.raw(opcodes)), Refused(kind, says));
    }
    let broken = valid();
    let broken = [&broken[..broken.len() - 1], b"\xff\xff"].concat();
    corpus.pickle(
        39,
        "a payload, then nonsense",
        [b"\x80\x02cposix\nsystem\n".as_slice(), b"\xff"].concat(),
        Refused("Global", "at byte 2"),
    );
    corpus.pickle(39, "a word, then nonsense", broken, Refused("Damaged", "at byte"));
}

/// Rows 40 to 48 and 62: what the opcodes do.
pub(super) fn opcodes(corpus: &mut Corpus) {
    let add =
        |corpus: &mut Corpus, row, what: &str, pickle: Pickle, outcome| corpus.pickle(row, what, pickle.end(), outcome);
    add(
        corpus,
        40,
        "memo slot that was never set",
        Pickle::new().raw(b"h\x07"),
        Refused("Damaged", "slot 7 was never set"),
    );
    add(corpus, 40, "memo slot beyond the bound", Pickle::new().raw(b"}r\xff\xff\xff\xff"), Refused("TooMuch", "memo"));
    let doubled = (0..60).fold(Pickle::new().raw(b")q\0"), |pickle, _| pickle.raw(b"h\0h\0\x86q\0"));
    add(corpus, 41, "memo bomb of 60 levels", doubled.clone(), Refused("Unsupported", "a list"));
    let hidden = doubled.raw(b"0").0;
    corpus.pickle(42, "POP", hidden, Refused("Damaged", "POP"));
    let hidden = (0..60).fold(Pickle::new().raw(b"}(").text("x").raw(b")q\0"), |pickle, _| pickle.raw(b"h\0\x85q\0"));
    add(corpus, 41, "an entry of 60 levels beside a word", hidden.text("<t>").plain().raw(b"u"), Word("<t>"));
    add(corpus, 42, "DUP", Pickle::new().raw(b"}2"), Refused("Damaged", "DUP"));
    let nested = (0..100_000).fold(Pickle::new(), |pickle, _| pickle.raw(b"]"));
    add(corpus, 43, "100,000 nested lists, open", nested, Refused("TooMuch", "stack"));
    let nested = (0..100_000).fold(Pickle::new().raw(b")"), |pickle, _| pickle.raw(b"\x85"));
    add(corpus, 43, "100,000 nested tuples", nested, Refused("TooMuch", "100 are accepted"));
    add(
        corpus,
        44,
        "a dict within itself",
        Pickle::new().raw(b"}q\0(").text("a").raw(b"h\0u"),
        Refused("Damaged", "cycle"),
    );
    let through = Pickle::new().raw(b"}q\0(").text("a").raw(b"]q\x01h\0au");
    add(corpus, 44, "a dict within a list within itself", through, Refused("Damaged", "cycle"));
    let late = Pickle::new().raw(b"]q\0]q\x01h\0ah\0h\x01a");
    add(corpus, 44, "a cycle that is closed late", late, Refused("Damaged", "cycle"));
    let long = Pickle::new().raw(b"X\xff\xff\xff\xffabc").0;
    corpus.pickle(46, "a text of 4 GiB", long, Refused("Damaged", "4294967295 bytes where"));
    add(
        corpus,
        47,
        "a key that is not UTF-8",
        Pickle::new().raw(b"}(X\x02\0\0\0\xff\xfe").plain().raw(b"u"),
        Refused("Damaged", "UTF-8"),
    );
    let surrogate = Pickle::new().raw(b"}(X\x03\0\0\0\xed\xa0\x80").plain().raw(b"u");
    add(corpus, 47, "a lone surrogate", surrogate, Refused("Damaged", "UTF-8"));
    let word = valid();
    corpus.pickle(48, "no STOP", word[..word.len() - 1].to_vec(), Refused("Cut", "without STOP"));
    corpus.pickle(48, "bytes after STOP", [&word, b"x".as_slice()].concat(), Refused("Ambiguous", "1 byte follow"));
    corpus.pickle(48, "no PROTO", word[2..].to_vec(), Word("<t>"));
    corpus.pickle(48, "nothing", Vec::new(), Refused("Cut", "without STOP"));
    add(corpus, 48, "STOP at once", Pickle::new(), Refused("Damaged", "nothing on the stack"));
    let endless = Pickle::new().raw(&b"}q\0h\0".repeat(600_000));
    add(corpus, 48, "too many opcodes", endless, Refused("TooMuch", "stack"));
    let busy = Pickle::new().raw(b"}").raw(&b"\x80\x02".repeat(1_000_001));
    add(corpus, 48, "a million opcodes that do nothing", busy, Refused("TooMuch", "opcodes"));
    let wide = Pickle::new().raw(b"]").raw(&b"(NNNNNNNNNNNNNNNNNNNNNNNNNNNNNNe".repeat(8000));
    add(corpus, 48, "a list of a quarter million", wide, Refused("TooMuch", "values in the pickle"));
    let two = Pickle::new().raw(b"}(").text("<a>").plain().text("<b>").plain().raw(b"u").end();
    corpus.pickle(62, "two tokens", two, Several("\"<a>\", \"<b>\""));
    let twice = Pickle::new().raw(b"}(").text("<a>").plain().text("<a>").plain().raw(b"u").end();
    corpus.pickle(62, "one token twice", twice, Refused("Ambiguous", "two entries"));
}
