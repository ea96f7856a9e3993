//! `pseudoword doctor --kernels`: every kernel in every form, as text and as SPIR-V.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::json;

use super::output::Output;
use crate::base::files::{existing, make_folder, remove, write_disposable};
use crate::gpu::spirv;
use crate::{Error, Result, ops};

/// Writes every form that may be launched into `folder`, and says how many files that made.
pub(super) fn run(folder: &Path, out: &mut Output) -> Result<()> {
    let before = files_of_an_earlier_time(folder)?;
    make_folder(folder)?;
    let (mut numbers, mut written) = (BTreeMap::new(), BTreeSet::new());
    for form in ops::kernel_forms() {
        let number: &mut usize = numbers.entry(form.name()).or_default();
        let name = format!("{}-{number}-u{}", form.name(), form.uniform_binding());
        *number += 1;
        let text = form.text();
        let headed = format!("// {name}: {}\n\n{text}", form.description());
        for (ending, bytes) in [("wgsl", headed.into_bytes()), ("spv", spirv(&text)?)] {
            let file = format!("{name}.{ending}");
            write_disposable(&folder.join(&file), &bytes)?;
            written.insert(file);
        }
    }
    for file in before.difference(&written) {
        remove(&folder.join(file))?;
    }
    let (kernels, forms, files) = (numbers.len(), numbers.values().sum::<usize>(), written.len());
    let place = folder.display();
    let text = format!("{files} files in {place}: {kernels} kernels in {forms} forms, each as WGSL and as SPIR-V");
    out.result(
        &[text],
        &json!({"event": "kernels", "folder": folder.display().to_string(), "kernels": kernels, "forms": forms, "files": files}),
    )
}

/// The files that an earlier call has left in the folder, whole or cut short. A folder in which anything else lies is left
/// as it is.
///
/// # Errors
/// [`Error::Usage`] if it holds other files; [`Error::Read`] if it cannot be listed; [`Error::Write`] if it is a file.
fn files_of_an_earlier_time(folder: &Path) -> Result<BTreeSet<String>> {
    let mut files = BTreeSet::new();
    if existing(folder)? != folder {
        return Ok(files);
    }
    let failed = |source| Error::Read { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if !is_a_kernel(&name) {
            let reason =
                format!("{} holds other files, such as {name}: name an empty folder for the kernels", folder.display());
            return Err(Error::Usage(reason));
        }
        files.insert(name);
    }
    Ok(files)
}

/// Whether a file has a name such as `linear-12-u4.spv`.
fn is_a_kernel(file: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((name, "wgsl" | "spv")) = file.rsplit_once('.') else { return false };
    let Some((rest, binding)) = name.rsplit_once("-u") else { return false };
    rest.rsplit_once('-').is_some_and(|(_, number)| is_number(number)) && is_number(binding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_kernels_are_taken_for_them() {
        for name in ["linear-0-u4.wgsl", "attention_backward_keys-12-u7.spv"] {
            assert!(is_a_kernel(name), "{name}");
        }
        for name in
            ["linear-0-u4.txt", "linear.wgsl", "linear-x-u4.wgsl", "linear-0-u.wgsl", "notes.spv", "-u4.spv", ""]
        {
            assert!(!is_a_kernel(name), "{name}");
        }
    }
}
