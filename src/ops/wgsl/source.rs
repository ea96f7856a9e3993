//! The texts in `shaders/`: one table of the files, and how a file and the parts that it imports become one text.
//!
//! A line such as `//#import shared/tile` names a part that a file is made of; to WGSL it is a comment. `{{ name }}` is
//! filled in later, by [`fill`].

use thiserror::Error;

/// A file in `shaders/`.
#[derive(Debug, Clone, Copy)]
struct ShaderFile {
    /// Where it is, without its ending: what imports call it.
    path: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($($path:literal,)*) => {
        &[$(ShaderFile { path: $path, text: include_str!(concat!("../../../shaders/", $path, ".wgsl")) },)*]
    };
}

/// Every file in `shaders/`; a test holds it against the folder.
static FILES: &[ShaderFile] = files![
    "activation",
    "activation_backward",
    "attention",
    "attention_backward_keys",
    "attention_backward_keys_blocks",
    "attention_backward_queries",
    "attention_backward_queries_blocks",
    "attention_blocks",
    "blend",
    "conv2d",
    "conv2d_backward",
    "conv2d_backward_blocks",
    "conv2d_backward_matrices",
    "conv2d_blocks",
    "conv2d_matrices",
    "geglu",
    "geglu_backward",
    "group_moments",
    "group_moments_joined",
    "group_norm",
    "group_norm_backward",
    "group_norm_backward_spans",
    "group_norm_joined",
    "group_norm_joined_backward",
    "group_norm_joined_backward_spans",
    "group_norm_joined_spans",
    "group_norm_known",
    "group_norm_spans",
    "group_sums",
    "layer_norm",
    "layer_norm_backward",
    "linear",
    "linear_activated",
    "linear_activated_blocks",
    "linear_activated_matrices",
    "linear_blocks",
    "linear_geglu",
    "linear_geglu_matrices",
    "linear_matrices",
    "linear_normed",
    "linear_normed_activated",
    "linear_normed_activated_matrices",
    "linear_normed_geglu",
    "linear_normed_geglu_matrices",
    "linear_normed_matrices",
    "linear_slope",
    "linear_slope_blocks",
    "linear_slope_matrices",
    "loss",
    "shared/activated",
    "shared/activation",
    "shared/attention_blocks",
    "shared/attention_matrices",
    "shared/attention_queries",
    "shared/attention_rows",
    "shared/attention_sizes",
    "shared/attention_tile",
    "shared/block",
    "shared/conv2d",
    "shared/conv2d_backward",
    "shared/conv2d_sizes",
    "shared/geglu",
    "shared/gelu",
    "shared/group",
    "shared/group_alone",
    "shared/group_backward",
    "shared/group_backward_alone",
    "shared/group_backward_spans",
    "shared/group_emit",
    "shared/group_emit_two",
    "shared/group_gradient",
    "shared/group_join",
    "shared/group_moments",
    "shared/group_norm",
    "shared/group_of_one",
    "shared/group_of_two",
    "shared/group_spans",
    "shared/left_normed",
    "shared/left_normed_matrices",
    "shared/left_plain",
    "shared/left_plain_matrices",
    "shared/linear",
    "shared/linear_block",
    "shared/linear_columns",
    "shared/linear_emit",
    "shared/linear_emit_activated",
    "shared/linear_emit_pair",
    "shared/linear_emit_slope",
    "shared/linear_geglu",
    "shared/linear_geglu_matrices",
    "shared/linear_tile",
    "shared/linear_tile_matrices",
    "shared/matrices",
    "shared/matrices_finish",
    "shared/matrices_plain",
    "shared/read_f16x1",
    "shared/read_f16x4",
    "shared/read_f32x1",
    "shared/read_f32x4",
    "shared/read_none",
    "shared/read_q8x4",
    "shared/row",
    "shared/scale",
    "shared/settled",
    "shared/strip_f16",
    "shared/strip_f32",
    "shared/tile",
    "shared/tile_finish",
    "shared/totals",
    "shared/write_f32x1",
    "shared/write_f32x4",
    "shares",
    "widen",
];

/// How a line begins that names a part.
const IMPORT: &str = "//#import ";

/// Why a file and its parts make no text.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum ImportError {
    #[error("{by} imports {path}, which is not a file in shaders/")]
    Unknown { by: String, path: String },
    #[error("shaders import each other: {}", .0.join(" -> "))]
    Circular(Vec<String>),
}

/// The text of some files, after the parts that they import: each once, and what it needs before it.
pub(super) fn whole(paths: &[&str]) -> Result<String, ImportError> {
    assembled(FILES, paths)
}

fn assembled(files: &[ShaderFile], paths: &[&str]) -> Result<String, ImportError> {
    let mut assembly = Assembly { files, done: Vec::new(), open: Vec::new(), text: String::new() };
    paths.iter().try_for_each(|path| assembly.add(path))?;
    Ok(assembly.text)
}

/// A text that is being put together.
struct Assembly<'a> {
    files: &'a [ShaderFile],
    /// The files whose text is there already.
    done: Vec<&'a str>,
    /// The files whose imports are being added, each imported by the one before it.
    open: Vec<&'a str>,
    text: String,
}

impl Assembly<'_> {
    fn add(&mut self, path: &str) -> Result<(), ImportError> {
        if self.done.contains(&path) {
            return Ok(());
        }
        if let Some(first) = self.open.iter().position(|open| *open == path) {
            return Err(ImportError::Circular(
                self.open[first..].iter().copied().chain([path]).map(str::to_owned).collect(),
            ));
        }
        let Some(file) = self.files.iter().find(|file| file.path == path) else {
            let by = self.open.last().copied().unwrap_or("a kernel").to_owned();
            return Err(ImportError::Unknown { by, path: path.to_owned() });
        };
        self.open.push(file.path);
        for part in file.text.lines().filter_map(|line| line.strip_prefix(IMPORT)) {
            self.add(part.trim())?;
        }
        self.open.pop();
        self.done.push(file.path);
        for line in file.text.lines().filter(|line| !line.starts_with(IMPORT)) {
            self.text += line;
            self.text.push('\n');
        }
        Ok(())
    }
}

/// Numbers in lines that are repeated, and the constants that say how often.
const REPEATED: [(&str, &str); 6] = [
    ("{{ row }}", "rows"),
    ("{{ quad }}", "quads"),
    ("{{ rest }}", "rests"),
    ("{{ column }}", "columns"),
    ("{{ left_load }}", "left_loads"),
    ("{{ right_load }}", "right_loads"),
];

/// How lines begin that WGSL wants before all others.
const DIRECTIVES: [&str; 2] = ["enable ", "diagnostic("];

/// The text with its directives at the beginning, whichever part they are in.
pub(super) fn directives_first(text: &str) -> String {
    let is_directive = |line: &&str| DIRECTIVES.iter().any(|directive| line.starts_with(directive));
    let (directives, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(is_directive);
    directives.into_iter().chain(rest).flat_map(|line| [line, "\n"]).collect()
}

/// The text with `{{ name }}` replaced by the constant of that name.
///
/// Before that, a line with `{{ row }}` in it is repeated for each number below the constant `rows`, and so on
/// ([`REPEATED`]).
pub(super) fn fill(mut text: String, constants: &[(&'static str, u32)]) -> String {
    for (number, count) in REPEATED {
        if let Some((_, count)) = constants.iter().find(|(name, _)| *name == count) {
            text = repeated(&text, number, *count);
        }
    }
    let replaced =
        |text: String, (name, value): &(&str, u32)| text.replace(&format!("{{{{ {name} }}}}"), &value.to_string());
    constants.iter().fold(text, replaced)
}

/// The text with each line that has `number` in it once for each number below `count`.
fn repeated(text: &str, number: &str, count: u32) -> String {
    let mut repeated = String::with_capacity(2 * text.len());
    for line in text.lines() {
        let count = if line.contains(number) { count } else { 1 };
        for i in 0..count {
            repeated += &line.replace(number, &i.to_string());
            repeated.push('\n');
        }
    }
    repeated
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_table_has_every_file_of_the_folder() {
        let shaders = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
        let mut found = BTreeSet::new();
        for folder in [shaders.clone(), shaders.join("shared")] {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.extension().is_some_and(|extension| extension == "wgsl") {
                    let name = path.with_extension("");
                    let name = name
                        .strip_prefix(&shaders)
                        .unwrap()
                        .components()
                        .map(|part| part.as_os_str().to_str().unwrap());
                    found.insert(name.collect::<Vec<_>>().join("/"));
                }
            }
        }
        let listed: BTreeSet<String> = FILES.iter().map(|file| file.path.to_owned()).collect();
        assert_eq!(found, listed, "shaders/ and the table in ops/wgsl/source.rs");
        assert_eq!(listed.len(), FILES.len(), "a file is listed twice");
    }

    const TEXTS: &[ShaderFile] = &[
        ShaderFile { path: "kernel", text: "//#import shared/a\n//#import shared/b\nkernel" },
        ShaderFile { path: "shared/a", text: "// What a is for.\n//#import shared/c\na" },
        ShaderFile { path: "shared/b", text: "//#import shared/c\n//#import shared/a\nb" },
        ShaderFile { path: "shared/c", text: "c\n" },
        ShaderFile { path: "lost", text: "//#import shared/none\n" },
        ShaderFile { path: "circle", text: "//#import one\n" },
        ShaderFile { path: "one", text: "//#import two\n" },
        ShaderFile { path: "two", text: "//#import one\n" },
    ];

    #[test]
    fn each_part_is_there_once_and_after_what_it_needs() {
        assert_eq!(assembled(TEXTS, &["kernel"]).unwrap(), "c\n// What a is for.\na\nb\nkernel\n");
        assert_eq!(assembled(TEXTS, &["shared/b"]).unwrap(), "c\n// What a is for.\na\nb\n");
        assert_eq!(assembled(TEXTS, &["shared/c", "kernel"]).unwrap(), "c\n// What a is for.\na\nb\nkernel\n");
    }

    #[test]
    fn imports_that_are_unknown_or_go_round_in_a_circle_are_errors() {
        let message = |path| assembled(TEXTS, &[path]).unwrap_err().to_string();
        assert_eq!(message("lost"), "lost imports shared/none, which is not a file in shaders/");
        assert_eq!(message("nowhere"), "a kernel imports nowhere, which is not a file in shaders/");
        assert_eq!(message("circle"), "shaders import each other: one -> two -> one");
    }

    #[test]
    fn every_file_can_be_put_together_with_its_parts() {
        for file in FILES {
            whole(&[file.path]).unwrap();
        }
    }

    #[test]
    fn directives_come_first() {
        let text = "a\nenable f16;\nb enable\ndiagnostic(off, x);\n";
        assert_eq!(directives_first(text), "enable f16;\ndiagnostic(off, x);\na\nb enable\n");
    }

    #[test]
    fn numbers_are_filled_in_and_lines_repeated() {
        let text = "let a{{ row }}_{{ quad }} = {{ lanes }}u;\nlet b{{ quad }};\nrest".to_owned();
        let filled = fill(text, &[("lanes", 8), ("rows", 2), ("quads", 1)]);
        assert_eq!(filled, "let a0_0 = 8u;\nlet a1_0 = 8u;\nlet b0;\nrest\n");
    }
}
