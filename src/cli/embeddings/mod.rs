//! `pseudoword embeddings`: the embeddings that the user has added, usable by name in prompts; and what else is done
//! with embedding files: `pseudoword inspect` and `pseudoword convert`.

mod came_of_it;
pub mod convert;
pub mod inspect;
mod learned_on;
pub mod read;

use std::path::Path;
use std::rc::Rc;

use serde_json::json;

use super::args::{EmbeddingsCommand, InspectArgs, Shared};
use super::locate;
use super::output::Output;
use super::wording::{refused, renamed};
use crate::base::files;
use crate::checkpoint::{self, Family};
use crate::embedding::{self, Embedding, Layout, Refusal};
use crate::event::{Event, WarningCode};
use crate::model::OpenedModel;
use crate::shelf::Addition;
use crate::source::Memory;
use crate::source::fetch::EmbeddingFile;
use crate::text::check_token;
use crate::text::name::refused as name_refused;
use crate::{Error, Result};

/// The embedding in a file of any format.
pub fn read_file(path: &Path) -> Result<Embedding> {
    let bytes = files::read(path)?;
    let file = path.display().to_string();
    Embedding::read(&bytes, &file, None).map_err(|refusal| Error::BadFile { file, reason: refusal.to_string() })
}

/// The embedding in a file or folder on this machine, with what lies beside it and belongs to it, and what should be known of it.
pub fn read_whole(path: &Path) -> Result<(Embedding, Vec<Event>)> {
    let file = EmbeddingFile::here(path, &path.display().to_string())?;
    let bad = |refusal: Refusal| Error::BadFile { file: file.origin.clone(), reason: refusal.to_string() };
    let word = read::read(&file)?.reading.choose(None).map_err(bad)?;
    let noted = |note: &embedding::Note| Event::warning(WarningCode::EmbeddingFile, format!("{}: {note}", file.origin));
    let notes = word.notes.iter().map(noted).collect();
    let token = read::token_of(&word, &file).map(str::to_owned);
    Ok((word.into_embedding(token.as_deref()).map_err(bad)?, notes))
}

/// Adds, lists, removes or shows.
pub async fn run(command: &EmbeddingsCommand, shared: &Shared, out: &mut Output) -> Result<()> {
    match command {
        EmbeddingsCommand::Add { source, overwrite } => add(source, *overwrite, shared, out).await,
        EmbeddingsCommand::List => list(out),
        EmbeddingsCommand::Remove { token } => {
            let place = locate::shelf()?.remove(token)?.display().to_string();
            out.result(
                &[format!("{token} was removed; its file is now {place}")],
                &json!({"event": "removed", "token": token, "path": place}),
            )
        }
        EmbeddingsCommand::Show { token } => {
            locate::shelf()?.expect(token)?;
            inspect::run(&InspectArgs { sources: vec![token.clone()] }, shared, out).await
        }
    }
}

async fn add(argument: &str, overwrite: bool, shared: &Shared, out: &mut Output) -> Result<()> {
    let (source, name) = locate::source_and_name(argument);
    let file = locate::embedding(source, shared, out).await?;
    let command = |typed: &str| format!("pseudoword embeddings add {typed}");
    let bad = |refusal: embedding::Refusal| refused(&refusal, &file.origin, source, command);
    let opened = read::read(&file)?;
    // One of several, or in two files.
    let taken_out = opened.reading.embeddings().len() > 1 || opened.other.is_some();
    let word = opened.reading.choose(name).map_err(bad)?;
    let token =
        name.or_else(|| read::token_of(&word, &file)).ok_or(embedding::Refusal::Unnamed).map_err(bad)?.to_owned();
    let otherwise = |error| renamed(error, "pseudoword embeddings add", source);
    check_token(&token).map_err(otherwise)?;
    check_for_clip(&token).await.map_err(otherwise)?;
    let (widths, family) = (word.widths(), word.family());
    // As it is, so that nothing in it is lost. One of several is taken out, two files become one, and one that is renamed is
    // written again: the file would still call it by its old name.
    let renamed = read::token_of(&word, &file) != Some(token.as_str());
    for note in &word.notes {
        out.event(&Event::warning(WarningCode::EmbeddingFile, format!("{}: {note}", file.origin)))?;
    }
    let stem = read::stem_of(&file, name).filter(|_| !taken_out);
    let (bytes, name) = if taken_out || renamed {
        let word = word.into_embedding(Some(&token)).map_err(bad)?;
        let bytes = embedding::write(&word, Layout::Safetensors).map_err(|refusal| match refusal {
            Refusal::Unwritable { name: true, .. } => {
                let reason = "nothing can be kept under it, since in files of embeddings it means something else";
                otherwise(name_refused(&token, reason))
            }
            refusal => bad(refusal),
        })?;
        (bytes, "word.safetensors".to_owned())
    } else {
        (opened.bytes, file.name.clone())
    };
    let shelf = locate::shelf()?;
    let (path, outcome) = match shelf.add(&token, &bytes, &name, overwrite).map_err(replaceable).map_err(otherwise)? {
        Addition::New(path) => (path, "was added".to_owned()),
        Addition::Same(path) => (path, "is already there".to_owned()),
        Addition::Replaced { path, old } => (path, format!("was added; what it replaced is {}", old.display())),
    };
    shelf.call_by_file(&token, stem)?;
    let path = path.display().to_string();
    out.result(
        &[format!("{token} {outcome}: {path} ({family})")],
        &json!({
            "event": "kept", "token": token, "path": path, "width": widths.first(), "widths": widths, "family": family,
        }),
    )
}

/// The refusal of a name that is taken, with the other way out.
fn replaceable(error: Error) -> Error {
    match error {
        Error::TokenTaken { token, reason, suggestion, instead } => {
            let reason = format!("{reason} (with --overwrite this one takes its place)");
            Error::TokenTaken { token, reason, suggestion, instead }
        }
        error => error,
    }
}

/// Refuses a name that prompts of no model with CLIP's vocabulary could have.
async fn check_for_clip(token: &str) -> Result<()> {
    let mut clip = Memory::new("CLIP");
    for (path, bytes) in checkpoint::family_files(Family::Sd1)? {
        clip.insert(path, bytes);
    }
    OpenedModel::read(Rc::new(clip)).await?.tokenizers.first().check_word(token)
}

fn list(out: &mut Output) -> Result<()> {
    let shelf = locate::shelf()?;
    let contents = shelf.list()?;
    if contents.embeddings.is_empty() {
        out.message(&format!(
            "there are no embeddings in {}; add one with `pseudoword embeddings add FILE|URL|REPO`",
            shelf.folder().display()
        ));
    }
    for kept in contents.embeddings {
        let (token, path) = (kept.token.clone(), kept.path.display().to_string());
        match read::read(&locate::stored_file(kept)) {
            Ok(opened) => {
                for word in opened.reading.embeddings() {
                    let sizes: Vec<String> = word
                        .encoders
                        .iter()
                        .map(|vectors| format!("{} x {}", vectors.count(), vectors.width))
                        .collect();
                    let family = word.family();
                    out.result(
                        &[format!("{token:<24} {:<12} {family}", sizes.join(" + "))],
                        &json!({"event": "word", "token": token, "sizes": sizes, "family": family, "path": path}),
                    )?;
                }
            }
            // The others are listed all the same.
            Err(error) => out.event(&Event::warning(WarningCode::UnreadableEmbedding, error.to_string()))?,
        }
    }
    for other in contents.others {
        out.event(&Event::warning(
            WarningCode::NotAnEmbedding,
            format!("{} is not used: it is not named like an embedding", other.display()),
        ))?;
    }
    Ok(())
}
