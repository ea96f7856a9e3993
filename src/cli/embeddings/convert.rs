//! `pseudoword convert`: an embedding from any format into another.

use std::path::Path;

use super::read;
use crate::base::files;
use crate::cli::args::{ConvertArgs, Shared};
use crate::cli::locate;
use crate::cli::output::Output;
use crate::cli::wording::{quoted, refused, unwritable};
use crate::embedding::{self, Layout, NAMES_FILE};
use crate::event::{Event, WarningCode};
use crate::{Error, Result};

/// Writes an embedding in the layout that was asked for.
pub async fn run(args: &ConvertArgs, shared: &Shared, out: &mut Output) -> Result<()> {
    let layout = layout(&args.output, args.format)?;
    check_free(&args.output, args.overwrite)?;
    files::check_writable(files::folder_of(&args.output))?;
    let (source, name) = locate::source_and_name(&args.input);
    let file = locate::embedding(source, shared, out).await?;
    let command = |typed: &str| format!("pseudoword convert {typed} {}", quoted(&args.output.display().to_string()));
    let bad = |refusal: embedding::Refusal| refused(&refusal, &file.origin, source, command);
    let word = read::read(&file)?.reading.choose(name).map_err(bad)?;
    for note in &word.notes {
        out.event(&Event::warning(WarningCode::EmbeddingFile, format!("{}: {note}", file.origin)))?;
    }
    let token = name.or_else(|| read::token_of(&word, &file)).map(str::to_owned);
    let word = word.into_embedding(token.as_deref()).map_err(bad)?;
    let written = embedding::write_files(&word, layout, &files::file_name(&args.output));
    let written = written.map_err(|refusal| Error::BadFile {
        file: file.origin.clone(),
        reason: unwritable(&refusal, &word.token, source, command),
    })?;
    let written: Vec<_> = written.into_iter().map(|(name, bytes)| (args.output.with_file_name(name), bytes)).collect();
    check_names_are_its_own(&args.output)?;
    written.iter().try_for_each(|(path, _)| check_free(path, args.overwrite))?;
    if !layout.keeps_metadata() && !word.metadata.is_empty() {
        let lost: Vec<&str> = word.metadata.keys().map(String::as_str).collect();
        let text = format!("this format has no room for metadata: {} left out", lost.join(", "));
        out.event(&Event::warning(WarningCode::MetadataLeftOut, text))?;
    }
    files::make_folder(files::folder_of(&args.output))?;
    for (path, bytes) in &written {
        files::write_whole(path, bytes)?;
        out.event(&Event::Saved { what: "embedding".to_owned(), path: path.display().to_string() })?;
        out.path(path)?;
    }
    Ok(())
}

/// Refuses to write over a file that the user did not give up.
fn check_free(path: &Path, overwrite: bool) -> Result<()> {
    if path.exists() && !overwrite {
        // Programs expect it to be called so.
        let fixed = files::file_name(path) == NAMES_FILE;
        let other = if fixed { "write into another folder" } else { "give another name" };
        return Err(Error::Usage(format!("{} exists already: {other}, or --overwrite", path.display())));
    }
    Ok(())
}

/// Refuses to replace the file with the names of what is in a `.pti` where another lies beside it, whose names it may have:
/// giving up the one that is called `output` gives up nothing of that one.
fn check_names_are_its_own(output: &Path) -> Result<()> {
    let folder = files::folder_of(output);
    let is_pti = |path: &Path| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("pti"));
    if !is_pti(output) || !folder.join(NAMES_FILE).exists() {
        return Ok(());
    }
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    match names.filter(|path| is_pti(path) && path.file_name() != output.file_name()).min() {
        Some(other) => Err(Error::Usage(format!(
            "{} beside {} says what is in {}, and would be replaced: write into another folder",
            NAMES_FILE,
            output.display(),
            other.display()
        ))),
        None => Ok(()),
    }
}

/// The layout that is asked for, or that the file's name promises.
fn layout(path: &Path, asked: Option<Layout>) -> Result<Layout> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    // The first of those with this extension is what the extension alone promises.
    let promised = Layout::ALL.into_iter().find(|layout| layout.extension() == extension);
    let Some(layout) = asked.or(promised) else {
        let text = format!(
            "{}: call the file .safetensors (diffusers), .bin (diffusers), .pt (A1111) or .pti (Replicate), or give --format {}",
            path.display(),
            Layout::ALL.map(Layout::key).join("|")
        );
        return Err(Error::Usage(text));
    };
    if extension != layout.extension() {
        let text = format!("{}: programs that read {} expect .{}", path.display(), layout.name(), layout.extension());
        return Err(Error::Usage(text));
    }
    Ok(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides_unless_a_format_is_asked_for() {
        let of = |path: &str, asked| layout(Path::new(path), asked).ok();
        assert_eq!(of("a.safetensors", None), Some(Layout::Safetensors));
        assert_eq!(of("a.BIN", None), Some(Layout::Bin));
        assert_eq!(of("a.pt", None), Some(Layout::A1111));
        assert_eq!(of("a.safetensors", Some(Layout::Kohya)), Some(Layout::Kohya));
        assert_eq!((of("a.pti", None), of("a.pt", Some(Layout::Replicate))), (Some(Layout::Replicate), None));
        assert_eq!(of("a.pt", Some(Layout::Kohya)), None);
        assert_eq!(of("a", None), None);
    }
}
