//! The real embedding model through the whole tree, with the process's threads counted, and what is found by it. Each test
//! is a process of its own under nextest, because it owns the process's one runtime.
//!
//! The model is the one that `PARAPHYM_TEST_EMBEDDER` names, or the embedding model in the XDG data folder.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::path::PathBuf;

use std::time::SystemTime;

use paraphym_candle::chat_config::{self, Author};
use paraphym_candle::retrieval::{Basis, How, MemoryKind, Note, Scope};
use paraphym_candle::{
    Bytes, EMBEDDING_MODEL, EmbedRequest, Embeddings, ModelName, Paraphym, RuntimeOptions, Store,
    StoreConfig, ThreadRole, run,
};

fn model() -> PathBuf {
    if let Some(path) = std::env::var_os("PARAPHYM_TEST_EMBEDDER") {
        let path = PathBuf::from(path);
        assert!(
            path.is_file(),
            "PARAPHYM_TEST_EMBEDDER names {}, which is not there",
            path.display()
        );
        return path;
    }
    let store = Store::open(StoreConfig::at(None)).unwrap();
    store
        .resolve(&ModelName::new(EMBEDDING_MODEL))
        .unwrap_or_else(|error| panic!("{error}; `cargo xtask test` brings it"))
}

async fn embed(host: &Paraphym, model: &ModelName, texts: &[&str]) -> Embeddings {
    let request = EmbedRequest {
        model: model.clone(),
        texts: texts.iter().map(ToString::to_string).collect(),
        keep_alive: None,
    };
    host.embed_with(request).await.unwrap()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[test]
fn real_model_embeds_on_our_threads_alone_within_its_lease() {
    let path = model();
    let options = RuntimeOptions { workers: Some(2) };
    run(&options, |runtime| async move {
        let host = Paraphym::builder().runtime(runtime).start().await.unwrap();
        let model = ModelName::new(path.to_str().unwrap());
        let question = "How do I feed a cat?";
        let texts = [
            "Cats eat meat, twice a day.",
            "The central bank raised interest rates.",
            question,
        ];
        let found = embed(&host, &model, &texts).await;
        assert_eq!((found.dimensions, found.vectors.len()), (384, 3));
        let near = cosine(&found.vectors[2], &found.vectors[0]);
        let far = cosine(&found.vectors[2], &found.vectors[1]);
        assert!(near > far + 0.3, "{near} {far}");
        let again = embed(&host, &model, &[question]).await;
        assert_eq!(again.vectors[0], found.vectors[2]);

        let census = host.runtime().census();
        assert_eq!(census.count(ThreadRole::Foreign), 0, "{census:?}");
        let memory = host.memory().await.unwrap();
        assert!(memory.leased > Bytes::mib(87), "{memory:?}");
        assert!(host.shutdown().await.abandoned.is_empty());
    })
    .unwrap();
}

/// No word of the question stands in what answers it, so words alone find nothing.
#[test]
fn real_model_finds_what_shares_no_word_with_the_question_and_leaves_out_the_rest() {
    let path = model();
    let options = RuntimeOptions { workers: Some(2) };
    run(&options, |runtime| async move {
        let author = Author {
            who: "a test".to_owned(),
            at: SystemTime::UNIX_EPOCH,
        };
        let flag = format!("recall.model={}", path.display());
        let settings = chat_config::Store::without_file([], &[flag], author).unwrap();
        let builder = Paraphym::builder().runtime(runtime).settings(settings);
        let host = builder.start().await.unwrap();
        let memory = host.retrieval();
        for text in [
            "Minka, a kitten, sleeps on our sofa.",
            "The central bank raised interest rates by a quarter percent.",
            "Rust has no garbage collector.",
            "The ferry to the island leaves from pier four.",
        ] {
            let note = Note {
                space: "me".to_owned(),
                text: text.to_owned(),
                kind: MemoryKind::Semantic,
                importance: 0.5,
            };
            let noted = memory.remember(note, 0).await.unwrap();
            assert_eq!(noted.without_meaning, None);
        }
        for (question, first) in [
            ("Which pets do you have at home?", "Minka"),
            (
                "What do economists say about monetary policy?",
                "central bank",
            ),
            ("How is memory freed in programming languages?", "garbage"),
            ("Where can I board a ship?", "ferry"),
        ] {
            let asked = memory.recall(Scope::space("me"), question, 4, 0);
            let answer = asked.await.unwrap();
            assert!(matches!(answer.basis, Basis::Meaning { unseen: 0, .. }));
            let found = answer.found.first().unwrap();
            assert!(found.text.contains(first), "{question}: {answer:?}");
            assert!(matches!(found.how, How::Semantic | How::Both));
            // The bound of similarity lets what points elsewhere out.
            assert!(answer.found.len() < 4, "{question}: {answer:?}");
        }
        assert!(host.shutdown().await.abandoned.is_empty());
    })
    .unwrap();
}
