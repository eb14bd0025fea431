//! The real embedding model through the whole tree, with the process's threads counted. Alone in its file, because it owns
//! the process's one runtime.
//!
//! The model is the one that `PARAPHYM_TEST_EMBEDDER` names, or the embedding model in the XDG data folder.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::path::PathBuf;

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
