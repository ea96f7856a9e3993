//! Every rule with an example.

use super::*;
use PromptSyntax::{A1111, ComfyUi, Compel, Plain};

/// The parts of a prompt as `text*weight`, words in angle brackets with an exclamation mark.
fn parts(syntax: PromptSyntax, text: &str, words: &[&str]) -> Vec<String> {
    let parsed = parse(text, syntax, words);
    let shown = parsed.parts.iter().map(|part| match part {
        Part::Text { text, weight: 1.0, .. } => text.clone(),
        Part::Text { text, weight, .. } => format!("{text}*{}", rounded(*weight)),
        Part::Word { word, weight: 1.0, .. } => format!("!{}", words[*word]),
        Part::Word { word, weight, .. } => format!("!{}*{}", words[*word], rounded(*weight)),
        Part::Break { .. } => "BREAK!".to_owned(),
    });
    shown.collect()
}

fn rounded(weight: f32) -> f64 {
    (f64::from(weight) * 1e5).round() / 1e5
}

fn notes(syntax: PromptSyntax, text: &str) -> Vec<String> {
    parse(text, syntax, &[""; 0]).notes.into_iter().map(|note| note.quoted).collect()
}

macro_rules! reads {
    ($syntax:expr, $text:expr, [$($part:expr),*]) => {
        assert_eq!(parts($syntax, $text, &[]), [$($part),*] as [&str; _], "{}", $text)
    };
}

// ---- A1111

#[test]
fn a1111_weighs_what_stands_in_brackets() {
    reads!(A1111, "normal text", ["normal text"]);
    reads!(A1111, "an (important) word", ["an ", "important*1.1", " word"]);
    reads!(A1111, "a [faint] word", ["a ", "faint*0.90909", " word"]);
    reads!(A1111, "a (hill:1.3)", ["a ", "hill*1.3"]);
    reads!(A1111, "", []);
    reads!(A1111, "()[](:1.3)", []);
}

#[test]
fn a1111_multiplies_what_is_nested() {
    let text = "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).";
    let expected = ["a ", "house*1.573", " *1.1", "on", " a *1.1", "hill*0.55", ", sun, *1.1", "sky*1.4641", ".*1.1"];
    assert_eq!(parts(A1111, text, &[]), expected);
}

#[test]
fn a1111_leaves_brackets_open_to_the_end() {
    reads!(A1111, "(unbalanced", ["unbalanced*1.1"]);
    reads!(A1111, "a [b (c", ["a ", "b *0.90909", "c"]);
    reads!(A1111, "a) b]", ["a) b]"]);
    reads!(A1111, "(a [b) c]", ["a *1.1", "b", " c*0.90909"]);
}

#[test]
fn a1111_has_weights_in_round_brackets_only() {
    reads!(A1111, "hill:1.2)", ["hill:1.2)"]);
    reads!(A1111, "[x:0.5]", ["x:0.5*0.90909"]);
    reads!(A1111, "[x:0.5)", ["x:0.5)*0.90909"]);
    reads!(A1111, "(16:9, x)", ["16:9, x*1.1"]);
    reads!(A1111, "at 10:30", ["at 10:30"]);
}

#[test]
fn a1111_allows_spaces_and_signs_in_weights() {
    reads!(A1111, "(hill: +1.3 ) (sun:-1)(sky:.5)(sea:2.)", ["hill*1.3", " ", "sun*-1", "sky*0.5", "sea*2"]);
    reads!(A1111, "(hill: - 1)", ["hill: - 1*1.1"]);
    reads!(A1111, "(hill:1e3)", ["hill:1e3*1.1"]);
}

#[test]
fn a1111_makes_one_text_of_neighbours_of_one_weight() {
    reads!(A1111, "(unnecessary)(parens)", ["unnecessaryparens*1.1"]);
    reads!(A1111, "(a:1.1)(b) c (d:1)", ["ab*1.1", " c d"]);
}

#[test]
fn a1111_resolves_escapes() {
    reads!(A1111, r"\(literal\]", ["(literal]"]);
    reads!(A1111, r"fox \(animal\) (\(:1.2)", ["fox (animal) ", "(*1.2"]);
    reads!(A1111, r"a\\(b)", [r"a\", "b*1.1"]);
    // Before anything else a backslash falls away.
    reads!(A1111, r"C:\fox", ["C:fox"]);
}

#[test]
fn a1111_ends_a_stretch_at_break() {
    reads!(A1111, "a BREAK b", ["a", "BREAK!", "b"]);
    reads!(A1111, "BREAK  BREAK\na", ["BREAK!", "BREAK!", "a"]);
    reads!(A1111, "a,BREAK,b", ["a,", "BREAK!", ",b"]);
    reads!(A1111, "BREAKFAST xBREAK _BREAK break", ["BREAKFAST xBREAK _BREAK break"]);
    reads!(A1111, "(a BREAK b:1.2) BREAK", ["a*1.2", "BREAK!", "b*1.2", "BREAK!"]);
}

#[test]
fn a1111_takes_a_weight_that_is_no_number_as_text() {
    reads!(A1111, "(x:1.2.3) y", ["x:1.2.3*1.1", " y"]);
    assert_eq!(notes(A1111, "(x:1.2.3) y"), [":1.2.3)"]);
    let beyond = format!("(x:1{})", "0".repeat(40));
    assert!(parts(A1111, &beyond, &[])[0].ends_with("0*1.1"));
    assert_eq!(notes(A1111, &beyond).len(), 1);
    // Without open brackets it is text anyway.
    assert_eq!(notes(A1111, "x:1.2)"), [""; 0]);
}

// ---- ComfyUI

#[test]
fn comfyui_weighs_what_stands_in_round_brackets() {
    reads!(ComfyUi, "an (important) word", ["an ", "important*1.1", " word"]);
    reads!(ComfyUi, "a (hill:1.3)", ["a ", "hill*1.3"]);
    reads!(ComfyUi, "(a: -0.5 ) (b:1e-1)", ["a*-0.5", " ", "b*0.1"]);
    reads!(ComfyUi, "(16:9, x) (hill:high)", ["16:9, x*1.1", " ", "hill:high*1.1"]);
    reads!(ComfyUi, "() a [b] BREAK c", [" a [b] BREAK c"]);
    reads!(ComfyUi, "(:1.3)", [":1.3*1.1"]);
}

#[test]
fn comfyui_takes_the_inner_number_instead_of_the_outer() {
    reads!(ComfyUi, "((a))", ["a*1.21"]);
    reads!(ComfyUi, "((a:1.3))", ["a*1.3"]);
    reads!(ComfyUi, "(a (b:0.5) (c) d:1.3)", ["a *1.3", "b*0.5", " *1.3", "c*1.43", " d*1.3"]);
}

#[test]
fn comfyui_resolves_escapes_of_round_brackets() {
    reads!(ComfyUi, r"fox \(animal\) \[x\] a\b", [r"fox (animal) \[x\] a\b"]);
    reads!(ComfyUi, r"(\(a\):1.2)", ["(a)*1.2"]);
    reads!(ComfyUi, r"\\(a)", [r"\(a)"]);
}

#[test]
fn comfyui_keeps_groups_apart() {
    reads!(ComfyUi, "(a)(b) (c:1)d", ["a*1.1", "b*1.1", " ", "c", "d"]);
}

#[test]
fn comfyui_has_its_own_way_with_brackets_without_a_partner() {
    reads!(ComfyUi, "(a b", ["(a b"]);
    reads!(ComfyUi, "a (b (c) d", ["a ", "(b (c) d"]);
    reads!(ComfyUi, "a) (b) c", ["a) (b) c"]);
    reads!(ComfyUi, "a) ((b))", ["a) (", "b*1.1", ")"]);
    // The bracket at the end is that of the outer pair.
    reads!(ComfyUi, "(a (b)", ["a *1.1", "(b*1.1"]);
    reads!(ComfyUi, "(((a))", ["(a*1.21"]);
}

#[test]
fn comfyui_takes_a_weight_beyond_numbers_as_text() {
    reads!(ComfyUi, "(x:inf)", ["x:inf*1.1"]);
    assert_eq!(notes(ComfyUi, "(x:inf)"), [":inf"]);
    reads!(ComfyUi, "(x:1e99)", ["x:1e99*1.1"]);
}

// ---- compel

#[test]
fn compel_weighs_words_by_signs() {
    reads!(Compel, "a red ball", ["a red ball"]);
    reads!(Compel, "a red+ ball", ["a", "red*1.1", "ball"]);
    reads!(Compel, "a red++ ball--", ["a", "red*1.21", "ball*0.81"]);
    reads!(Compel, "red- +blue well-known a+b", ["red*0.9", "+blue well-known a+b"]);
    reads!(Compel, "red,blue++,,sky", ["red,", "blue*1.21", ", ,sky"]);
    reads!(Compel, "red++blue", ["red*1.21", "blue"]);
    reads!(Compel, "red+-", ["red*1.1", "-"]);
    reads!(Compel, "+ - ++", ["+ - ++"]);
    reads!(Compel, "  ", []);
}

#[test]
fn compel_weighs_groups_by_signs_and_numbers() {
    reads!(Compel, "a (red ball)1.3", ["a", "red ball*1.3"]);
    reads!(
        Compel,
        "(red ball)++, (sky)0.5 (sun).6 (sea)2 (fog)1.",
        ["red ball*1.21", ",", "sky*0.5", "sun*0.6", "sea*2", "fog"]
    );
    reads!(Compel, "\"red ball\"- on", ["red ball*0.9", "on"]);
    reads!(Compel, "(red ball) on 1.3", ["red ball on 1.3"]);
    reads!(Compel, "(red) 1.3", ["red 1.3"]);
    reads!(Compel, "(a)1.5b (c).", ["a*1.5", "b c ."]);
}

#[test]
fn compel_multiplies_what_is_nested() {
    reads!(Compel, "((red)1.2 ball+)2", ["red*2.4", "ball*2.2"]);
    reads!(Compel, "(a (b, \"c d\"-)+ e.)++", ["a*1.21", "b ,*1.331", "c d*1.1979", "e .*1.21"]);
}

#[test]
fn compel_takes_as_text_what_is_not_a_group() {
    reads!(Compel, "(red ball", ["(red ball"]);
    reads!(Compel, "(red = ball)1.3 sky+", ["(red = ball)1.3", "sky*1.1"]);
    reads!(Compel, "(a (b+ + c)2 d)2 e+", ["(a (b+ + c)2 d)2", "e*1.1"]);
    reads!(Compel, "\"red ball\nsky\"+", ["\"red ball sky\"+"]);
    reads!(Compel, "(a \"b) c\")2", ["(a \"b) c\")2"]);
    reads!(Compel, "sky(red)1.3 red.++ )", ["sky(red)1.3 red.++ )"]);
    // And says so.
    assert_eq!(notes(Compel, "sky(red)1.3"), ["sky(red)1.3"]);
    assert_eq!(notes(Compel, "red.blue++ sky"), ["red.blue++"]);
}

#[test]
fn compel_resolves_escapes() {
    reads!(Compel, r#"fox \(animal\) (\"a\")2"#, ["fox (animal)", "\"a\"*2"]);
    // As there: other signs keep their backslash.
    reads!(Compel, r"C\+\+ (a\=b)2", [r"C\+\+", r"a\=b*2"]);
}

#[test]
fn compel_takes_a_weight_beyond_numbers_as_text() {
    let text = format!("(x)1{}", "0".repeat(40));
    assert_eq!(parts(Compel, &text, &[]), [format!("x 1{}", "0".repeat(40))]);
    assert_eq!(parse(&text, Compel, &[""; 0]).notes.len(), 1);
}

// ---- plain

#[test]
fn plain_text_is_text() {
    reads!(Plain, r"a (hill:1.3) \(b\) BREAK c++", [r"a (hill:1.3) \(b\) BREAK c++"]);
    reads!(Plain, "", []);
}

// ---- learned words

#[test]
fn a_learned_word_is_never_taken_apart() {
    for (name, around) in
        [("(x)", ""), ("S*", " "), ("<my word>", ""), ("word+", " "), ("a:1.2", " "), ("[b|c]", ""), ("BREAK", " ")]
    {
        let word = format!("!{name}");
        let text = format!("a{around}{name}{around}");
        let [before, behind] = [format!("a{around}"), around.to_owned()];
        for syntax in [A1111, ComfyUi, Plain] {
            let expected = [before.clone(), word.clone(), behind.clone()];
            let expected: Vec<String> = expected.into_iter().filter(|part| !part.is_empty()).collect();
            assert_eq!(parts(syntax, &text, &[name]), expected, "{syntax:?}");
        }
        for syntax in [A1111, ComfyUi] {
            assert_eq!(parts(syntax, &format!("({name}:1.3)"), &[name]), [format!("{word}*1.3")], "{syntax:?}");
            assert_eq!(parts(syntax, &format!("({name})"), &[name]), [format!("{word}*1.1")], "{syntax:?}");
        }
        assert_eq!(parts(Compel, &format!("a {name}"), &[name]), ["a".to_owned(), word.clone()]);
        assert_eq!(parts(Compel, &format!("({name})1.3"), &[name]), [format!("{word}*1.3")]);
        assert_eq!(parts(Compel, &format!("{name}++"), &[name]), [format!("{word}*1.21")]);
    }
    assert_eq!(parts(A1111, "((x))", &["(x)"]), ["!(x)*1.1"]);
}

#[test]
fn the_prefix_and_the_ending_belong_to_a_word() {
    for (syntax, text) in [
        (A1111, "(embedding:fox:1.2)"),
        (ComfyUi, "(Embedding:fox.pt:1.2)"),
        (Compel, "embedding:fox.safetensors ()1.2 (embedding:fox)1.2"),
    ] {
        assert_eq!(parts(syntax, text, &["fox"]).last().unwrap(), "!fox*1.2", "{text}");
    }
    assert_eq!(parts(Plain, "an embedding:FOX, here", &["fox"]), ["an ", "!fox", ", here"]);
}

#[test]
fn what_becomes_a_name_by_being_read_is_one() {
    assert_eq!(parts(A1111, r"a fox \(animal\), (b)", &["fox (animal)"]), ["a ", "!fox (animal)", ", ", "b*1.1"]);
    assert_eq!(parts(ComfyUi, r"(embedding:\(x\):1.2)", &["(x)"]), ["!(x)*1.2"]);
    // A hyphen is part of words, so that there is none at first.
    assert_eq!(parts(Compel, "a cat- here", &["cat"]), ["a", "!cat*0.9", "here"]);
    assert_eq!(parts(Plain, r"\(x\)", &["(x)"]), [r"\(x\)"]);
}

#[test]
fn a_number_is_a_weight_where_one_can_be() {
    assert_eq!(parts(A1111, "(hill:1.2) 1.2", &["1.2"]), ["hill*1.2", " ", "!1.2"]);
    assert_eq!(parts(ComfyUi, "(hill: 1.2 )", &["1.2"]), ["hill*1.2"]);
    assert_eq!(parts(Compel, "(hill)1.2", &["1.2"]), ["hill*1.2"]);
    assert_eq!(parts(Plain, "(hill:1.2)", &["1.2"]), ["(hill:", "!1.2", ")"]);
}

// ---- places

#[test]
fn every_byte_knows_where_it_was_typed() {
    let text = r"é \(a\) (b)[c]  BREAK (d:1.3) <x>, \(y\) (e";
    for syntax in PromptSyntax::ALL {
        let parsed = parse(text, syntax, &["<x>", "(y)"]);
        assert!(parsed.parts.len() > 2);
        for part in parsed.parts {
            match part {
                Part::Text { text: read, places, .. } => {
                    for (at, c) in read.char_indices().filter(|(_, c)| *c != ' ') {
                        assert!(text[places.in_prompt(at)..].starts_with(c), "{syntax:?}: {c} of {read:?}");
                    }
                }
                Part::Word { word: 0, at, .. } => assert_eq!(&text[at], "<x>"),
                Part::Word { at, .. } => assert_eq!(&text[at], r"(y\)"),
                Part::Break { at } => assert_eq!(&text[at], "BREAK"),
            }
        }
    }
}

// ---- what a language does not know

#[test]
fn what_a_language_does_not_know_is_noted() {
    for (syntax, text, expected) in [
        (A1111, "(a) [b] (c:1.3) BREAK d \\(e\\) \\[", vec![]),
        (A1111, "[a:b:0.5] [a|b] [c:10]", vec!["[a:b:0.5]", "[a|b]"]),
        (A1111, "A CAT AND A DOG", vec!["AND"]),
        (A1111, "<lora:x:1> <hypernet:y:1> {a|b} __c__", vec!["<lora:x:1>", "<hypernet:y:1>", "{a|b}", "__c__"]),
        (A1111, "red++ (a, b).blend(1, 2) cat::2 -\x2dar 1", vec!["red++", ").blend(", "-\x2dar"]),
        (A1111, "a (ball)1.3", vec!["(ball)1.3"]),
        (ComfyUi, "(a) ((b)) (c:1.3) \\(e\\)", vec![]),
        (ComfyUi, "a [b] c BREAK d AND {a|b} [a|b]", vec!["[b]", "BREAK", "AND", "{a|b}", "[a|b]"]),
        (Compel, "red++ (ball)1.3 \\(e\\)", vec![]),
        (Compel, "(\"a\", \"b\").blend(1, 0.8)", vec![").blend("]),
        (Compel, "a.swap(b) withLora(x, 1)", vec![".swap(", "withLora("]),
        (A1111, "a.swap(b) \"a\".swap(b)", vec!["\".swap("]),
        (Compel, "a (hill:1.3) ((b)) [c] BREAK", vec!["(hill:1.3)", "((b))", "[c]", "BREAK"]),
        (Plain, "(a:1.3) BREAK b", vec!["(a:1.3)", "BREAK"]),
    ] {
        assert_eq!(notes(syntax, text), expected, "{syntax:?}: {text}");
    }
    // Not what is in a name.
    assert_eq!(parse("a [b|c] <lora:x:1>", A1111, &["[b|c]", "<lora:x:1>"]).notes, []);
    assert_eq!(parse("a <lora:x:1>", A1111, &["x"]).notes.len(), 1);
}
