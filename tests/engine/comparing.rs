//! Prompts without their embeddings, as pictures are compared with.

use pseudoword::config::PromptSyntax;
use pseudoword::embedding::Embedding;

use crate::fixtures::{cpu, open};

#[test]
fn an_embedding_makes_way_for_what_it_started_from() {
    let mut session = open("tiny-sd1", &cpu(), None);
    let width = session.rows().width;
    for (token, init) in
        [("<pear>", Some("ripe pear")), ("<pear-2>", Some("random (object)")), ("<s>", None), ("cat2", Some("cat"))]
    {
        let mut embedding = Embedding::new(token, width, vec![0.5; width]);
        embedding.metadata.extend(init.map(|init| ("init".to_owned(), init.to_owned())));
        session.add_embedding(embedding, token).unwrap();
    }
    let without = |prompt: &str| session.without(prompt, PromptSyntax::default());
    assert_eq!(without("a <pear> on blue").as_deref(), Some("a ripe pear on blue"));
    // Whatever the case, the longest token first, and never inside of another word.
    assert_eq!(without("A <PEAR-2>,  and a <Pear>").as_deref(), Some("A , and a ripe pear"));
    assert_eq!(without("a cat2 and a cat22").as_deref(), Some("a cat and a cat22"));
    assert_eq!(without("<s>").as_deref(), Some(""));
    assert_eq!(without("a pear on blue"), None);
}
