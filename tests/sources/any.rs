//! Whatever is typed or sent, something is understood or refused, and nothing leads out of its place.

use std::path::{Component, Path};

use proptest::prelude::*;
use pseudoword::source::address::{Address, is_safe_path, split_name};
use pseudoword::source::url::Url;

/// Text of the pieces that addresses are made of, and anything else.
fn typed() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "https://",
        "http://",
        "hf://",
        "huggingface.co",
        "/",
        "//",
        "@",
        ":",
        "?",
        "#",
        "=",
        "..",
        ".",
        "%2F",
        "%2e",
        "%",
        "owner",
        "name",
        "main",
        "blob",
        "resolve",
        "refs/pr/1",
        "datasets",
        "\\",
        "[::1]",
        "127.0.0.1",
        "ü",
        " ",
        "\0",
        "x.bin",
    ]);
    prop_oneof![prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat()), any::<String>()]
}

proptest! {
    #[test]
    fn addresses_are_understood_or_refused(text in typed()) {
        let endpoint = Url::parse("https://huggingface.co").unwrap();
        match Address::parse(&text, &endpoint, &|_| false) {
            Ok(Address::Hub(address)) => {
                // What is shown can be typed again and means the same.
                let again = Address::parse(&format!("hf://{address}"), &endpoint, &|_| false).unwrap();
                prop_assert_eq!(again, Address::Hub(address.clone()));
                for part in [&address.repo.id, &address.revision].into_iter().chain(&address.path) {
                    let inside = Path::new(part).components().all(|part| matches!(part, Component::Normal(_)));
                    prop_assert!(inside, "{part}");
                }
            }
            Ok(Address::Url(url)) => {
                prop_assert_eq!(Url::parse(&url.to_string()).unwrap(), url);
            }
            Ok(Address::Path(_)) => prop_assert!(false, "nothing exists here"),
            Err(problem) => prop_assert!(!problem.to_string().is_empty()),
        }
        let (source, name) = split_name(&text, &|_| false);
        prop_assert!(source.len() + name.map_or(0, |name| name.len() + 1) == text.len());
    }

    #[test]
    fn redirections_are_understood_or_refused(location in typed()) {
        if let Ok(to) = Url::parse("https://hub.example/a/b?c").unwrap().join(&location) {
            prop_assert_eq!(Url::parse(&to.to_string()).unwrap(), to);
        }
    }

    #[test]
    fn safe_paths_stay_inside(path in typed()) {
        if is_safe_path(&path) {
            prop_assert!(Path::new(&path).components().all(|part| matches!(part, Component::Normal(_))));
        }
    }
}
