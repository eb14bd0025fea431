//! Files become documents: cut, kept, shown to the model once, and cited.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod common;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;

use common::{Bag, Mood, NOW, note, start};
use paraphym_retrieval::{Added, Basis, Found, How, Progress, Retrieval, Scope};

async fn add(retrieval: &Retrieval, folder: &Path, patterns: &[&str], now_ms: i64) -> Added {
    let wanted = patterns
        .iter()
        .map(|pattern| folder.join(pattern).to_string_lossy().into_owned());
    retrieval
        .add_documents(wanted.collect(), now_ms, |_| ())
        .await
        .unwrap()
}

/// Sections of many sentences, each of which names its own number.
fn book(sections: usize) -> String {
    let mut text = "# A book\n\n".to_owned();
    for number in 0..sections {
        write!(
            text,
            "## Chapter {number}\n\nThis is about topic{number} and nothing else. {}\n\n",
            "It goes on and on. ".repeat(35)
        )
        .unwrap();
    }
    text
}

#[tokio::test(start_paused = true)]
async fn a_document_is_cut_embedded_and_cited_by_its_lines() {
    let stage = start().await;
    let bag = Bag::new("bag", Mood::Well);
    let retrieval = stage.with(&bag);
    let folder = tempfile::tempdir().unwrap();
    let text = book(50);
    std::fs::write(folder.path().join("book.md"), &text).unwrap();
    std::fs::write(
        folder.path().join("note.txt"),
        "The kitten sleeps in the cellar.",
    )
    .unwrap();
    let steps = Mutex::new(Vec::new());
    let wanted = vec![folder.path().join("*.*").to_string_lossy().into_owned()];
    let added = retrieval
        .add_documents(wanted, NOW, |step| steps.lock().unwrap().push(step))
        .await
        .unwrap();
    assert_eq!(
        (
            added.documents.len(),
            added.refused.len(),
            added.dropped.len()
        ),
        (2, 0, 0)
    );
    let pieces: usize = added
        .documents
        .iter()
        .map(|document| document.pieces as usize)
        .sum();
    assert!(pieces > 50, "{pieces}");
    assert_eq!(added.embedded, pieces);
    assert!(matches!(added.basis, Basis::Meaning { unseen: 0, .. }));
    let steps = steps.into_inner().unwrap();
    assert_eq!(
        steps[..2],
        [
            Progress::Read { done: 1, total: 2 },
            Progress::Read { done: 2, total: 2 }
        ]
    );
    assert_eq!(
        steps.last(),
        Some(&Progress::Embedded {
            done: pieces,
            total: pieces
        })
    );
    assert!(steps.len() > 3);

    let answer = retrieval
        .recall(added.scope(None), "what is said of topic31?", 5, NOW)
        .await
        .unwrap();
    let best = &answer.found[0];
    assert_eq!(best.how, How::Both);
    let line = text
        .lines()
        .position(|line| line.contains("topic31 "))
        .unwrap()
        + 1;
    assert_eq!(best.citation(), format!("book.md:{}-{line}", line - 2));
    assert!(best.text.contains("topic31"));
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn memories_are_asked_for_by_their_space_documents_by_name_and_both_are_one_ranking() {
    let stage = start().await;
    let retrieval = stage.with(&Bag::new("bag", Mood::Well));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("note.txt"),
        "The kitten sleeps in the cellar.",
    )
    .unwrap();
    retrieval
        .remember(note("the kitten is called Ada"), NOW)
        .await
        .unwrap();
    let added = add(&retrieval, folder.path(), &["note.txt"], NOW).await;
    for (scope, expected) in [
        (added.scope(Some("default")), vec!["memory 1", "note.txt:1"]),
        (added.scope(None), vec!["note.txt:1"]),
        (Scope::space("default"), vec!["memory 1"]),
        (Scope::default(), vec![]),
    ] {
        let answer = retrieval.recall(scope, "feline", 5, NOW).await.unwrap();
        let mut cited: Vec<String> = answer.found.iter().map(Found::citation).collect();
        cited.sort();
        assert_eq!(cited, expected);
    }
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_file_is_not_embedded_again_and_a_changed_one_replaces_itself() {
    let stage = start().await;
    let bag = Bag::new("bag", Mood::Well);
    let retrieval = stage.with(&bag);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.md");
    std::fs::write(&file, book(5)).unwrap();
    let first = add(&retrieval, folder.path(), &["a.md"], NOW).await;
    let shown = bag.texts();
    assert_eq!(shown, first.embedded);

    let again = add(&retrieval, folder.path(), &["a.md", "*.md"], NOW + 1).await;
    assert_eq!((again.embedded, bag.texts()), (0, shown));
    assert_eq!(again.documents.len(), 1);
    assert_eq!(again.documents[0].id, first.documents[0].id);
    assert_eq!(again.documents[0].used_ms, NOW + 1);

    std::fs::write(&file, "Only tea is left.").unwrap();
    let changed = add(&retrieval, folder.path(), &["a.md"], NOW + 2).await;
    assert_eq!((changed.embedded, changed.documents[0].pieces), (1, 1));
    assert_eq!(retrieval.documents(10).await.unwrap(), changed.documents);
    let found = retrieval
        .recall(changed.scope(None), "topic3 tea", 5, NOW)
        .await
        .unwrap();
    assert_eq!(
        found
            .found
            .iter()
            .map(|found| found.text.as_str())
            .collect::<Vec<_>>(),
        ["Only tea is left."]
    );
    // Whoever still asks for the old one finds nothing of it.
    let old = retrieval
        .recall(first.scope(None), "topic3", 5, NOW)
        .await
        .unwrap();
    assert_eq!(old.found, []);
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_a_document_is_refused_by_name_and_stops_nothing() {
    let stage = start().await;
    let retrieval = stage.by_words();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("good.txt"), "tea").unwrap();
    std::fs::write(folder.path().join("bad.bin"), b"\x7fELF\0\0").unwrap();
    std::fs::write(folder.path().join("empty.txt"), "").unwrap();
    let added = add(&retrieval, folder.path(), &["*.*", "missing.md", "."], NOW).await;
    let names: Vec<&str> = added
        .documents
        .iter()
        .map(|one| one.path.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(names, ["empty.txt", "good.txt"]);
    let mut refused: Vec<String> = added.refused.iter().map(ToString::to_string).collect();
    refused.sort();
    assert_eq!(refused.len(), 3, "{refused:?}");
    for (file, why) in [
        ("bad.bin", "zero bytes"),
        ("missing.md", "no such file"),
        ("/.", "is a folder"),
    ] {
        assert!(
            refused
                .iter()
                .any(|line| line.contains(file) && line.contains(why)),
            "{refused:?}"
        );
    }
    assert_eq!(
        added.basis,
        Basis::Words {
            why: "there is no embedding model".to_owned()
        }
    );
    let answer = retrieval
        .recall(added.scope(None), "tea", 5, NOW)
        .await
        .unwrap();
    assert_eq!(answer.found[0].citation(), "good.txt:1");
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn documents_of_a_time_without_a_model_are_shown_to_it_later() {
    let stage = start().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.md"), book(5)).unwrap();
    let failing = stage.with(&Bag::new("bag", Mood::Failing));
    let added = add(&failing, folder.path(), &["a.md"], NOW).await;
    assert_eq!(added.embedded, 0);
    assert!(matches!(&added.basis, Basis::Words { why } if why.contains("no model")));
    let found = failing
        .recall(added.scope(None), "topic3", 5, NOW)
        .await
        .unwrap();
    assert_eq!(found.found[0].how, How::Lexical);

    let well = stage.with(&Bag::new("bag", Mood::Well));
    let again = add(&well, folder.path(), &["a.md"], NOW + 1).await;
    assert_eq!(again.embedded, added.documents[0].pieces as usize);
    let found = well
        .recall(again.scope(None), "topic3", 5, NOW)
        .await
        .unwrap();
    assert_eq!(found.found[0].how, How::Both);
    stage.scene.stop().await;
}
